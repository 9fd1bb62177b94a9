package manifests

import (
	"context"
	"errors"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/sets"
)

// Verify reviews whether the objects may be read and applied. It asks for each
// resource and namespace first, and by name only if that is denied: RBAC and the
// access policies of EKS allow by name whatever they allow without one. It goes on
// after the rounds in in.Access, until all are reviewed or the time of ctx is near.
//
// Errors: Forbidden with the roles that are missing, UnknownKind, InvalidInput,
// Unauthorized, Throttled, CertificateNotTrusted, ClusterUnreachable; AccessDenied
// and AWSUnreachable of S3.
func (a Applier) Verify(ctx context.Context, in applymanifests.VerifyApply) (applymanifests.VerifiedApply, error) {
	if in.Access.Complete {
		return in.Access, nil // by an earlier pass of the execution
	}
	s, err := a.open(ctx, in.Session, "")
	if err != nil {
		return applymanifests.VerifiedApply{}, err
	}
	defer s.Conn.Close()
	extra, err := s.setChecks(ctx)
	if err != nil {
		return applymanifests.VerifiedApply{}, s.tell(err)
	}
	extra = append(extra, s.jobChecks()...)
	v := newVerifier(s, extra, in.Access)
	r := batch.NewRoundOfQuestions(ctx)
	for _, review := range []struct {
		pending func() []int
		one     func(context.Context, int) error
	}{
		{v.pendingKinds, v.kind},
		{v.pendingObjects, v.object},
	} {
		left := review.pending()
		done, err := batch.Each(ctx, r, left, review.one)
		if err != nil {
			return applymanifests.VerifiedApply{}, s.withProgress(s.Conn.Explain(err, "review access"))
		}
		if done < len(left) {
			return v.verified(), nil
		}
	}
	if denied := v.denied(); len(denied) > 0 {
		return applymanifests.VerifiedApply{}, s.forbidden(ctx, denied)
	}
	return v.verified(), nil
}

// verifier reviews access.
type verifier struct {
	*session
	general []contract.Check // without names and, after them, those for the set and for Jobs
	ofSet   int              // where these begin
	at      map[contract.Check]int

	mu     sync.Mutex // guards what follows
	checks int
	// kinds has a letter for each of the general checks, and objects one for each object:
	// byName and the bits of the verbs that are denied.
	kinds, objects batch.Ledger
}

// The letters of VerifiedApply.Done.
const (
	allowed    = 'a'
	deniedKind = 'd' // the objects are asked for by name
	byName     = '0'
)

// newVerifier goes on after earlier rounds.
func newVerifier(s *session, ofSet []contract.Check, earlier applymanifests.VerifiedApply) *verifier {
	general := checksFor(s.targets)
	v := &verifier{session: s, general: append(general, ofSet...), ofSet: len(general), at: map[contract.Check]int{}, checks: earlier.Checks}
	for i, check := range general {
		v.at[check] = i
	}
	done := earlier.Done
	if len(done) != len(v.general)+len(s.targets) { // the first round, or other kinds are served than in the last
		done = ""
		v.checks = 0
	}
	v.kinds = batch.NewLedger(done[:min(len(done), len(v.general))], len(v.general))
	v.objects = batch.NewLedger(done[min(len(done), len(v.general)):], len(s.targets))
	return v
}

func (v *verifier) verified() applymanifests.VerifiedApply {
	return applymanifests.VerifiedApply{Checks: v.checks, Complete: !v.kinds.Has(batch.IsLeft) && !v.objects.Has(batch.IsLeft), Done: string(v.kinds) + string(v.objects)}
}

// pendingKinds are the general checks that are left to do.
func (v *verifier) pendingKinds() []int {
	var left []int
	for i, letter := range v.kinds {
		if letter == batch.Pending {
			left = append(left, i)
		}
	}
	return left
}

// kind asks for all objects of a kind and namespace.
func (v *verifier) kind(ctx context.Context, i int) error {
	review, err := access.Ask(ctx, v.Conn, v.general[i])
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.checks++
	v.kinds[i] = allowed
	if !review.Allowed {
		v.kinds[i] = deniedKind
	}
	return nil
}

// pendingObjects are, once all kinds are done, the objects that are left to be asked for
// by name. The others need no more.
func (v *verifier) pendingObjects() []int {
	if v.kinds.Has(batch.IsLeft) {
		return nil
	}
	var left []int
	for i, t := range v.targets {
		switch {
		case v.objects[t.Index] != batch.Pending:
		case v.deniedVerbs(t) == nil:
			v.objects[t.Index] = byName
		default:
			left = append(left, i)
		}
	}
	return left
}

// deniedVerbs are the bits of the verbs that are denied for all objects like the target.
func (v *verifier) deniedVerbs(t objects.Target) []int {
	var bits []int
	for bit, verb := range verbs {
		if v.kinds[v.at[t.Check(verb, "")]] == deniedKind {
			bits = append(bits, bit)
		}
	}
	return bits
}

