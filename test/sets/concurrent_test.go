package sets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/test/asl"
)

// pair are two executions of a set at the same time.
type pair struct {
	before []step
	steps  [2]step
}

func pairs() map[string]pair {
	before := []step{{set: "s", manifests: "cm a/both=0 secret b/first=0 lease a/second=0 cm b/neither=0"}}
	first := step{set: "s", manifests: "cm a/both=1 secret b/first=1 sa b/new=1", prune: true}
	second := step{set: "s", manifests: "cm a/both=2 lease a/second=2 cm b/young=2", prune: true}
	return map[string]pair{
		"two executions with different manifests":    {before, [2]step{first, second}},
		"two executions that make a set":             {nil, [2]step{first, second}},
		"one applies the set that the other deletes": {before, [2]step{first, {set: "s", mode: applymanifests.ModeDelete}}},
		"both delete the set":                        {before, [2]step{{set: "s", mode: applymanifests.ModeDelete}, {set: "s", mode: applymanifests.ModeDelete}}},
		"both have the same manifests":               {before, [2]step{first, first}},
		"one prunes and the other does not":          {before, [2]step{first, {set: "s", manifests: "cm a/both=2 lease a/second=2 cm b/young=2"}}},
	}
}

// allowed are the errors of an execution that another one came before.
var allowed = []string{string(contract.SetInUse), string(contract.SetTaken)}

// judge says what is wrong once both have ended: there may be members of both, but they are found from the parent.
func (q pair) judge(p *place, before, after map[string]live, ends [2]outcome) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for i, o := range ends {
		if failed := (asl.Error{}); o.err != nil && (!errors.As(o.err, &failed) || !slices.Contains(allowed, failed.Name)) {
			say("execution %d ended with %v", i+1, o.err)
		}
	}
	if ends[0].err != nil && ends[1].err != nil {
		say("none of both came to its end: %v; %v", ends[0].err, ends[1].err)
	}
	// Nothing that both want is deleted.
	for id, was := range before {
		inBoth := true
		for _, s := range q.steps {
			inBoth = inBoth && slices.ContainsFunc(parse(s.manifests), func(o object) bool { return o.id() == id })
		}
		if inBoth && after[id].uid != was.uid {
			say("WRONG DELETION: %s", id)
		}
	}
	return append(problems, p.beyond(after, "s")...)
}

// beyond are the members that are not found from the parent of a set.
func (p *place) beyond(all map[string]live, set string) (problems []string) {
	parent, exists := all["cm a/"+set]
	kinds, namespaces := elements(parent.annotations["applyset.kubernetes.io/contains-group-kinds"]), elements(parent.annotations["applyset.kubernetes.io/additional-namespaces"])
	namespaces[p.namespace("a")] = true
	for _, id := range slices.Sorted(maps.Keys(all)) {
		l := all[id]
		if l.partOf != p.setOf(set).ID() {
			continue
		}
		if k := p.kind(l.kind); !exists || !kinds[k.group()] || k.namespaced && !namespaces[p.namespace(l.namespace)] {
			problems = append(problems, fmt.Sprintf("ORPHAN: %s is not found from its parent (kinds %v, namespaces %v)", id, kinds, namespaces))
		}
	}
	return problems
}

// exactly says how the members of a set differ from manifests.
func (p *place) exactly(all map[string]live, s step) (problems []string) {
	wanted := map[string]object{}
	for _, o := range parse(s.manifests) {
		wanted[o.id()] = o
		if l := all[o.id()]; l.partOf != p.setOf(s.set).ID() || o.kind != "sa" && l.value != o.value {
			problems = append(problems, fmt.Sprintf("%s is %+v", o.id(), l))
		}
	}
	for id, l := range all {
		if _, ok := wanted[id]; l.partOf == p.setOf(s.set).ID() && !ok {
			problems = append(problems, id+" is a member still")
		}
	}
	slices.Sort(problems)
	return problems
}

// ran is a function that has run, of one of two executions, and whether it ended well.
type ran struct {
	of       int
	function string
	well     bool
}

func (r ran) String() string { return fmt.Sprintf("%d:%s:%t", r.of+1, r.function, r.well) }

