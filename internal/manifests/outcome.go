package manifests

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// failed is an object that cannot be applied.
type failed struct {
	objects.Target
	err *contract.Error
}

// failure is the error that all that failed comes to.
func (p *planner) failure(total int) error {
	failures := p.failures
	byOrder(failures, func(f failed) objects.Target { return f.Target })
	if len(failures) == 0 && p.request.Mode == applymanifests.ModeApply {
		if err := p.ownerConflict(total); err != nil || p.request.Force {
			return err
		}
		return p.conflicting(total)
	}
	if len(failures) == 0 {
		return nil
	}
	named := failures[0].err
	var all []*contract.Error
	for _, f := range failures {
		all = append(all, f.err)
	}
	if len(failures) > 1 {
		of := fmt.Sprintf("%d of %d objects", len(failures), total)
		if planned := len(p.ledger) - p.ledger.Count(batch.IsLeft) + len(failures); planned < total {
			of = fmt.Sprintf("%d of the first %d objects (of %d)", len(failures), planned, total)
		}
		named = contract.Errorf(named.Name, "%s cannot be applied. %s", of, strings.Join(texts(failures), ". "))
	}
	return p.withFix(p.withProgress(named), all...)
}

// conflicting is the error that fields of other owners come to, if there are any.
func (p *planner) conflicting(total int) error {
	if len(p.conflicts) == 0 {
		return nil
	}
	byOrder(p.conflicts, func(f failed) objects.Target { return f.Target })
	fields := fmt.Sprintf("%d of %d objects %s fields that another manager owns: %s", len(p.conflicts), total, setOrSets(len(p.conflicts)), strings.Join(texts(p.conflicts), "; ")) +
		`. Remove these fields from the manifests, or take them with "force": true (--force)`
	if p.history.Has(batch.IsChanged) {
		return p.withProgress(contract.Errorf(contract.FieldConflict, "Nothing more is applied to cluster %s: %s", p.Conn.Cluster.Name, fields))
	}
	return contract.Errorf(contract.FieldConflict, "Nothing was applied to cluster %s: %s", p.Conn.Cluster.Name, fields)
}

func setOrSets(objects int) string {
	if objects == 1 {
		return "sets"
	}
	return "set"
}

// texts are what is told of each object. One webhook that fails is told of once.
func texts(failures []failed) []string {
	named := map[kube.Webhook][]string{}
	for _, f := range failures {
		if w := (objects.WebhookFailure{}); errors.As(f.err, &w) {
			named[w.Webhook] = append(named[w.Webhook], fmt.Sprintf("%s (%s)", f.Target, f.From))
		}
	}
	var texts []string
	told := 0
	for _, f := range failures {
		w := objects.WebhookFailure{}
		switch isWebhook := errors.As(f.err, &w); {
		case isWebhook && named[w.Webhook] == nil: // told
		case len(texts) == maxFailed:
			return append(texts, fmt.Sprintf("and %d more", len(failures)-told))
		case isWebhook && len(named[w.Webhook]) > 1:
			texts = append(texts, fmt.Sprintf("%s failed for %s %s", w.Webhook, enumerate(named[w.Webhook]), w.Why))
			told += len(named[w.Webhook])
			named[w.Webhook] = nil
		default:
			texts = append(texts, f.err.Message)
			told++
		}
	}
	return texts
}

// withFix adds the roles that grant what the errors come from. They are the end of a
// message: whatever follows would be part of the YAML.
func (s *session) withFix(message *contract.Error, of ...*contract.Error) *contract.Error {
	var checks []contract.Check
	for _, err := range of {
		if d := (objects.Denial{}); errors.As(err, &d) {
			checks = append(checks, d.Checks...)
		}
	}
	if len(checks) > 0 {
		message.Message = access.WithRoles(message.Message+". These roles allow these verbs; apply them with kubectl apply -f -", checks, s.Conn.Group)
	}
	return message
}
