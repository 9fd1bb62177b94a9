// Package readiness tells whether objects are ready, by the rules of kstatus: those
// that Flux and the GitOps engines wait by. It has a package, and a function, of its
// own, because kstatus brings the types of core/v1, a third of the function's size.
package readiness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
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
)

// The letters of Readiness.Done.
const (
	waiting = '.'
	ready   = 'r' // once
)

// Checker checks readiness.
type Checker struct {
	Opener kube.Opener
	Clock  batch.Clock
}

// Check looks at the objects that were not ready in the rounds before.
//
// Errors: NotReady once one has failed or the time to wait is over, Unauthorized,
// Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable.
func (c Checker) Check(ctx context.Context, in contract.CheckReadiness) (contract.Readiness, error) {
	conn, err := kube.Connect(c.Opener, in.Session)
	if err != nil {
		return contract.Readiness{}, err
	}
	defer conn.Close()
	timeout := time.Duration(in.Wait.TimeoutSeconds) * time.Second
	until := in.Readiness.Until
	if until.IsZero() {
		until = c.Clock.Now().Add(timeout).UTC()
	}
	r := &round{conn: conn, done: []byte(in.Readiness.Done)}
	objects := flatten(in.WaitFor)
	for len(r.done) < len(objects) {
		r.done = append(r.done, waiting)
	}
	objects = slices.DeleteFunc(objects, func(o object) bool { return r.done[o.index] == ready })
	if _, err := batch.NewRound(ctx, c.Clock).Run(ctx, 0, len(objects), func(ctx context.Context, i int) error { return r.check(ctx, objects[i]) }); err != nil {
		return contract.Readiness{}, conn.Explain(err, "get the objects of the manifests")
	}
	slices.SortFunc(r.notReady, func(a, b object) int { return a.index - b.index })
	left := until.Sub(c.Clock.Now())
	isReady := !slices.Contains(r.done, waiting)
	if !isReady && (r.failed || left <= 0) {
		return contract.Readiness{}, r.error(timeout - max(left, 0))
	}
	return contract.Readiness{Complete: isReady, Until: until, WaitSeconds: pause(timeout-left, left), NotReady: r.told(), Done: string(r.done)}, nil
}

// pause is how many seconds to wait: the longer it took so far, the longer.
func pause(waited, left time.Duration) int {
	seconds := min(max(int(waited.Seconds())/4, shortestWait), longestWait)
	return max(1, min(seconds, int(left.Seconds())+1))
}

// object is one to wait for.
type object struct {
	index int
	path  []string
	told  contract.NotReadyObject
}

func (o object) String() string {
	name := o.told.Name
	if o.told.Namespace != "" {
		name = o.told.Namespace + "/" + name
	}
	return o.told.Kind + " " + name
}

func flatten(references []contract.Reference) []object {
	var objects []object
	for _, r := range references {
		for _, name := range r.Names {
			objects = append(objects, object{len(objects), []string{r.Path, name}, contract.NotReadyObject{Kind: r.Kind, Namespace: r.Namespace, Name: name}})
		}
	}
	return objects
}

// round is one invocation.
type round struct {
	conn *kube.Conn

	mu       sync.Mutex // guards what follows
	done     []byte
	notReady []object
	failed   bool // for good
}

// check looks at one object.
func (r *round) check(ctx context.Context, o object) error {
	ctx, end := r.conn.Turn(ctx)
	defer end()
	result := &status.Result{Status: status.NotFoundStatus, Message: "it does not exist"}
	live, err := kube.Get(ctx, r.conn, o.path...)
	switch {
	case apierrors.IsTooManyRequests(err):
		return err
	case err != nil && !apierrors.IsNotFound(err):
		return r.conn.Explain(err, "get "+o.String())
	case err == nil:
		if result, err = status.Compute(&unstructured.Unstructured{Object: live}); err != nil {
			result = &status.Result{Status: status.UnknownStatus, Message: err.Error()}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if result.Status == status.CurrentStatus {
		r.done[o.index] = ready
		return nil
	}
	o.told.Status, o.told.Message = string(result.Status), contract.Clip(result.Message, maxReason)
	r.failed = r.failed || result.Status == status.FailedStatus
	r.notReady = append(r.notReady, o)
	return nil
}

// told are the first objects that are not ready.
func (r *round) told() []contract.NotReadyObject {
	told, bytes := []contract.NotReadyObject{}, 0
	for _, o := range r.notReady {
		text, err := contract.Encode(o.told)
		if bytes += len(text) + 1; err != nil || bytes > maxWaiting {
			break
		}
		told = append(told, o.told)
	}
	return told
}

// error says which objects are not ready, the failed ones first.
func (r *round) error(waited time.Duration) error {
	slices.SortStableFunc(r.notReady, func(a, b object) int { return failedFirst(a) - failedFirst(b) })
	var texts []string
	for _, o := range r.notReady[:min(len(r.notReady), maxTold)] {
		texts = append(texts, fmt.Sprintf("%s (%s: %s)", o, o.told.Status, o.told.Message))
	}
	left := strings.Count(string(r.done), string(waiting))
	if more := left - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return contract.Errorf(contract.NotReady, "After %s, %d of %d objects in cluster %s are not ready: %s. All objects were applied and are left in place",
		waited.Round(time.Second), left, len(r.done), r.conn.Cluster.Name, strings.Join(texts, ", "))
}

func failedFirst(o object) int {
	if o.told.Status == string(status.FailedStatus) {
		return 0
	}
	return 1
}