// overtaken reports whether the other execution began to change the set while this one changed it, and this one went on.
func overtaken(all []ran, of int) bool {
	claims := func(r ran) bool { return r.well && r.function == "ApplyManifests" }
	first := slices.IndexFunc(all, func(r ran) bool { return r.of == of && claims(r) })
	if first < 0 {
		return false
	}
	other := slices.IndexFunc(all[first:], func(r ran) bool { return r.of != of && claims(r) })
	return other >= 0 && slices.ContainsFunc(all[first+other:], func(r ran) bool { return r.of == of })
}

// gated makes an execution wait for its turn before each function that works on the set, and says which ran.
func gated(e *execution, parked chan<- bool, turn <-chan struct{}, ended func(function string, well bool)) {
	invoke := e.invoke
	e.invoke = func(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
		switch function {
		case "PlanManifests", "PlanSet", "ApplyManifests", "PruneObjects":
			parked <- true
			<-turn
			answer, err := invoke(ctx, function, payload)
			ended(function, err == nil)
			return answer, err
		}
		return invoke(ctx, function, payload)
	}
}

// interleave runs both executions, one function at a time: the schedule says whose is next, and who comes first once it is over. It
// returns which functions ran.
func (q pair) interleave(t *testing.T, p *place, links [2]*link, schedule []int) (all []ran, ends [2]outcome, problems []string) {
	t.Helper()
	var parked [2]chan bool
	var turns [2]chan struct{}
	last := -1 // who took over the set last
	for i, s := range q.steps {
		links[i].begin(plan{})
		e := p.newExecution(t, links[i], s)
		parked[i], turns[i] = make(chan bool), make(chan struct{})
		gated(e, parked[i], turns[i], func(function string, well bool) { all = append(all, ran{i, function, well}) })
		go func() {
			ends[i] = e.end(t)
			close(parked[i])
		}()
	}
	over := [2]bool{}
	waiting := [2]bool{}
	for n := 0; ; n++ {
		for i := range parked {
			if !over[i] && !waiting[i] {
				_, more := <-parked[i]
				over[i], waiting[i] = !more, more
				if !more && ends[i].err == nil && last == i {
					var all map[string]live
					var err error
					p.outside(func() { all, err = p.look() })
					require.NoError(t, err)
					if q.steps[i].prune {
						for _, problem := range p.exactly(all, q.steps[i]) {
							problems = append(problems, fmt.Sprintf("execution %d ended well, and %s", i+1, problem))
						}
					}
				}
			}
		}
		if over[0] && over[1] {
			for i, o := range ends {
				isGone := o.err == nil && q.steps[i].mode == applymanifests.ModeDelete // whoever deleted it
				if failed := (asl.Error{}); overtaken(all, i) && !isGone && (!errors.As(o.err, &failed) || failed.Name != string(contract.SetTaken)) {
					problems = append(problems, fmt.Sprintf("execution %d was overtaken, and ended with %v", i+1, o.err))
				}
			}
			return all, ends, problems
		}
		next := 0
		if n < len(schedule) {
			next = schedule[n]
		}
		if over[next] {
			next = 1 - next
		}
		waiting[next] = false
		turns[next] <- struct{}{}
		last = next
	}
}

// schedules are the orders of four functions of one execution and four of the other: so many does each have that plans once.
func schedules() (all [][]int) {
	const each = 4
	for n := range 1 << (2 * each) {
		if bits.OnesCount(uint(n)) != each {
			continue
		}
		schedule := make([]int, 2*each)
		for i := range schedule {
			schedule[i] = n >> i & 1
		}
		all = append(all, schedule)
	}
	return all
}

func TestTwoExecutionsOfASetAreAsOneAfterTheOther(t *testing.T) {
	for name, q := range pairs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			links := [2]*link{p.link, p.other}
			seen := map[string]bool{}
			runs := 0
			for _, schedule := range some(name, schedules()) {
				synctest.Test(t, func(t *testing.T) {
					var before, after map[string]live
					var err error
					p.outside(func() { err = p.clear() })
					require.NoError(t, err)
					for _, s := range q.before {
						require.NoError(t, p.run(t, s, plan{}).err)
					}
					p.outside(func() { before, err = p.look() })
					require.NoError(t, err)
					ran, ends, problems := q.interleave(t, p, links, schedule)
					seen[fmt.Sprint(ran)] = true
					p.outside(func() { after, err = p.look() })
					require.NoError(t, err)
					problems = append(problems, q.judge(p, before, after, ends)...)
					for i := range q.steps { // whoever runs once more has it as its manifests say
						again := p.run(t, q.steps[i], plan{})
						p.outside(func() { after, err = p.look() })
						require.NoError(t, err)
						if again.err != nil {
							problems = append(problems, fmt.Sprintf("execution %d does not end well once more: %v", i+1, again.err))
						}
						if q.steps[i].prune || q.steps[i].mode == applymanifests.ModeDelete {
							problems = append(problems, p.exactly(after, q.steps[i])...)
						}
					}
					runs++
					if len(problems) > 0 {
						t.Errorf("%v (%v %v; %v %v):\n\t%s", ran, ends[0].path, ends[0].err, ends[1].path, ends[1].err, strings.Join(problems, "\n\t"))
					}
				})
			}
			t.Logf("%d runs in %d different orders", runs, len(seen))
		})
	}
}

