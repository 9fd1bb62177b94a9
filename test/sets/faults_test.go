package sets

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// history is what happens to sets, of which one execution goes wrong.
type history struct {
	// others is what somebody else does first.
	others func(p *place) error
	// before are executions that end well.
	before []step
	// step is the execution in which a fault occurs, and that runs once more then.
	step step
	// instead is what runs then, in place of step.
	instead *step
	// after are executions that end well.
	after []step
	// stays are members that are no longer in the manifests and that are not deleted.
	stays string
}

func histories() map[string]history {
	return map[string]history{
		"a set is made": {
			step: step{set: "s", manifests: "cm a/one=1 secret b/two=2", prune: true},
		},
		"a set grows by a kind and a namespace": {
			before: []step{{set: "s", manifests: "cm a/one=1"}},
			step:   step{set: "s", manifests: "cm a/one=1 secret b/two=2 lease b/three=3 pc /four", prune: true},
		},
		"a set shrinks": {
			before: []step{{set: "s", manifests: "cm a/one=1 cm a/two=2 secret b/three=3 lease a/four=4 pc /five"}},
			step:   step{set: "s", manifests: "cm a/one=2", prune: true},
		},
		"a set shrinks by some of several stages, and is waited for": {
			before: []step{{set: "s", manifests: "cm a/one=1 lease a/two=2 sa b/three=3 pc /four"}},
			step:   step{set: "s", manifests: "cm a/one=1", prune: true, wait: 60},
		},
		"objects move to another namespace": {
			before: []step{{set: "s", manifests: "cm a/one=1 cm a/two=2"}},
			step:   step{set: "s", manifests: "cm b/one=1 cm b/two=2", prune: true},
		},
		"an object becomes one of another kind": {
			before: []step{{set: "s", manifests: "cm a/one=1 cm a/stays=1"}},
			step:   step{set: "s", manifests: "secret a/one=1 cm a/stays=1", prune: true},
		},
		"a set takes an object of another set": {
			before: []step{{set: "s", manifests: "cm a/one=1"}, {set: "other", manifests: "cm a/two=1 cm b/three=1"}},
			step:   step{set: "s", manifests: "cm a/one=1 cm b/three=2", prune: true, adopt: []string{"set/a/other"}},
			after:  []step{{set: "other", manifests: "cm a/two=1", prune: true}},
		},
		"a set goes on after another one has taken its object": {
			before: []step{
				{set: "s", manifests: "cm a/one=1 cm b/three=1"}, {set: "other", manifests: "cm a/two=1"},
				{set: "other", manifests: "cm a/two=1 cm b/three=2", adopt: []string{"set/a/s"}},
			},
			step: step{set: "s", manifests: "cm a/one=1", prune: true},
		},
		"two sets swap their objects": {
			before: []step{{set: "s", manifests: "cm a/one=1 cm a/mine=1"}, {set: "other", manifests: "cm b/two=2 cm b/its=1"}},
			step:   step{set: "s", manifests: "cm b/two=1 cm a/mine=1", adopt: []string{"set/a/other"}},
			after: []step{
				{set: "other", manifests: "cm a/one=1 cm b/its=1", prune: true, adopt: []string{"set/a/s"}},
				{set: "s", manifests: "cm b/two=1 cm a/mine=1", prune: true},
			},
		},
		"a definition and its objects are made": {
			before: []step{{set: "s", manifests: "cm a/one=1"}},
			step:   step{set: "s", manifests: "crd /gadgets gadget a/two=2 gadget b/three=3 cm a/one=1", prune: true},
		},
		"objects leave, and their definition stays": {
			before: []step{{set: "s", manifests: "crd /gadgets gadget a/two=2 gadget b/three=3 cm a/one=1"}},
			step:   step{set: "s", manifests: "cm a/one=1", prune: true},
			stays:  "crd /gadgets",
		},
		"a definition leaves with its objects": {
			before: []step{{set: "s", manifests: "crd /gadgets gadget a/two=2 gadget b/three=3 cm a/one=1"}},
			step:   step{set: "s", manifests: "cm a/one=1", prune: true, kinds: []string{"CustomResourceDefinition"}, wait: 60},
		},
		"a set is deleted": {
			before: []step{{set: "s", manifests: "cm a/one=1 secret b/two=2 pc /three"}, {set: "other", manifests: "cm a/two=1"}},
			step:   step{set: "s", mode: applymanifests.ModeDelete},
		},
		"a set is deleted but for what is kept": {
			others: func(p *place) error {
				return p.create("cm", "a", "kept", func(m map[string]any) {
					m["metadata"].(map[string]any)["annotations"] = map[string]any{"helm.sh/resource-policy": "keep"}
				})
			},
			before: []step{{set: "s", manifests: "cm a/one=1 cm a/kept=1 secret b/two=2", adopt: []string{"manager/somebody"}}},
			step:   step{set: "s", mode: applymanifests.ModeDelete},
			stays:  "cm a/kept",
		},
		"another execution has other manifests": {
			before:  []step{{set: "s", manifests: "cm a/one=1 secret b/two=1 lease a/four=1"}},
			step:    step{set: "s", manifests: "cm a/one=2 cm b/three=2 sa b/five=2", prune: true},
			instead: &step{set: "s", manifests: "cm a/one=3 secret a/six=3 lease a/four=3", prune: true},
		},
		"another execution deletes the set": {
			before:  []step{{set: "s", manifests: "cm a/one=1 secret b/two=1"}},
			step:    step{set: "s", manifests: "cm a/one=2 cm b/three=2 sa b/five=2", prune: true},
			instead: &step{set: "s", mode: applymanifests.ModeDelete},
		},
		"another execution makes the set again that one deletes": {
			before:  []step{{set: "s", manifests: "cm a/one=1 secret b/two=1"}},
			step:    step{set: "s", mode: applymanifests.ModeDelete},
			instead: &step{set: "s", manifests: "cm a/one=2 cm b/three=2", prune: true},
		},
		"an object without a label is taken in": {
			others: func(p *place) error { return p.create("cm", "b", "two", nil) },
			before: []step{{set: "s", manifests: "cm a/one=1 cm a/gone=1"}},
			step:   step{set: "s", manifests: "cm a/one=1 cm b/two=2", prune: true, adopt: []string{"manager/somebody"}},
		},
	}
}

