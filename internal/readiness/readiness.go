// Package readiness tells whether objects are ready: by the rules of kstatus and, for
// the kinds of which kstatus says what is not so, by a reader of their own, as Flux and
// Helm have one for Jobs. It has a package, and a function, of its own, because kstatus
// brings the types of core/v1, a third of the function's size.
package readiness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// maxWaiting bounds the objects that a round tells of, in bytes of JSON.
	maxWaiting = 16 << 10
	// maxTold is how many objects an error tells of, and maxReason bounds what it
	// passes on of an object's own message, in bytes.
	maxTold   = 20
	maxReason = 256
	// shortestWait and longestWait bound the time between rounds, in seconds. Each round
	// takes a token and some transitions of the machine.
	shortestWait = 2
	longestWait  = 15
	// observing is how long an object has until its controller writes its status. After
	// that it counts as ready, and the output says so: the controllers of some kinds never
	// write it.
	observing = 30 * time.Second
)

// The letters of Readiness.Done. A small one is of an object that was ready once, and
// is looked at again once all were; a capital one of an object that was ready at that
// last look. If one is not, all others are looked at again too.
const (
	ready      = 'r'
	ended      = 'e' // ready for good: if it is gone at the last look, that is no matter
	unobserved = 'u' // counts as ready, although nothing has written its status
)

// Checker checks readiness.
type Checker struct {
	Kube kube.Connector
}

// Check looks at the objects that were not ready in the rounds before and, once all
// were, at all of them again, so that all are known to be ready at about one moment.
//
// Errors: NotReady once one has failed or the time to wait is over, Unauthorized,
// Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable.
func (c Checker) Check(ctx context.Context, in applymanifests.CheckReadiness) (applymanifests.Readiness, error) {
	conn, err := c.Kube.Connect(in.Session)
	if err != nil {
		return applymanifests.Readiness{}, err
	}
	defer conn.Close()
	timeout := time.Duration(in.Wait.TimeoutSeconds) * time.Second
	until := in.Readiness.Until
	if until.IsZero() {
		until = time.Now().Add(timeout).UTC()
	}
	objects := flatten(in.WaitFor)
	r := &round{conn: conn, ledger: batch.NewLedger(in.Readiness.Done, len(objects)), objects: objects, kinds: map[string]*kind{}}
	r.observing = time.Since(until.Add(-timeout)) < observing
	work := batch.NewRound(ctx)
	err = r.look(ctx, work, batch.IsLeft)
	if err == nil && !r.ledger.Has(batch.IsLeft) {
		err = r.look(ctx, work, isUnconfirmed)
	}
	if err != nil {
		return applymanifests.Readiness{}, conn.Explain(err, "get the objects of the manifests")
	}
	slices.SortFunc(r.notReady, func(a, b awaited) int { return a.index - b.index })
	left := time.Until(until)
	if r.ledger.Has(batch.IsLeft) {
		if r.failed || left <= 0 {
			return applymanifests.Readiness{}, r.error(timeout-max(left, 0), in.After)
		}
		r.unconfirm()
	}
	answer := applymanifests.Readiness{
		Complete: !r.ledger.Has(isUnconfirmed),
		Until:    until, WaitSeconds: pause(timeout-left, left), NotReady: r.notReadyObjects(), Unobserved: []applymanifests.ObjectName{}, Done: string(r.ledger),
	}
	if answer.Complete {
		answer.Unobserved = r.unobserved()
	}
	return answer, nil
}

// pause is how many seconds to wait: the longer it took so far, the longer.
func pause(waited, left time.Duration) int {
	seconds := min(max(int(waited.Seconds())/4, shortestWait), longestWait)
	return max(1, min(seconds, int(left.Seconds())+1))
}

func isUnconfirmed(letter byte) bool { return !batch.IsDone(letter) }

// awaited is an object to wait for.
type awaited struct {
	index  int
	path   []string
	object applymanifests.NotReadyObject
}

func (o awaited) String() string {
	name := o.object.Name
	if o.object.Namespace != "" {
		name = o.object.Namespace + "/" + name
	}
	return o.object.Kind + " " + name
}

func flatten(references []applymanifests.Reference) []awaited {
	var objects []awaited
	for _, r := range references {
		for _, name := range r.Names {
			objects = append(objects, awaited{len(objects), []string{r.Path, name}, applymanifests.NotReadyObject{Kind: r.Kind, Namespace: r.Namespace, Name: name}})
		}
	}
	return objects
}