// An execution begins at some request of another one, which goes on once the later one has ended, or waits for the set.
func TestAnExecutionThatBeginsWhileAnotherOneRuns(t *testing.T) {
	for name, q := range pairs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			once := func(t *testing.T, at int) (requests int) {
				synctest.Test(t, func(t *testing.T) {
					var before, after map[string]live
					var err error
					p.outside(func() { err = p.clear() })
					require.NoError(t, err)
					for _, s := range q.before {
						require.NoError(t, p.run(t, s, plan{}).err)
					}
					p.outside(func() { before, err = p.look() })
					require.NoError(t, err)

					held := newHold(at)
					p.link.hold = held
					p.link.begin(plan{})
					var ends [2]outcome
					var last int // who ends last
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						defer func() { last = 0 }()
						ends[0] = p.newExecution(t, p.link, q.steps[0]).end(t)
					}()
					select {
					case <-held.reached:
					case <-ended:
					}
					p.other.begin(plan{})
					second := p.newExecution(t, p.other, q.steps[1])
					waits, secondEnded := make(chan struct{}, 100), make(chan struct{})
					second.waits = func() { waits <- struct{}{} }
					go func() {
						defer close(secondEnded)
						defer func() { last = 1 }()
						ends[1] = second.end(t)
					}()
					select {
					case <-waits:
					case <-secondEnded:
					}
					close(held.released)
					<-ended
					<-secondEnded
					requests = held.n
					p.link.hold = nil
					p.outside(func() { after, err = p.look() })
					require.NoError(t, err)
					problems := q.judge(p, before, after, ends)
					if s := q.steps[last]; ends[last].err == nil && (s.prune || s.mode == applymanifests.ModeDelete) {
						problems = append(problems, p.exactly(after, s)...)
					}
					for i := range q.steps {
						if again := p.run(t, q.steps[i], plan{}); again.err != nil {
							problems = append(problems, fmt.Sprintf("execution %d does not end well once more: %v", i+1, again.err))
						}
					}
					if len(problems) > 0 {
						t.Errorf("at request %d (%v %v; %v %v):\n\t%s", at, ends[0].path, ends[0].err, ends[1].path, ends[1].err, strings.Join(problems, "\n\t"))
					}
				})
				return requests
			}
			if *every > 1 {
				once(t, 1+int(hashOf(t.Name()))%fewest)
				return
			}
			requests, runs := once(t, 1<<20), 0
			for at := 1; at <= requests; at++ {
				once(t, at)
				runs++
			}
			t.Logf("%d requests, %d runs", requests, runs)
		})
	}
}

// fewest is how many requests there are at least.
const fewest = 55

// person is what somebody does with kubectl to the members of a set while an execution runs.
type person struct {
	// first is what the person does before anything.
	first func(p *place) error
	// before are executions that end well, before the person and the execution meet.
	before []step
	// of is the execution, if it is another one than that of most.
	of   *step
	does func(p *place) error
	// keeps are the objects that must be there in the end, as they are then, if what the person does succeeded.
	keeps string
	// survives is an object that is there when the execution has ended, if it was made after its plan.
	survives string
	// exact is set if the execution ends with its manifests, whatever the person does.
	exact bool
	// ends are the errors that the execution may end with.
	ends []string
	// then is what the person does between that and the execution.
	then func(p *place) error
	// tooLate is set if what the person does after the last listing is lost: whoever makes a member by hand tells no parent of it.
	tooLate bool
	// loses is set if nobody can find the members of the set afterwards.
	loses bool
}

