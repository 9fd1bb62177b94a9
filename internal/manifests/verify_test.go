package manifests_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// byName is an execution whose permissions are all by name.
func byName(t *testing.T, objects int) *tester {
	f := execution(t, configMaps(objects))
	for _, verb := range []string{"get", "patch", "create"} {
		f.denied[verb+" configmaps shop/"] = true
	}
	return f
}

// takes makes every answer take a time.
func takes(d time.Duration) func(http.ResponseWriter, *http.Request) bool {
	return func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(d)
		return false
	}
}

func (f *tester) verify(ctx context.Context, earlier applymanifests.VerifiedApply) (applymanifests.VerifiedApply, error) {
	return f.applier.Verify(ctx, applymanifests.VerifyApply{Session: f.session, Access: earlier})
}

func TestAThousandObjectsByNameAreReviewedWithinFiveSecondsIfARequestTakes20ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := byName(t, 1000)
		f.before = takes(20 * time.Millisecond)
		began := time.Now()
		verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
		require.NoError(t, err)
		assert.True(t, verified.Complete)
		assert.Equal(t, 3+3*1000, verified.Checks)
		assert.Less(t, time.Since(began), 5*time.Second)
		assert.Len(t, f.reviewed, 3+2*1000, "whoever sees that an object is not there may get it")
		assert.Equal(t, 1000, f.gets)
	})
}

func TestObjectsThatAreThereTakeTwoRequestsEach(t *testing.T) {
	f := byName(t, 20)
	for i := range 20 {
		f.objects[path(fmt.Sprintf("c%d", i))] = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": fmt.Sprintf("c%d", i), "namespace": "shop"}}
	}
	verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	require.NoError(t, err)
	assert.True(t, verified.Complete)
	assert.Equal(t, 3+2*20, verified.Checks, "to get and to patch it, and not to create it")
	assert.Len(t, f.reviewed, 3+20)
	assert.Equal(t, 20, f.gets)
}

func TestAnObjectThatMayNotBeSeenIsReviewed(t *testing.T) {
	f := byName(t, 2)
	f.denied["get configmaps shop/c1"] = true
	_, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, "to get configmaps c1 in namespace shop. IAM", "and nothing else")
	assert.Contains(t, f.reviewed, "get configmaps shop/c1")
	assert.Contains(t, f.reviewed, "create configmaps shop/c1", "whether it is there is unknown")
}

func TestAReviewGoesOnWhereTheRoundBeforeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := byName(t, 150)
		f.denied["patch configmaps shop/c7"] = true
		f.denied["get configmaps shop/c149"] = true
		f.before = takes(100 * time.Millisecond)
		var verified applymanifests.VerifiedApply
		var err error
		rounds := 0
		for ; err == nil && rounds < 100; rounds++ {
			require.False(t, verified.Complete)
			before := verified
			verified, err = f.verify(within(t, 3*time.Second), before)
			assert.GreaterOrEqual(t, verified.Checks+1000*rounds, before.Checks)
		}
		name, message := kubetest.Told(t, err)
		assert.Equal(t, "Forbidden", name)
		assert.Contains(t, message, "to patch configmaps c7 in namespace shop, get configmaps c149 in namespace shop. IAM", "of all rounds")
		assert.Greater(t, rounds, 1)
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(f.reviewed))), 3+1+2*150)
		assert.Len(t, f.reviewed, 3+1+2*150, "each once")
	})
}

func TestAReviewThatIsThrottledWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := byName(t, 3)
		began, refused := time.Now(), 0
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			if r.Method == http.MethodPost && refused < 5 {
				refused++
				w.Header().Set("Retry-After", "2")
				http.Error(w, "too many requests", http.StatusTooManyRequests)
				return true
			}
			return false
		}
		verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
		require.NoError(t, err)
		assert.True(t, verified.Complete)
		assert.Equal(t, 5, refused)
		assert.Equal(t, 4*time.Second, time.Since(began), "three at once, and two of them once more")
		assert.Equal(t, 3+3*3, verified.Checks)
	})
}

func TestWhatWasReviewedIsNotReviewedAgain(t *testing.T) {
	f := byName(t, 3)
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
	f := byName(t, 2)
	f.denied["create configmaps shop/c1"] = true
	f.refuse["GET "+path("c1")] = says(500, "", `conversion webhook for example.com/v1, Kind=Widget failed: Post "https://127.0.0.1:1/": connection refused`)
	verified, err := f.verify(within(t, time.Minute), applymanifests.VerifiedApply{})
	require.NoError(t, err, "the dry run says what is wrong with it")
	assert.True(t, verified.Complete)
}
