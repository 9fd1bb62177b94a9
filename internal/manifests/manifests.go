package manifests

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

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
}

// open reads the manifests, connects, and finds out where each object is in the API.
func (a Applier) open(ctx context.Context, in contract.ManifestsSession, kinds ...func(*runtime.Scheme) error) (*session, error) {
	objects, err := a.Source.again(ctx, in)
	if err != nil {
		return nil, err
	}
	conn, err := kube.Connect(a.Opener, in.Session, kinds...)
	if err != nil {
		return nil, err
	}
	s := &session{server: server{conn}, conn: conn, request: in.Request}
	targets, nowhere, err := discover(ctx, s.server, objects)
	switch {
	case err != nil:
		err = conn.Explain(err, "read which kinds it serves")
	case len(nowhere) > 0:
		err = contract.Errorf(contract.UnknownKind, "Cluster %s has no %s, and no CRD among the manifests defines it. Compare with kubectl api-resources, and install the CRD or correct apiVersion and kind", conn.Cluster.Name, nowhere)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.targets = targets
	return s, nil
}

// marks have a letter for each object, in the order of the manifests: that of the
// stages may change when a kind becomes known.
type marks []byte

// pending marks an object that is left to do.
const pending = '.'

func newMarks(earlier string, objects int) marks {
	m := marks(earlier)
	for len(m) < objects {
		m = append(m, pending)
	}
	return m[:objects]
}

func (m marks) complete() bool { return !slices.Contains(m, pending) }

func (m marks) count(letter byte) int { return strings.Count(string(m), string(letter)) }

// pending are the targets that are left to do, of those that the filter lets pass.
func (s *session) pending(m marks, filter func(target) bool) []target {
	return slices.DeleteFunc(slices.Clone(s.targets), func(t target) bool { return m[t.index] != pending || !filter(t) })
}

// brings reports whether the namespace is among the manifests.
func (s *session) brings(namespace string) bool {
	return slices.ContainsFunc(s.targets, func(t target) bool { return t.IsNamespace() && t.Name == namespace })
}

// explain names an error of a request about one object, so that neither its message
// nor what it came from holds a value of a Secret.
func (s *session) explain(err error, doing string, t target) *contract.Error {
	message := contract.Clip(t.redact(apiMessage(err)), maxMessage)
	what := t.String() + " (" + t.place.String() + ")"
	switch {
	case apierrors.IsNotFound(err) && missingNamespace(err):
		return contract.Errorf(contract.InvalidInput, "Cluster %s has no namespace %s for %s: create it, or add it to the manifests", s.conn.Cluster.Name, t.Namespace, what)
	case apierrors.IsNotFound(err):
		return contract.Errorf(contract.UnknownKind, "Cluster %s no longer serves the kind of %s", s.conn.Cluster.Name, what)
	case apierrors.IsForbidden(err) && !deniedByRBAC(message):
		return contract.Errorf(contract.Forbidden, "Cluster %s does not admit %s: %s. This is not about permissions: a quota, a policy or another admission plug-in refuses the object", s.conn.Cluster.Name, what, message)
	case apierrors.IsForbidden(err):
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s %s %s: %s. The permission was revoked while the execution ran", s.conn.Cluster.Name, s.conn.Cluster.Region, s.conn.Principal, doing, what, message)
	case apierrors.IsBadRequest(err), apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err), notTyped(err):
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not accept %s: %s", s.conn.Cluster.Name, what, message)
	}
	explained := s.conn.Explain(err, doing+" "+what)
	if t.IsSecret() {
		explained = &contract.Error{Name: explained.Name, Message: t.redact(explained.Message)}
	}
	return explained
}