// round is one invocation.
type round struct {
	conn    *kube.Conn
	objects []awaited
	// observing is set while nothing is concluded from a status that is not there.
	observing bool

	mu       sync.Mutex // guards what follows
	ledger   batch.Ledger
	notReady []awaited
	failed   bool  // for good
	looked   int   // at objects
	broken   int   // objects that the API server could not answer about
	outage   error // that about one of them
	denied   []awaited
	denial   error
	kinds    map[string]*kind
}

// look looks at the objects with a letter, until the time of the invocation is over.
func (r *round) look(ctx context.Context, work *batch.Round, with func(letter byte) bool) error {
	objects := slices.DeleteFunc(slices.Clone(r.objects), func(o awaited) bool { return !with(r.ledger[o.index]) })
	if _, err := batch.Each(ctx, work, objects, r.check); err != nil {
		return err
	}
	switch {
	case len(r.denied) > 0:
		return r.forbidden()
	case r.broken > 0 && r.broken == r.looked && !r.answers(ctx):
		return r.outage
	default:
		return nil
	}
}

// answers reports whether the API server is well, so that what it could not answer about
// is at fault: an object that cannot be decoded, or a conversion webhook.
// https://kubernetes.io/docs/reference/using-api/health-checks/
func (r *round) answers(ctx context.Context) bool {
	says, err := kube.Body(r.conn.Get().AbsPath("/readyz").MaxRetries(0).Do(ctx))
	return err == nil && string(says) == "ok"
}

// read reads one object, and what it says of itself.
func (r *round) read(ctx context.Context, o awaited) (verdict, error) {
	ctx, end := r.conn.Turn(ctx)
	defer end()
	live, err := kube.Get(ctx, r.conn, o.object.Kind, o.path...)
	if err != nil {
		return verdict{}, err
	}
	return judge(live), nil
}