// object asks for one object by its name. Where it has to look whether the object is
// there, it needs no review of get: the API server lets nobody see that who may not get it.
func (v *verifier) object(ctx context.Context, i int) error {
	t := v.targets[i]
	mark, checks := byte(byName), 0
	bits := v.deniedVerbs(t)
	var seen presence
	if t.Served && slices.ContainsFunc(bits, func(bit int) bool { return verbs[bit] == verbCreate }) {
		var err error
		if seen, err = v.look(ctx, t); err != nil {
			return err
		}
	}
	for _, bit := range bits {
		switch {
		case verbs[bit] == verbCreate && (seen == isThere || seen == isUnreadable):
			continue // it needs no create
		case verbs[bit] == verbGet && (seen == isThere || seen == isNotThere):
			checks++
			continue
		}
		review, err := access.Ask(ctx, v.Conn, t.Check(verbs[bit], t.Name))
		if err != nil {
			return err
		}
		checks++
		if !review.Allowed {
			mark += 1 << bit
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.checks += checks
	v.objects[t.Index] = mark
	return nil
}

// presence is whether an object is there.
type presence int

const (
	unseen presence = iota // it may not be read
	isThere
	isNotThere
	// isUnreadable is there, but the API server cannot read what is stored: the dry run
	// says of each object what is wrong with it.
	isUnreadable
)

// look looks whether an object is there.
func (v *verifier) look(ctx context.Context, t objects.Target) (presence, error) {
	ctx, end := v.Conn.Turn(ctx)
	defer end()
	err := v.Exists(ctx, t)
	switch {
	case err == nil:
		return isThere, nil
	case apierrors.IsForbidden(err):
		return unseen, nil
	case apierrors.IsNotFound(err):
		return isNotThere, nil
	case apierrors.IsTooManyRequests(err):
		return unseen, err
	}
	explained := v.Explain(err, "get", t)
	switch explained.Name {
	case contract.InvalidInput, contract.WebhookFailed, contract.UnknownKind:
		return isUnreadable, nil
	default:
		return unseen, explained
	}
}

// denied are the checks that were denied by name, in the order of the stages.
func (v *verifier) denied() []contract.Check {
	var denied []contract.Check
	for _, t := range v.targets {
		for bit, verb := range verbs {
			if (v.objects[t.Index]-byName)&(1<<bit) != 0 {
				denied = append(denied, t.Check(verb, t.Name))
			}
		}
	}
	for i, check := range v.general[v.ofSet:] {
		if v.kinds[v.ofSet+i] == deniedKind && !slices.Contains(denied, check) {
			denied = append(denied, check)
		}
	}
	return denied
}

// The verbs that applying needs. Server-side apply is a patch, and where it makes a
// new object also a create.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/#api-implementation
const (
	verbGet    = "get" // to compare, and to see whether it is ready
	verbPatch  = "patch"
	verbCreate = "create"
	verbList   = "list"
	verbDelete = "delete"
)

// verbs are all of them; the place of each is its bit in a letter.
var verbs = []string{verbGet, verbPatch, verbCreate}

// setChecks are the permissions that a set takes beside those on the objects: to read and
// write its parent, to find its members and, if they may be pruned, to delete them. What is
// in the set already is unknown if its parent may not be read.
func (s *session) setChecks(ctx context.Context) ([]contract.Check, error) {
	if s.request.Mode == applymanifests.ModeSets {
		return []contract.Check{s.set().ParentTarget().Check(verbList, "")}, nil
	}
	if !hasSet(s.request) {
		return nil, nil
	}
	of := s.set().ParentTarget()
	checks := []contract.Check{of.Check(verbGet, of.Name)}
	if s.request.Mode != applymanifests.ModePlanDelete {
		checks = append(checks, of.Check(verbPatch, of.Name))
	}
	if s.request.Mode.HasManifests() {
		checks = append(checks, of.Check(verbCreate, ""))
	}
	if s.request.Mode == applymanifests.ModeDelete {
		checks = append(checks, of.Check(verbDelete, of.Name))
	}
	parent, err := sets.Read(ctx, s.Client, s.set())
	if named := (*contract.Error)(nil); errors.As(err, &named) && named.Name == contract.Forbidden {
		parent, err = sets.Parent{}, nil
	}
	if err != nil {
		return nil, err
	}
	ofMembers, err := sets.Checks(ctx, s.Client, parent.And(sets.ScopeOf(s.targets)), s.targets, s.request.Prune.Enabled)
	return append(checks, ofMembers...), err
}

// checksFor are the distinct checks of the objects, without their names.
func checksFor(targets []objects.Target) []contract.Check {
	var checks []contract.Check
	seen := map[contract.Check]bool{}
	for _, t := range targets {
		for _, verb := range verbs {
			if c := t.Check(verb, ""); !seen[c] {
				seen[c] = true
				checks = append(checks, c)
			}
		}
	}
	return checks
}

// forbidden says who is denied what, and what would allow it.
func (s *session) forbidden(ctx context.Context, checks []contract.Check) error {
	message := access.NoPermission(ctx, s.Conn, checks)
	if slices.ContainsFunc(checks, func(c contract.Check) bool { return s.brings(c.Namespace) }) {
		message += ". A role cannot be bound in a namespace that does not exist: create the namespace of the manifests first"
	}
	var namespaces []string
	for _, c := range checks {
		if c.Namespace != "" && c.Namespace != contract.AllNamespaces && !s.brings(c.Namespace) && !slices.Contains(namespaces, c.Namespace) {
			namespaces = append(namespaces, c.Namespace)
		}
	}
	message = s.withProgress(contract.Errorf(contract.Forbidden, "%s", message)).Message + ". These roles allow exactly what is missing" + access.IfTheyExist(namespaces) + "; apply them with kubectl apply -f -"
	return contract.Errorf(contract.Forbidden, "%s", access.WithRoles(message, checks, s.Conn.Group))
}
