package manifests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/objects"
)

// pending are the targets that are left to do, of those that the filter lets pass. The
// ledger has the order of the manifests: the order of stages may change when a kind becomes
// known.
func (s *session) pending(l batch.Ledger, filter func(objects.Target) bool) []objects.Target {
	return slices.DeleteFunc(slices.Clone(s.targets), func(t objects.Target) bool { return !batch.IsLeft(l[t.Index]) || !filter(t) })
}

// history is what the execution has applied so far: in the rounds of which Done is given,
// and before its cluster was described again.
func history(in applymanifests.Session, applied string) batch.Ledger {
	l := batch.NewLedger(applied, in.Manifests.Objects)
	sha, before, _ := strings.Cut(in.Progress, ":")
	if sha != in.Manifests.SHA256 {
		return l // load-manifests refuses others
	}
	for i := range min(len(l), len(before)) {
		if batch.IsChanged(before[i]) && !batch.IsChanged(l[i]) {
			l[i] = before[i]
		}
	}
	return l
}

// tell adds to an error what the execution applied before it. The names of the objects
// may be unknown.
func tell(applied batch.Ledger, err error, objects []string) error {
	var named *contract.Error
	count := applied.Count(batch.IsChanged)
	if count == 0 || !errors.As(err, &named) {
		return err
	}
	var names []string
	for i, name := range objects {
		if i < len(applied) && batch.IsChanged(applied[i]) {
			names = append(names, name)
		}
	}
	text := fmt.Sprintf("%s. Before that, %d of %d objects were applied and are left in place", named.Message, count, len(applied))
	if len(names) > 0 {
		text += ": " + contract.Clip(contract.OneLine(enumerate(names)), maxNames)
	}
	return contract.Errorf(named.Name, "%s", text).From(named)
}

// maxNames bounds the names of objects in an error, in bytes.
const maxNames = 4 << 10

// withProgress is an error about the whole session with what was applied before it.
func (s *session) withProgress(err *contract.Error) *contract.Error {
	var told *contract.Error
	if errors.As(s.tell(err), &told) {
		return told
	}
	return err
}

// tell adds to an error what was applied before it.
func (s *session) tell(err error) error {
	names := make([]string, len(s.targets))
	for _, t := range s.targets {
		names[t.Index] = t.String()
	}
	return tell(s.history, err, names)
}

// retried are the errors after which the machine runs the function again. What a round
// has done until then must not be lost: its answer is a success, and the next one meets
// the error first.
var retried = []contract.ErrorName{contract.ClusterUnreachable, contract.CertificateNotTrusted, contract.Throttled, contract.Unauthorized}

// halfway is the error of a round in which nothing more can be applied.
func (a *applier) halfway(err error, attempt int) error {
	var named *contract.Error
	if !errors.As(err, &named) {
		named = a.Conn.Explain(err, "apply the manifests")
	}
	for i, letter := range a.ledger {
		if batch.IsChanged(letter) {
			a.history[i] = letter
		}
	}
	told := a.withProgress(named)
	switch {
	case told != named:
	case attempt > 0: // the one before may have ended without an answer
		told = contract.Errorf(named.Name, "%s. Nothing is known to have been applied", named.Message).From(named)
	default:
		told = contract.Errorf(named.Name, "%s. Nothing was applied", named.Message).From(named)
	}
	return a.withFix(told, named)
}

// open is openSession, whose errors say what was applied before.
func (a Applier) open(ctx context.Context, in applymanifests.Session, applied string) (*session, error) {
	before := history(in, applied)
	given, err := a.Source.again(ctx, in)
	if err != nil {
		return nil, tell(before, err, nil)
	}
	s, err := a.openSession(ctx, in, given)
	if err != nil {
		var names []string
		for _, o := range given {
			names = append(names, objects.Describe(o.Kind, "", o.Name)) // whether it is in a namespace is not known
		}
		return nil, tell(before, err, names)
	}
	s.history = batch.NewLedger(string(before), len(given))
	return s, nil
}
