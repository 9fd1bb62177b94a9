// Package batch does many requests in rounds: several at once, for as long as the
// function has time, and at the pace that the API server asks for. A ledger says what
// earlier rounds did.
package batch

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// AtOnce bounds the requests under way. More of them are not faster: the API
	// server's own work, and etcd's, is what takes the time.
	AtOnce = 8
	// QuestionsAtOnce bounds the questions under way that an API server answers from its
	// memory, such as access reviews: the time of these is that of the way there and back. It
	// is less than half of the 49 requests that an API server of default limits takes at once
	// of all users of the priority level global-default.
	// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#defaults
	QuestionsAtOnce = 20
	// Reserve is kept of the function's time for the answer.
	Reserve = time.Second
	// Caution is how much longer than the slowest so far the next object, or page, may take.
	Caution = 3
	// defaultRetryAfter is how long to wait if a 429 does not say.
	defaultRetryAfter = time.Second
	// unbounded is the time of a call without a deadline.
	unbounded = 15 * time.Minute
)

// Round is one invocation's share of the objects: it ends before the function
// must, and the next round goes on where it stopped.
type Round struct {
	end    time.Time
	atOnce int

	mu        sync.Mutex // guards what follows
	begun     int
	slowest   time.Duration
	failed    bool
	ended     bool
	throttled error // the API server's wish to be asked later than there is time for
}

// NewRound begins a round that ends before ctx does.
func NewRound(ctx context.Context) *Round { return newRound(ctx, AtOnce) }

// NewRoundOfQuestions is NewRound for what an API server answers from its memory.
func NewRoundOfQuestions(ctx context.Context) *Round { return newRound(ctx, QuestionsAtOnce) }

func newRound(ctx context.Context, atOnce int) *Round {
	return &Round{end: Deadline(ctx).Add(-Reserve), atOnce: atOnce}
}

// Deadline is the end of the function's time.
func Deadline(ctx context.Context) time.Time {
	if deadline, bounded := ctx.Deadline(); bounded {
		return deadline
	}
	return time.Now().Add(unbounded)
}

// Sleep returns after d, or with an error if ctx ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RetryAfter is how long the API server asks to wait with an error 429.
func RetryAfter(err error) time.Duration {
	if seconds, said := apierrors.SuggestsClientDelay(err); said && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return defaultRetryAfter
}

// Each does each of the items, several at once, and returns how many are done before the
// first that is not. What is under way when one fails or the time ends is completed.
func Each[T any](ctx context.Context, r *Round, items []T, do func(ctx context.Context, item T) error) (int, error) {
	return r.run(ctx, len(items), func(ctx context.Context, i int) error { return do(ctx, items[i]) })
}

func (r *Round) run(ctx context.Context, items int, do func(ctx context.Context, i int) error) (int, error) {
	next, done := 0, make([]bool, items)
	take := func() (int, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if next == items || r.failed || r.ended || r.throttled != nil || !r.time() {
			return 0, false
		}
		r.begun++
		next++
		return next - 1, true
	}
	var group errgroup.Group
	for range min(r.atOnce, items) {
		group.Go(func() error {
			for {
				i, ok := take()
				if !ok {
					return nil
				}
				ok, err := r.one(ctx, func() error { return do(ctx, i) })
				if err != nil {
					return err
				}
				done[i] = ok
			}
		})
	}
	err := group.Wait()
	first := 0
	for first < items && done[first] {
		first++
	}
	switch {
	case err != nil && first > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return first, nil // the round is worth something without the one that took too long
	case err == nil && first == 0 && items > 0:
		return first, r.throttled // the machine can wait for longer than a function should
	default:
		return first, err
	}
}

// time reports whether there is time for another object. Each round has time for one.
func (r *Round) time() bool {
	return r.begun == 0 || r.Left() > Caution*r.slowest && r.Left() > 0
}

// Begun reports whether the round has begun an object.
func (r *Round) Begun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun > 0
}

// End lets the round begin no further objects: the next round goes on.
func (r *Round) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// Left is the time that is left.
func (r *Round) Left() time.Duration { return time.Until(r.end) }

// one does an object, and waits if the API server asks for it. It reports whether
// the object is done.
func (r *Round) one(ctx context.Context, do func() error) (bool, error) {
	for {
		began := time.Now()
		err := do()
		took := time.Since(began)
		r.mu.Lock()
		r.slowest = max(r.slowest, took)
		left := r.Left()
		r.mu.Unlock()
		if err == nil {
			return true, nil
		}
		if !apierrors.IsTooManyRequests(err) {
			r.mu.Lock()
			r.failed = true
			r.mu.Unlock()
			return false, err
		}
		if wait := RetryAfter(err); wait < left && Sleep(ctx, wait) == nil {
			continue
		}
		r.mu.Lock()
		r.throttled = err
		r.mu.Unlock()
		return false, nil
	}
}
