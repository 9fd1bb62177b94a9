package manifests

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// Applier is the work of the functions that connect: Verify, Plan and Apply.
type Applier struct {
	Source  Source
	Kube    kube.Connector
	Effects Effects
	// Approvals proves approvals.
	Approvals proof.Sealer
	// Jobs looks at the Jobs of before and after: for Apply alone.
	Jobs Jobs
}

// session is the connection of one invocation, and what it is to work on.
type session struct {
	objects.Client
	targets []objects.Target // in the order of their stages
	request applymanifests.Request
	// history is what the execution applied so far.
	history batch.Ledger
	// gates are what before and after name, by the index of the object.
	gates map[int]applymanifests.Gate
}

// openSession connects, and finds out where each object is in the API.
func (a Applier) openSession(ctx context.Context, in applymanifests.Session, given []objects.Object) (*session, error) {
	conn, err := a.Kube.Connect(in.Session)
	if err != nil {
		return nil, err
	}
	// An execution that began before the request could name a field manager has none.
	s := &session{Client: objects.Client{Conn: conn, Manager: cmp.Or(in.Request.FieldManager, applymanifests.DefaultFieldManager), Force: in.Request.Force}, request: in.Request}
	targets, nowhere, err := s.Discover(ctx, given)
	switch {
	case err != nil:
	case len(nowhere) > 0:
		err = contract.Errorf(contract.UnknownKind, "Cluster %s has no %s, and no CRD among the manifests defines it. %sCompare with kubectl api-resources, and install the CRD or correct apiVersion and kind", conn.Cluster.Name, nowhere, s.Suggest(ctx, nowhere))
	default:
		err = cmp.Or(s.unappliable(targets), twice(targets))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.targets = targets
	s.gates, _ = gatesOf(given, in.Request) // load-manifests has told of problems
	return s, nil
}

// brings reports whether the namespace is among the manifests.
func (s *session) brings(namespace string) bool {
	return slices.ContainsFunc(s.targets, func(t objects.Target) bool { return t.IsNamespace() && t.Name == namespace })
}

// approved returns an error unless the plan was approved, if it must be.
func (a Applier) approved(s *session, in applymanifests.Session, plan applymanifests.Plan, approval applymanifests.Approval) error {
	if !plan.Drift && plan.Adopted == 0 {
		return nil
	}
	if err := isPlan(s, in, plan.Digest); err != nil || in.Request.Approve.TimeoutSeconds == 0 {
		return err
	}
	names := make([]string, len(s.targets))
	for _, t := range s.targets {
		names[t.Index] = t.String()
	}
	return a.Approvals.Same(in.Execution, s.Conn.Cluster.Name, approval, plan, names, func(i int) bool { return batch.IsChanged(s.history[i]) })
}

// isPlan returns an error unless the plan has the digest that the request has, if it has one.
// Nobody can tell what is left of a plan that is applied in part: its error is another one, since
// PlanChanged means that the cluster is as it was.
func isPlan(s *session, in applymanifests.Session, digest string) error {
	wanted := in.Request.Effect
	switch {
	case strings.HasPrefix(digest, wanted):
		return nil
	case s.history.Has(batch.IsChanged):
		return contract.Errorf(contract.NotApproved, "The plan of cluster %s was applied in part when its endpoint had to be looked up again, so what is left of it cannot be compared with the effect %s that the request allows. Look at its plan now, and apply that", s.Conn.Cluster.Name, wanted)
	case mayHavePruned(in):
		return contract.Errorf(contract.NotApproved, "Members of set %s of cluster %s may have been deleted when its endpoint had to be looked up again, so what is left of the plan cannot be compared with the effect %s that the request allows. Look at its plan now, and apply that", in.Request.Set, s.Conn.Cluster.Name, wanted)
	}
	return contract.Errorf(contract.PlanChanged, "Applying to cluster %s would do something else than the effect %s that the request allows: its plan has the digest %s. Look at that plan, and apply it with its own digest", s.Conn.Cluster.Name, wanted, digest)
}

// mayHavePruned reports whether the execution may have deleted members of the set before its cluster was
// described again: nothing was left to apply by then. A round that failed does not say what it deleted.
func mayHavePruned(in applymanifests.Session) bool {
	_, applied, refreshed := strings.Cut(in.Progress, ":")
	return refreshed && in.Request.Prune.Enabled && !batch.NewLedger(applied, in.Manifests.Objects).Has(batch.IsLeft)
}

// maxNamed is how many things a sentence names.
const maxNamed = 20

func enumerate(texts []string) string { return strings.Join(contract.Few(texts, maxNamed), ", ") }
