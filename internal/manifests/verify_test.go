package manifests_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// fakeClock advances only by what takes time: a request, or Sleep.
type fakeClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.slept = c.now.Add(d), append(c.slept, d)
	return nil
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// byName is an execution whose permissions are all by name, with a clock of its own.
func byName(t *testing.T, objects int) (*tester, *fakeClock) {
	f := execution(t, configMaps(objects))
	for _, verb := range []string{"get", "patch", "create"} {
		f.denied[verb+" configmaps shop/"] = true
	}
	clock := &fakeClock{now: time.Now()}
	f.applier.Clock = clock
	return f, clock
}

// within is the context of a function with that time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (f *tester) verify(ctx context.Context, earlier applymanifests.VerifiedApply) (applymanifests.VerifiedApply, error) {
	return f.applier.Verify(ctx, applymanifests.VerifyApply{Session: f.session, Access: earlier})
}

func TestAThousandObjectsByNameAreReviewedInOneRoundOfAFarCluster(t *testing.T) {
	f, clock := byName(t, 1000)
	const atOnce = 8
	arrived, together := make(chan bool, atOnce), make(chan bool)
	var once sync.WaitGroup
	once.Go(func() {
		for range atOnce {
			<-arrived
		}
		close(together)
	})
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		// A request takes 60 ms, in which seven others are under way.
		clock.advance(60 * time.Millisecond / atOnce)
		if r.Method == http.MethodGet && r.URL.Path != "/api/v1" {
			select {
			case arrived <- true:
			default:
			}
			<-together
		}
		return false
	}
	began := clock.Now()
	verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	require.NoError(t, err)
	once.Wait()
	assert.True(t, verified.Complete)
	assert.Equal(t, 3+3*1000, verified.Checks)
	assert.Less(t, clock.Now().Sub(began), 40*time.Second)
	assert.Len(t, f.reviewed, 3003)
	assert.Equal(t, 1000, f.gets)
}

func TestAReviewGoesOnWhereTheRoundBeforeStopped(t *testing.T) {
	f, clock := byName(t, 50)
	f.denied["patch configmaps shop/c7"] = true
	f.denied["get configmaps shop/c49"] = true
	f.before = func(http.ResponseWriter, *http.Request) bool {
		clock.advance(20 * time.Millisecond)
		return false
	}
	var verified applymanifests.VerifiedApply
	var err error
	rounds := 0
	for ; err == nil && rounds < 100; rounds++ {
		require.False(t, verified.Complete)
		before := verified
		// The deadline of a context is of the real clock, and the function's time of ours.
		ctx, cancel := context.WithDeadline(t.Context(), clock.Now().Add(3*time.Second))
		verified, err = f.verify(ctx, before)
		cancel()
		assert.GreaterOrEqual(t, verified.Checks+1000*rounds, before.Checks)
	}
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, "to patch configmaps c7 in namespace shop, get configmaps c49 in namespace shop. IAM", "of all rounds")
	assert.Greater(t, rounds, 1)
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(f.reviewed))), 3+3*50)
	assert.Len(t, f.reviewed, 3+3*50, "each once")
}

func TestAReviewThatIsThrottledWaits(t *testing.T) {
	f, clock := byName(t, 3)
	refused := 0
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Method == http.MethodPost && refused < 5 {
			refused++
			w.Header().Set("Retry-After", "2")
			kubetest.Refuse(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "later")
			return true
		}
		return false
	}
	verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	require.NoError(t, err)
	assert.True(t, verified.Complete)
	assert.Len(t, clock.slept, 5)
	assert.Equal(t, 3+3*3, verified.Checks)
}

func TestWhatWasReviewedIsNotReviewedAgain(t *testing.T) {
	f, _ := byName(t, 3)
	verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	require.NoError(t, err)
	f.before = func(http.ResponseWriter, *http.Request) bool {
		assert.Fail(t, "a later pass asks nothing")
		return false
	}
	again, err := f.verify(within(t, time.Minute), verified)
	require.NoError(t, err)
	assert.Equal(t, verified, again)
}

func TestALiveObjectThatCannotBeReadNeedsNoCreate(t *testing.T) {
	f, _ := byName(t, 2)
	f.denied["create configmaps shop/c1"] = true
	f.refuse["GET "+path("c1")] = says(500, "", `conversion webhook for example.com/v1, Kind=Widget failed: Post "https://127.0.0.1:1/": connection refused`)
	verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	require.NoError(t, err, "the dry run says what is wrong with it")
	assert.True(t, verified.Complete)
}
