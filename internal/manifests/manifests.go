package manifests

import (
	"cmp"
	"context"
	"slices"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// Applier is the work of the functions that connect: Verify, Plan, Apply and
// CheckReadiness.
type Applier struct {
	Source Source
	Opener kube.Opener
	Clock  batch.Clock
}

// session is the connection of one invocation, and what it is to work on.
type session struct {
	server
	conn    *kube.Conn
	targets []target // in the order of their stages
	request contract.ApplyRequest
	// history is what the execution applied so far.
	history marks
}

// openSession connects, and finds out where each object is in the API.
func (a Applier) openSession(ctx context.Context, in contract.ManifestsSession, objects []Object) (*session, error) {
	conn, err := kube.Connect(a.Opener, in.Session)
	if err != nil {
		return nil, err
	}
	s := &session{server: server{conn}, conn: conn, request: in.Request}
	targets, nowhere, err := discover(ctx, s.server, objects)
	switch {
	case err != nil:
		err = s.explainKinds(err)
	case len(nowhere) > 0:
		err = contract.Errorf(contract.UnknownKind, "Cluster %s has no %s, and no CRD among the manifests defines it. %sCompare with kubectl api-resources, and install the CRD or correct apiVersion and kind", conn.Cluster.Name, nowhere, s.elsewhere(ctx, nowhere))
	default:
		err = cmp.Or(s.unappliable(targets), twice(targets))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.targets = targets
	return s, nil
}

// brings reports whether the namespace is among the manifests.
func (s *session) brings(namespace string) bool {
	return slices.ContainsFunc(s.targets, func(t target) bool { return t.IsNamespace() && t.Name == namespace })
}
