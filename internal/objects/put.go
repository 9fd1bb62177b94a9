package objects

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// Put applies an object, or asks with a dry run what that would do. A dry run takes the
// fields that are in conflict, so that its answer says what would change; without a dry
// run, only Force does.
//
// A value that only looks different from the one in the cluster is sent as it is there:
// then nobody is in conflict, and no field is taken from its owner.
func (c Client) Put(ctx context.Context, t Target, dryRun bool) (Answer, error) {
	a, err := c.apply(ctx, t, dryRun, false)
	if len(Conflicts(err)) == 0 {
		return a, err
	}
	taken, forcedErr := c.apply(ctx, t, true, true)
	if forcedErr != nil {
		return taken, forcedErr
	}
	live, liveErr := c.Before(ctx, taken)
	if liveErr != nil && !apierrors.IsNotFound(liveErr) {
		return taken, liveErr
	}
	text, again := respell(t.JSON, live, taken.Object, c.Manager)
	if again {
		t.JSON = text
		if a, err = c.apply(ctx, t, dryRun, false); len(Conflicts(err)) == 0 {
			return a, err
		}
	}
	switch {
	case dryRun && again:
		taken, forcedErr = c.apply(ctx, t, true, true)
	case dryRun:
	case c.Force:
		taken, forcedErr = c.apply(ctx, t, false, true)
	default:
		return a, err
	}
	taken.Conflicts = Conflicts(err)
	return taken, forcedErr
}

// maxAdoptions is how often an object may change while it is taken over from a client.
const maxAdoptions = 5

// Adopt takes an object over from kubectl, if that applied it without --server-side. The
// API server lets a manager remove only what it owns itself: without this, nothing that
// kubectl applied before would ever go.
func (c Client) Adopt(ctx context.Context, a Answer) (Answer, error) {
	for range maxAdoptions {
		if !MayBeClientSide(a.Object) {
			return a, nil
		}
		o, err := c.Ownership(a.Object)
		if err != nil {
			return a, err
		}
		patch, err := o.adoption()
		if err != nil || patch == nil {
			return a, err
		}
		if _, err = c.patch(ctx, a.Sent, patch, false); err != nil && !apierrors.IsConflict(err) {
			return a, err
		}
		// What is applied now goes without what kubectl alone owned. After a conflict it is
		// the object as it is now.
		before := a.Conflicts
		if a, err = c.Put(ctx, a.Sent, false); err != nil {
			return a, err
		}
		a.Conflicts = append(before, a.Conflicts...)
	}
	return a, contract.Errorf(contract.Throttled, "%s in cluster %s was changed by others %d times while its fields were taken over from kubectl. Try again later", a.Sent, c.Conn.Cluster.Name, maxAdoptions)
}

// AfterAdoption is what the object will be once it is taken over from the clients that
// applied it, and the names of these.
func (c Client) AfterAdoption(ctx context.Context, a Answer) (next map[string]any, from []string, err error) {
	if next, err = kube.Object(a.Object); err != nil || a.Created || !MayBeClientSide(a.Object) {
		return next, nil, err
	}
	o, err := c.Ownership(a.Object)
	if err != nil || o.clients().Len() == 0 {
		return next, nil, err
	}
	from = sets.List(o.clients())
	object, less, err := o.adopted(next)
	if err != nil || !less {
		return next, from, err
	}
	// A JSON patch may replace the whole object: a dry run of it says what the API server
	// makes of one without these fields, some of which have a default.
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "", "value": object}})
	if err != nil {
		return nil, nil, err
	}
	after, err := c.patch(ctx, a.Sent, patch, true)
	if err != nil {
		return nil, nil, err
	}
	next, err = kube.Object(after.Object)
	return next, from, err
}
