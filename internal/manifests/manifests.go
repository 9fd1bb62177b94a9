package manifests

import (
	"context"
	"slices"
	"strings"

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
	default:
		err = twice(targets)
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