// check looks at one object. What the API server answers about it is told of it, so that
// it does not hide what is to be told of the others.
func (r *round) check(ctx context.Context, o awaited) error {
	found, err := r.read(ctx, o)
	unreadable := kube.Unreadable(err)
	var answered apierrors.APIStatus
	switch {
	case err == nil:
	case unreadable != nil:
		found = verdict{status: status.UnknownStatus, message: "what answers cannot be read: " + unreadable.Error()}
	case apierrors.IsNotFound(err):
		found = verdict{status: status.NotFoundStatus, message: "it does not exist"}
	case !errors.As(err, &answered), apierrors.IsTooManyRequests(err), apierrors.IsUnauthorized(err):
		return err
	case apierrors.IsForbidden(err):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.denied, r.denial = append(r.denied, o), err
		return nil
	default:
		found = verdict{status: status.UnknownStatus, message: "the API server answers: " + answered.Status().Message}
		if o.object.Kind == "Secret" { // the text may hold what is stored
			found.message = fmt.Sprintf("the API server answers %d", answered.Status().Code)
		}
	}
	if found.unobserved {
		if found, err = r.observed(ctx, o, found); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked++
	if unreadable != nil || answered != nil && answered.Status().Code >= http.StatusInternalServerError {
		r.broken++
		r.outage = err
	}
	switch letter := r.ledger[o.index]; {
	case found.status == status.NotFoundStatus && letter == ended:
		r.ledger[o.index] = batch.Capital(ended)
	case found.status == status.CurrentStatus && found.ended:
		r.ledger[o.index] = batch.Capital(ended)
	case found.status == status.CurrentStatus && found.unobserved:
		r.ledger[o.index] = batch.Capital(unobserved)
	case found.status == status.CurrentStatus:
		r.ledger[o.index] = batch.Capital(ready)
	default:
		r.ledger[o.index] = batch.Pending
		o.object.Status, o.object.Message = string(found.status), contract.Clip(contract.OneLine(found.message), maxReason)
		r.failed = r.failed || found.status == status.FailedStatus
		r.notReady = append(r.notReady, o)
	}
	return nil
}

// observed decides about an object whose status may not be written yet.
func (r *round) observed(ctx context.Context, o awaited, found verdict) (verdict, error) {
	if has, err := r.hasStatus(ctx, o.path[0]); err != nil || !has {
		return isReady(), err
	}
	if r.observing {
		found.message += fmt.Sprintf(" (it counts as ready %s after the first look, if nothing does)", observing)
		return found, nil
	}
	found.status = status.CurrentStatus
	return found, nil
}

// kind is what discovery says of a kind, asked for once.
type kind struct {
	mu        sync.Mutex // guards what follows
	asked     bool
	hasStatus bool
}

// hasStatus reports whether the objects at this path have a status that controllers
// write: a subresource.
func (r *round) hasStatus(ctx context.Context, path string) (bool, error) {
	r.mu.Lock()
	k := r.kinds[path]
	if k == nil {
		k = &kind{}
		r.kinds[path] = k
	}
	r.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked {
		return k.hasStatus, nil
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	version, resource := parts[:min(2, len(parts))], parts[len(parts)-1] // api/v1
	if parts[0] == "apis" {
		version = parts[:min(3, len(parts))]
	}
	ctx, end := r.conn.Turn(ctx)
	defer end()
	list, err := kube.Resources(ctx, r.conn, "/"+strings.Join(version, "/"))
	var answered apierrors.APIStatus
	switch {
	case err == nil:
		k.hasStatus = kube.HasStatus(list, resource)
	case kube.Unreadable(err) == nil && !errors.As(err, &answered), apierrors.IsTooManyRequests(err), apierrors.IsUnauthorized(err):
		return false, err
	default:
		k.hasStatus = true // for all that is known
	}
	k.asked = true
	return k.hasStatus, nil
}

// unconfirm takes back that objects were looked at for the last time.
func (r *round) unconfirm() {
	for i, letter := range r.ledger {
		if batch.IsDone(letter) {
			r.ledger[i] = batch.Small(letter)
		}
	}
}

// notReadyObjects are the first objects that are not ready.
func (r *round) notReadyObjects() []applymanifests.NotReadyObject {
	told := make([]applymanifests.NotReadyObject, len(r.notReady))
	for i, o := range r.notReady {
		told[i] = o.object
	}
	return inState(told)
}

// unobserved are the first objects that count as ready although nothing has written
// their status.
func (r *round) unobserved() []applymanifests.ObjectName {
	names := []applymanifests.ObjectName{}
	for _, o := range r.objects {
		if r.ledger[o.index] == batch.Capital(unobserved) {
			names = append(names, applymanifests.ObjectName{Kind: o.object.Kind, Namespace: o.object.Namespace, Name: o.object.Name})
		}
	}
	return inState(names)
}

// inState keeps the first items, as many as have room in the state.
func inState[T any](items []T) []T {
	bytes := 0
	for i, item := range items {
		text, err := json.Marshal(item)
		if bytes += len(text) + 1; err != nil || bytes > maxWaiting {
			return items[:i]
		}
	}
	return items
}

// error says which objects are not ready, the failed ones first, and that the Jobs which come
// after them were not applied.
func (r *round) error(waited time.Duration, after []string) error {
	slices.SortStableFunc(r.notReady, func(a, b awaited) int { return failedFirst(a) - failedFirst(b) })
	var texts []string
	for _, o := range r.notReady[:min(len(r.notReady), maxTold)] {
		texts = append(texts, fmt.Sprintf("%s (%s: %s)", o, o.object.Status, o.object.Message))
	}
	left := r.ledger.Count(batch.IsLeft)
	if more := left - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	were := "All objects were applied and are left in place"
	if len(after) > 0 {
		were = "All objects were applied and are left in place, but for the Jobs of after (" + strings.Join(after, ", ") + "), which were not applied"
	}
	return contract.Errorf(contract.NotReady, "After %s, %d of %d objects in cluster %s are not ready: %s. %s",
		waited.Round(time.Second), left, len(r.ledger), r.conn.Cluster.Name, strings.Join(texts, ", "), were)
}

func failedFirst(o awaited) int {
	if o.object.Status == string(status.FailedStatus) {
		return 0
	}
	return 1
}

// forbidden says which objects may not be read any more.
func (r *round) forbidden() error {
	slices.SortFunc(r.denied, func(a, b awaited) int { return a.index - b.index })
	names := make([]string, len(r.denied))
	for i, o := range r.denied {
		names[i] = o.String()
	}
	return r.conn.Explain(r.denial, "get "+strings.Join(contract.Few(names, maxTold), ", "))
}
