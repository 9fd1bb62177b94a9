package manifests

import (
	"cmp"
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/contract"
)

// manager is the name that owns what is applied. An execution that began before the
// request could name one has none.
func (s *session) manager() string { return cmp.Or(s.request.FieldManager, FieldManager) }

// put applies an object, or asks with a dry run what that would do. A dry run takes the
// fields that are in conflict, so that its answer says what would change; without a dry
// run, only force does.
//
// A value that only looks different from the one in the cluster is sent as it is there:
// then nobody is in conflict, and no field is taken from its owner.
func (s *session) put(ctx context.Context, t target, dryRun bool) (answer, error) {
	a, err := s.apply(ctx, t, s.manager(), dryRun, false)
	if len(conflicts(err)) == 0 {
		return a, err
	}
	taken, forcedErr := s.apply(ctx, t, s.manager(), true, true)
	if forcedErr != nil {
		return taken, forcedErr
	}
	live, liveErr := s.getSince(ctx, t, resourceVersion(taken.object))
	if liveErr != nil && !apierrors.IsNotFound(liveErr) {
		return taken, liveErr
	}
	text, again := respell(t.JSON, live, taken.object, s.manager())
	if again {
		t.JSON = text
		if a, err = s.apply(ctx, t, s.manager(), dryRun, false); len(conflicts(err)) == 0 {
			return a, err
		}
	}
	switch {
	case dryRun && again:
		taken, forcedErr = s.apply(ctx, t, s.manager(), true, true)
	case dryRun:
	case s.request.Force:
		taken, forcedErr = s.apply(ctx, t, s.manager(), false, true)
	default:
		return a, err
	}
	taken.conflicts = conflicts(err)
	return taken, forcedErr
}

// maxAdoptions is how often an object may change while it is taken over from a client.
const maxAdoptions = 5

// adopt takes an object over from kubectl, if that applied it without --server-side. The
// API server lets a manager remove only what it owns itself: without this, nothing that
// kubectl applied before would ever go.
func (s *session) adopt(ctx context.Context, a answer) (answer, error) {
	for range maxAdoptions {
		if !mayBeClientSide(a.object) {
			return a, nil
		}
		o, err := readOwnership(a.object, s.manager())
		if err != nil {
			return a, err
		}
		patch, err := o.adoption()
		if err != nil || patch == nil {
			return a, err
		}
		if _, err = s.patch(ctx, a.sent, s.manager(), patch, false); err != nil && !apierrors.IsConflict(err) {
			return a, err
		}
		// What is applied now goes without what kubectl alone owned. After a conflict it is
		// the object as it is now.
		before := a.conflicts
		if a, err = s.put(ctx, a.sent, false); err != nil {
			return a, err
		}
		a.conflicts = append(before, a.conflicts...)
	}
	return a, contract.Errorf(contract.Throttled, "%s in cluster %s was changed by others %d times while its fields were taken over from kubectl. Try again later", a.sent, s.conn.Cluster.Name, maxAdoptions)
}