func persons() map[string]person {
	leaving, stays := object{kind: "secret", namespace: "b", name: "leaves"}, object{kind: "cm", namespace: "a", name: "one"}
	parent := object{kind: "cm", namespace: "a", name: "s"}
	again := func(p *place, o object, labels map[string]any) error {
		if err := p.remove(o); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		return p.create(o.kind, o.namespace, o.name, func(m map[string]any) { m["metadata"].(map[string]any)["labels"] = labels })
	}
	return map[string]person{
		"keeps a member by an annotation": {
			does: func(p *place) error {
				return p.patch(leaving, `{"metadata":{"annotations":{"helm.sh/resource-policy":"keep"}}}`)
			},
			keeps: leaving.id(),
		},
		"gives a member to Helm": {
			does: func(p *place) error {
				return p.patch(leaving, `{"metadata":{"annotations":{"meta.helm.sh/release-name":"r"}}}`)
			},
			keeps: leaving.id(),
		},
		"takes a member out of the set": {
			does: func(p *place) error {
				return p.patch(leaving, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
			},
			keeps: leaving.id(),
		},
		"puts a member into another set": {
			does: func(p *place) error {
				return p.patch(leaving, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":"applyset-other"}}}`)
			},
			keeps: leaving.id(),
		},
		"makes an object of the name of a member": {
			does:  func(p *place) error { return again(p, leaving, nil) },
			keeps: leaving.id(),
		},
		"makes a member of the name of a member": {
			does: func(p *place) error {
				return again(p, leaving, map[string]any{"applyset.kubernetes.io/part-of": p.setOf("s").ID()})
			},
			survives: leaving.id(),
			tooLate:  true,
		},
		"applies other manifests to the end": {
			does: func(p *place) error {
				all, err := p.look()
				// With the clock of this computer, which is not that of the bubble, the turn of the other one would be over.
				if err != nil || all["cm a/s"].annotations["kubestep.github.io/changing-until"] != "" {
					return err
				}
				p.other.begin(plan{})
				err = p.newExecution(p.t, p.other, step{set: "s", manifests: "cm a/one=7 lease b/others=7", prune: true}).end(p.t).err
				if failed := (asl.Error{}); errors.As(err, &failed) && failed.Name == string(contract.SetInUse) {
					return nil
				}
				return err
			},
			ends:  []string{string(contract.SetTaken)},
			exact: true,
		},
		"makes a member of a set that is deleted": {
			of: &step{set: "s", mode: applymanifests.ModeDelete},
			does: func(p *place) error {
				return p.create("cm", "a", "stranger", func(m map[string]any) {
					m["metadata"].(map[string]any)["labels"] = map[string]any{"applyset.kubernetes.io/part-of": p.setOf("s").ID()}
				})
			},
			ends:    []string{string(contract.SetTaken)},
			tooLate: true,
		},
		"edits a member that leaves": {
			does: func(p *place) error { return p.patch(leaving, `{"metadata":{"annotations":{"edited":"yes"}}}`) },
		},
		"deletes a member that leaves": {
			does: func(p *place) error { return p.remove(leaving) },
		},
		"deletes an object of the manifests": {
			does: func(p *place) error { return p.remove(stays) },
		},
		"writes on the parent": {
			does: func(p *place) error { return p.patch(parent, `{"metadata":{"annotations":{"note":"seen"}}}`) },
		},
		"deletes the parent": {
			does:  func(p *place) error { return p.remove(parent) },
			ends:  []string{string(contract.SetTaken)},
			loses: true,
		},
		"makes the parent of another set a member": {
			before: []step{{set: "other", manifests: "cm b/its=1"}},
			does: func(p *place) error {
				return p.patch(object{kind: "cm", namespace: "a", name: "other"}, fmt.Sprintf(`{"metadata":{"labels":{"applyset.kubernetes.io/part-of":%q}}}`, p.setOf("s").ID()))
			},
			keeps: "cm a/other",
		},
		"lets the cluster serve a kind again": {
			first:  func(p *place) error { return p.create("crd", "", "gadgets", nil) },
			before: []step{{set: "s", manifests: "cm a/one=1 secret b/leaves=1 cm b/goes=1 gadget b/away=1"}},
			does:   func(p *place) error { return p.serve(true) },
			then:   func(p *place) error { return p.serve(false) },
		},
		"makes another object a member": {
			survives: "cm a/stranger",
			does: func(p *place) error {
				return p.create("cm", "a", "stranger", func(m map[string]any) {
					m["metadata"].(map[string]any)["labels"] = map[string]any{"applyset.kubernetes.io/part-of": p.setOf("s").ID()}
				})
			},
		},
	}
}

func TestSomebodyChangesASetWhileAnExecutionRuns(t *testing.T) {
	before := step{set: "s", manifests: "cm a/one=1 secret b/leaves=1 cm b/goes=1"}
	for name, who := range persons() {
		of := step{set: "s", manifests: "cm a/one=2 lease a/new=2", prune: true}
		if who.of != nil {
			of = *who.of
		}
		t.Run("who "+name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			once := func(t *testing.T, at int, only func(string) bool) (requests int) {
				synctest.Test(t, func(t *testing.T) {
					var after map[string]live
					kept := ""
					var err, did error
					p.outside(func() {
						if err = p.clear(); err == nil && who.first != nil {
							err = who.first(p)
						}
					})
					require.NoError(t, err)
					for _, s := range append([]step{before}, who.before...) {
						require.NoError(t, p.run(t, s, plan{}).err)
					}
					if who.then != nil {
						p.outside(func() { err = who.then(p) })
						require.NoError(t, err)
					}
					o := p.run(t, of, plan{fault: somebody, at: at, only: only, acts: func() {
						if did = who.does(p); did == nil && who.keeps != "" {
							var all map[string]live
							all, did = p.look()
							kept = all[who.keeps].uid
						}
					}})
					requests = len(o.requests)
					isListed := !slices.ContainsFunc(o.requests[o.hit:], func(request string) bool { return strings.Contains(request, "labelSelector=") })
					loses := who.loses || who.tooLate && isListed
					var problems []string
					if failed := (asl.Error{}); o.err != nil && (!errors.As(o.err, &failed) || !slices.Contains(who.ends, failed.Name)) {
						problems = append(problems, fmt.Sprintf("it ended with %v", o.err))
					}
					if did != nil && !apierrors.IsNotFound(did) && !apierrors.IsAlreadyExists(did) {
						problems = append(problems, fmt.Sprintf("what the person does failed: %v", did))
					}
					p.outside(func() { after, err = p.look() })
					require.NoError(t, err)
					if !loses {
						problems = append(problems, p.beyond(after, "s")...)
					}
					if who.exact && o.err == nil {
						problems = append(problems, p.exactly(after, of)...)
					}
					isPlanned := slices.ContainsFunc(o.requests[:o.hit+1], isWrite)
					if who.survives != "" && did == nil && isPlanned && after[who.survives].uid == "" {
						problems = append(problems, "WRONG DELETION: no plan had "+who.survives)
					}
					again := p.run(t, of, plan{})
					if again.err != nil {
						problems = append(problems, fmt.Sprintf("it does not end well once more: %v", again.err))
					}
					p.outside(func() { after, err = p.look() })
					require.NoError(t, err)
					if kept != "" && after[who.keeps].uid != kept {
						problems = append(problems, "WRONG DELETION: "+who.keeps)
					}
					if who.keeps == "" && !loses {
						problems = append(problems, p.exactly(after, of)...)
					}
					for _, one := range p.orphans(after, map[string]string{p.setOf("s").ID(): "s"}, false) {
						if !loses {
							problems = append(problems, one)
						}
					}
					if len(problems) > 0 {
						t.Errorf("before request %d (%s; %v %v):\n\t%s", at, o.faulty(), o.path, o.err, strings.Join(problems, "\n\t"))
					}
				})
				return requests
			}
			if *every > 1 {
				once(t, 1+int(hashOf(t.Name()))%fewest, nil)
				if who.survives != "" || who.exact {
					once(t, 1, isWrite)
				}
				gone := false
				once(t, 1, func(request string) bool { // after all members are gone
					gone = gone || strings.HasPrefix(request, "DELETE ") && strings.Contains(request, "/secrets/leaves")
					return gone && strings.HasPrefix(request, "PATCH ")
				})
				once(t, 1, func(request string) bool { // after all members were listed
					return strings.HasPrefix(request, "DELETE ") && strings.Contains(request, "/secrets/leaves")
				})
				return
			}
			requests, runs := once(t, 1<<20, nil), 0
			for at := 1; at <= requests; at++ {
				once(t, at, nil)
				runs++
			}
			t.Logf("%d requests, %d runs", requests, runs)
		})
	}
}

// A function whose answer is lost may go on beside the next one of its execution, and beyond its end. Lambda says so with
// Lambda.SdkClientException: Step Functions has no connection to it any more.
func TestAFunctionThatGoesOnWhileItsExecutionHasInvokedItAgain(t *testing.T) {
	before := step{set: "s", manifests: "cm a/one=1 secret b/leaves=1"}
	first := step{set: "s", manifests: "cm a/one=2 lease b/new=2 sa b/newer=2", prune: true}
	then := step{set: "s", manifests: "cm a/one=3", prune: true}
	for _, function := range []string{"ApplyManifests", "PruneObjects"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			slow := p.other
			once := func(t *testing.T, at int) (requests int) {
				synctest.Test(t, func(t *testing.T) {
					var after map[string]live
					var err error
					p.outside(func() { err = p.clear() })
					require.NoError(t, err)
					require.NoError(t, p.run(t, before, plan{}).err)

					held, ended := newHold(at), make(chan struct{})
					slow.hold = held
					slow.begin(plan{})
					p.link.begin(plan{})
					e := p.newExecution(t, p.link, first)
					invoke, again := e.invoke, false
					e.invoke = func(ctx context.Context, name string, payload json.RawMessage) (json.RawMessage, error) {
						if name != function || again {
							return invoke(ctx, name, payload)
						}
						again = true
						var payloadOfSlow map[string]any
						if err := json.Unmarshal(payload, &payloadOfSlow); err != nil {
							return nil, err
						}
						payloadOfSlow["cluster"] = slow.cluster()
						payload, err := json.Marshal(payloadOfSlow)
						if err != nil {
							return nil, err
						}
						go func() {
							defer close(ended)
							_, _ = slow.invoke(context.WithoutCancel(ctx), slow.functions()[name], payload)
						}()
						select {
						case <-held.reached:
						case <-ended:
						}
						return nil, asl.Error{Name: "Lambda.SdkClientException", Cause: "{}"}
					}
					assert.NoError(t, e.end(t).err)
					p.link.begin(plan{})
					last := p.newExecution(t, p.link, then)
					lastEnded := make(chan struct{})
					var end outcome
					go func() {
						defer close(lastEnded)
						end = last.end(t)
					}()
					<-lastEnded
					close(held.released) // if its time is not over
					<-ended
					requests = held.n
					slow.hold = nil
					p.outside(func() { after, err = p.look() })
					require.NoError(t, err)
					assert.NoError(t, end.err)
					problems := append(p.exactly(after, then), p.beyond(after, "s")...)
					if len(problems) > 0 {
						t.Errorf("at request %d:\n\t%s", at, strings.Join(problems, "\n\t"))
					}
				})
				return requests
			}
			if *every > 1 {
				once(t, 5)
				return
			}
			requests, runs := once(t, 1<<20), 0
			for at := 1; at <= requests; at++ {
				once(t, at)
				runs++
			}
			t.Logf("%d requests, %d runs", requests, runs)
		})
	}
}

