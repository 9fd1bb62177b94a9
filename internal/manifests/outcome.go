package manifests

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// failed is an object that cannot be applied.
type failed struct {
	target
	err *contract.Error
}

// failure is the error that all that failed comes to.
func (p *planner) failure(objects int) error {
	failures := p.failures
	byOrder(failures, func(f failed) target { return f.target })
	if len(failures) == 0 && p.request.Mode == contract.Apply && !p.request.Force {
		return p.conflicting(objects)
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
		of := fmt.Sprintf("%d of %d objects", len(failures), objects)
		if planned := len(p.marks) - p.marks.count(pending) + len(failures); planned < objects {
			of = fmt.Sprintf("%d of the first %d objects (of %d)", len(failures), planned, objects)
		}
		named = contract.Errorf(named.Name, "%s cannot be applied. %s", of, strings.Join(texts(failures), ". "))
	}
	return p.withFix(p.told(named), all...)
}

// conflicting is the error that fields of other owners come to, if there are any.
func (p *planner) conflicting(objects int) error {
	if len(p.conflicts) == 0 {
		return nil
	}
	byOrder(p.conflicts, func(f failed) target { return f.target })
	fields := fmt.Sprintf("%d of %d objects %s fields that another manager owns: %s", len(p.conflicts), objects, setOrSets(len(p.conflicts)), strings.Join(texts(p.conflicts), "; ")) +
		`. Remove these fields from the manifests, or take them with "force": true (--force)`
	if slices.ContainsFunc(p.history, isApplied) {
		return p.told(contract.Errorf(contract.FieldConflict, "Nothing more is applied to cluster %s: %s", p.conn.Cluster.Name, fields))
	}
	return contract.Errorf(contract.FieldConflict, "Nothing was applied to cluster %s: %s", p.conn.Cluster.Name, fields)
}

func setOrSets(objects int) string {
	if objects == 1 {
		return "sets"
	}
	return "set"
}

// texts are what is told of each object. One webhook that fails is told of once.
func texts(failures []failed) []string {
	objects := map[kube.Webhook][]string{}
	for _, f := range failures {
		if w := (webhookFailure{}); errors.As(f.err, &w) {
			objects[w.webhook] = append(objects[w.webhook], fmt.Sprintf("%s (%s)", f.target, f.place))
		}
	}
	var texts []string
	told := 0
	for _, f := range failures {
		w := webhookFailure{}
		switch isWebhook := errors.As(f.err, &w); {
		case isWebhook && objects[w.webhook] == nil: // told
		case len(texts) == maxFailed:
			return append(texts, fmt.Sprintf("and %d more", len(failures)-told))
		case isWebhook && len(objects[w.webhook]) > 1:
			texts = append(texts, fmt.Sprintf("%s failed for %s %s", w.webhook, enumerate(objects[w.webhook]), w.why))
			told += len(objects[w.webhook])
			objects[w.webhook] = nil
		default:
			texts = append(texts, f.err.Message)
			told++
		}
	}
	return texts
}
