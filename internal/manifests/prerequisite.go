package manifests

import (
	"bytes"
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/diff"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// unmet says why a dry run that was refused does not count: what the object needs is
// among the manifests, and is applied before it. It is empty if the refusal stands.
func (s *session) unmet(ctx context.Context, t objects.Target, err error) string {
	for _, need := range t.Prerequisites(err) {
		for _, other := range s.targets {
			switch {
			case !need.Is(other) || other.Stage() >= t.Stage():
			case !need.IsThere:
				return "its " + noun(other) + " is among the manifests"
			case s.differs(ctx, other):
				return "its " + noun(other) + " changes with the manifests, and before that the cluster refuses it"
			}
		}
	}
	return ""
}

// noun is what a sentence calls an object's kind.
func noun(t objects.Target) string {
	switch t.Kind {
	case "Namespace", "Role":
		return strings.ToLower(t.Kind)
	default:
		return t.Kind
	}
}

// differs reports whether applying the target would change it. If that is not known, it
// would not.
func (s *session) differs(ctx context.Context, t objects.Target) bool {
	a, err := s.Put(ctx, t, true)
	if err != nil || a.Created {
		return err == nil
	}
	before, err := s.Before(ctx, a)
	if err != nil || bytes.Equal(before, a.Object) {
		return apierrors.IsNotFound(err)
	}
	live, err := kube.Object(before)
	if err != nil {
		return false
	}
	next, err := kube.Object(a.Object)
	return err == nil && len(diff.Compare(live, next, diff.Rules{StatusIsApart: t.HasStatus, Secret: true})) > 0
}

// settles reports whether a refusal of what is being applied may pass by itself: an API
// server, and controllers, see what was applied a moment before only after a while.
func (a *applier) settles(t objects.Target, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, need := range t.Prerequisites(err) {
		for _, other := range a.targets {
			if need.Is(other) && batch.IsChanged(a.ledger[other.Index]) {
				return true
			}
		}
	}
	// The schema of a CRD that changed is in use a moment later.
	return t.Defined && objects.IsOfItsType(err) && slices.ContainsFunc(a.targets, func(other objects.Target) bool {
		return other.Defines(t.GroupVersionKind) && batch.IsChanged(a.ledger[other.Index])
	})
}