// steps are all executions of a history.
func (h history) steps() []step {
	all := append(slices.Clone(h.before), h.step)
	if h.instead != nil {
		all = append(all, *h.instead)
	}
	return append(all, h.after...)
}

// lets reports whether the first execution may delete what the last one wants.
func (h history) lets(id string) bool {
	return h.instead != nil && !slices.ContainsFunc(parse(h.step.manifests), func(o object) bool { return o.id() == id })
}

// wanted are the members of each set in the end.
func (h history) wanted() map[string][]object {
	all := map[string][]object{}
	for _, s := range h.steps() {
		if s.mode == applymanifests.ModeDelete {
			delete(all, s.set)
			continue
		}
		all[s.set] = parse(s.manifests)
		for other := range all {
			if other != s.set {
				all[other] = slices.DeleteFunc(all[other], func(o object) bool {
					return slices.ContainsFunc(all[s.set], func(taken object) bool { return taken.id() == o.id() })
				})
			}
		}
	}
	if h.stays != "" {
		all[h.step.set] = append(all[h.step.set], parse(h.stays)...)
	}
	return all
}

// once runs the history in a place, with a fault, and returns what is wrong then.
func (h history) once(t testing.TB, p *place, with plan) (o outcome, problems []string) {
	t.Helper()
	var before, after map[string]live
	var err error
	p.outside(func() {
		if err = p.clear(); err == nil && h.others != nil {
			err = h.others(p)
		}
	})
	require.NoError(t, err)
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, s := range h.before {
		if o := p.run(t, s, plan{}); o.err != nil {
			say("before, set %s: %v", s.set, o.err)
			return o, problems
		}
	}
	p.outside(func() { before, err = p.look() })
	require.NoError(t, err)

	o = p.run(t, h.step, with)
	if o.err != nil && !with.stops {
		say("it did not end well: %v (%v)", o.err, o.path)
	}
	if with.fault != none {
		next := h.step
		if h.instead != nil {
			next = *h.instead
		}
		if again := p.run(t, next, plan{}); again.err != nil {
			say("it does not end well once more: %v (%v)", again.err, again.path)
		}
	}
	for _, s := range h.after {
		if o := p.run(t, s, plan{}); o.err != nil {
			say("after, set %s: %v", s.set, o.err)
		}
	}
	p.outside(func() { after, err = p.look() })
	require.NoError(t, err)
	return o, append(problems, h.judge(p, before, after, with.fault == none)...)
}

