package batch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// during runs a round of that many seconds.
func during(seconds int) *Round {
	return &Round{end: time.Now().Add(time.Duration(seconds) * time.Second), atOnce: AtOnce}
}

// numbers are 0 to n-1.
func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestARoundDoesEachObjectOnce(t *testing.T) {
	r := during(60)
	var times [100]atomic.Int32
	done, err := Each(t.Context(), r, numbers(100), func(_ context.Context, i int) error {
		times[i].Add(1)
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 100, done)
	for i := range times {
		assert.Equal(t, int32(1), times[i].Load(), i)
	}
}

func TestARoundEndsBeforeItsTimeDoesAndTheNextOneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		for left := numbers(30); len(left) > 0; rounds++ {
			r := during(10)
			done, err := Each(t.Context(), r, left, func(context.Context, int) error {
				time.Sleep(5 * time.Second)
				return nil
			})
			require.NoError(t, err)
			require.Positive(t, done, "each round does something")
			left = left[done:]
		}
		assert.Greater(t, rounds, 2)
	})
}

func TestARoundWithoutTimeDoesOneObject(t *testing.T) {
	r := during(-1)
	next, err := Each(t.Context(), r, numbers(10), func(context.Context, int) error { return nil })
	require.NoError(t, err)
	assert.Equal(t, 1, next)
}

func TestARoundStopsAtAnErrorAndCompletesWhatIsUnderWay(t *testing.T) {
	r := during(60)
	broken := errors.New("broken")
	var completed atomic.Int32
	failed := make(chan struct{})
	next, err := Each(t.Context(), r, numbers(1000), func(ctx context.Context, i int) error {
		if i == 3 {
			close(failed)
			return broken
		}
		<-failed
		completed.Add(1)
		return ctx.Err()
	})
	require.ErrorIs(t, err, broken)
	assert.Less(t, next, 4)
	assert.Less(t, completed.Load(), int32(1000))
}

func TestARoundWaitsAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := during(60)
		began := time.Now()
		var refused atomic.Bool
		next, err := Each(t.Context(), r, numbers(1), func(context.Context, int) error {
			if !refused.Swap(true) {
				return apierrors.NewTooManyRequests("later", 7)
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 1, next)
		assert.Equal(t, 7*time.Second, time.Since(began))
	})
}

func TestARoundLeavesALongerWaitToTheMachine(t *testing.T) {
	for sentence, c := range map[string]struct{ refusedFrom, next int }{
		"as an error if nothing is done":     {0, 0},
		"with what is done, if something is": {1, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			r := during(60)
			first := make(chan struct{})
			next, err := Each(t.Context(), r, numbers(2), func(_ context.Context, i int) error {
				if i >= c.refusedFrom {
					if c.refusedFrom > 0 {
						<-first
					}
					return apierrors.NewTooManyRequests("later", 120)
				}
				close(first)
				return nil
			})
			assert.Equal(t, c.next, next)
			assert.Equal(t, c.next == 0, apierrors.IsTooManyRequests(err))
		})
	}
}

func TestTheRoundKeepsWhatItHasIfTheLastCallTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := during(60)
		next, err := Each(ctx, r, numbers(2), func(ctx context.Context, i int) error {
			if i == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 1, next)
	})
}

func TestARoundThatIsEndedCompletesWhatIsUnderWay(t *testing.T) {
	r := during(60)
	var begun atomic.Int64
	done, err := Each(t.Context(), r, numbers(100), func(context.Context, int) error {
		if begun.Add(1) == 20 {
			r.End()
		}
		return nil
	})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, done, 20)
	assert.Less(t, done, 20+AtOnce)
	again, err := Each(t.Context(), r, numbers(1), func(context.Context, int) error { return nil })
	require.NoError(t, err)
	assert.Zero(t, again)
}