func TestASetDoesNotTakeInWhatStandsForAnotherSet(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, p.run(t, step{set: "other", manifests: "cm b/its=1"}, plan{}).err)
		err := p.run(t, step{set: "s", manifests: "cm a/one=1 cm a/other=1"}, plan{}).err
		assert.ErrorContains(t, err, string(contract.OwnerConflict))
		var all map[string]live
		p.outside(func() { all, err = p.look() })
		require.NoError(t, err)
		assert.Empty(t, all["cm a/other"].partOf)
		assert.NotContains(t, all, "cm a/one", "nothing is applied")
	})
}

func TestMembersAreDeletedInTheReverseOrderOfTheirStages(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, p.run(t, step{set: "s", manifests: "cm a/one=1 lease a/two=1 lease a/three=1 sa b/four=1 sa b/five=1 pc /six pc /seven"}, plan{}).err)
		o := p.run(t, step{set: "s", manifests: "cm a/one=1", prune: true}, plan{})
		require.NoError(t, o.err)
		var kinds []string
		for _, request := range o.requests {
			for _, plural := range []string{"leases", "serviceaccounts", "priorityclasses"} {
				if strings.HasPrefix(request, "DELETE ") && strings.Contains(request, "/"+plural+"/") {
					kinds = append(kinds, plural)
				}
			}
		}
		assert.Equal(t, []string{"leases", "leases", "serviceaccounts", "serviceaccounts", "priorityclasses", "priorityclasses"}, kinds)
	})
}