// judge says what is wrong in the end.
func (h history) judge(p *place, before, after map[string]live, exact bool) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	wanted := h.wanted()
	setOf := map[string]string{} // by the label of their members
	for _, s := range h.steps() {
		setOf[p.setOf(s.set).ID()] = s.set
	}
	isWanted := map[string]string{} // in which set, by object
	for set, members := range wanted {
		for _, o := range members {
			isWanted[o.id()] = set
			l, ok := after[o.id()]
			switch {
			case !ok:
				say("%s is missing", o.id())
			case setOf[l.partOf] != set:
				say("%s is in set %q instead of %q", o.id(), setOf[l.partOf], set)
			case l.value != o.value && !slices.Contains([]string{"crd", "pc", "sa"}, o.kind) && !strings.Contains(h.stays, o.id()):
				say("%s has value %q instead of %q", o.id(), l.value, o.value)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		was, is := before[id], after[id]
		_, left := setOf[was.partOf]
		switch in, stays := isWanted[id]; {
		case is.uid == was.uid, was.parentOf != "", h.lets(id) && left:
		case stays:
			say("WRONG DELETION: %s is wanted in set %s, and was deleted", id, in)
		case !left:
			say("WRONG DELETION: %s was a member of no set, and was deleted", id)
		}
	}
	for set, problem := range p.orphans(after, setOf, exact) {
		say("set %s: %s", set, problem)
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		l := after[id]
		if _, ok := isWanted[id]; l.partOf != "" && !ok {
			say("ORPHAN: %s is still in set %q", id, setOf[l.partOf])
		}
	}
	return problems
}

// orphans says where the parents of sets and their members do not agree. A parent may have gadgets that are not there any more, and then
// namespaces too, unless it is to be exact: nobody can tell whether a kind has members that the cluster does not serve.
func (p *place) orphans(all map[string]live, setOf map[string]string, exact bool) map[string]string {
	problems := map[string]string{}
	for id, set := range setOf {
		kinds, namespaces := map[string]bool{}, map[string]bool{}
		for _, l := range all {
			if l.partOf != id {
				continue
			}
			k := p.kind(l.kind)
			kinds[k.group()] = true
			if k.namespaced && l.namespace != "a" {
				namespaces[p.namespace(l.namespace)] = true
			}
		}
		parent, exists := all["cm a/"+set]
		saysKinds, saysNamespaces := elements(parent.annotations["applyset.kubernetes.io/contains-group-kinds"]), elements(parent.annotations["applyset.kubernetes.io/additional-namespaces"])
		if gadget := p.kind("gadget").group(); !exact && saysKinds[gadget] && !kinds[gadget] {
			kinds[gadget] = true
			maps.Copy(namespaces, saysNamespaces)
		}
		switch {
		case !exists && len(kinds) > 0:
			problems[set] = fmt.Sprintf("it has members of kinds %v, and no parent", kinds)
		case !exists:
		case parent.parentOf != id:
			problems[set] = "its parent has the label " + parent.parentOf
		case parent.annotations["kubestep.github.io/changing-until"] != "":
			problems[set] = "somebody is still changing it"
		case !maps.Equal(saysKinds, kinds):
			problems[set] = fmt.Sprintf("its parent says kinds %v, and its members are of %v", saysKinds, kinds)
		case !maps.Equal(saysNamespaces, namespaces):
			problems[set] = fmt.Sprintf("its parent says namespaces %v, and its members are in %v", saysNamespaces, namespaces)
		}
	}
	return problems
}

// elements are those of a list with commas.
func elements(list string) map[string]bool {
	all := map[string]bool{}
	for one := range strings.SplitSeq(list, ",") {
		if one != "" {
			all[one] = true
		}
	}
	return all
}

func TestAfterAFaultAtAnyRequestNothingIsLostAndNothingIsLeft(t *testing.T) {
	for name, h := range histories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			var all outcome
			synctest.Test(t, func(t *testing.T) {
				var problems []string
				one := h
				one.instead = nil
				all, problems = one.once(t, p, plan{})
				assert.Empty(t, problems, "without a fault")
			})
			if t.Failed() {
				return
			}
			runs, wrong := 0, 0
			for _, with := range plans(name, all.requests) {
				synctest.Test(t, func(t *testing.T) {
					o, problems := h.once(t, p, with)
					runs++
					if len(problems) > 0 {
						wrong++
						t.Errorf("%s (%s):\n\t%s", with, o.faulty(), strings.Join(problems, "\n\t"))
					}
				})
			}
			t.Logf("%d requests, %d runs with a fault, %d ended wrong", len(all.requests), runs, wrong)
		})
	}
}

// plans are all faults at each request or, for a short run, some of them. An execution that is stopped leaves what was changed until then,
// and reading twice changes nothing: so that occurs at changes only.
func plans(name string, requests []string) (all []plan) {
	writes := len(slices.DeleteFunc(slices.Clone(requests), func(request string) bool { return !isWrite(request) }))
	for at := 1; at <= writes; at++ {
		for _, p := range []plan{{fault: killAfter}, {fault: killBefore, stops: true}, {fault: killAfter, stops: true}, {fault: lostAnswer}, {fault: twice}} {
			p.at, p.only = at, isWrite
			all = append(all, p)
		}
	}
	for at := range requests {
		all = append(all, plan{fault: killBefore, at: at + 1}, plan{fault: lostAnswer, at: at + 1})
	}
	return some(name, all)
}

// some are all, or some of them for a short run.
func some[T any](name string, all []T) []T {
	var kept []T
	for i := int(hashOf(name)) % min(*every, len(all)); i < len(all); i += *every {
		kept = append(kept, all[i])
	}
	return kept
}

// hashOf makes short runs of several tests differ.
func hashOf(name string) uint32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	return hash.Sum32() % 1000
}
