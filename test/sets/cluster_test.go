package sets

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/readiness"
	workflow "github.com/kubestep/kubestep/internal/workflow/applymanifests"
	"github.com/kubestep/kubestep/test/asl"
	"github.com/kubestep/kubestep/test/hosted"
)

// fault is what happens to one request of an execution.
type fault int

const (
	none       fault = iota
	killBefore       // the function ends before the request is sent
	killAfter        // the function ends once the request is carried out, and does not see the answer
	lostAnswer       // the request is carried out, and the connection ends before the answer
	twice            // the request is carried out, and then once more
	somebody         // somebody else does something just before the request is carried out
)

func (f fault) String() string {
	return []string{"nothing", "killed before", "killed after", "answer lost", "carried out twice", "comes just after what somebody else does"}[f]
}

// plan says at which request of an execution which fault occurs.
type plan struct {
	fault fault
	// at counts the requests, from 1, or those of which only is true.
	at   int
	only func(request string) bool
	// stops is set if the execution is stopped with the function that is killed. Else the machine invokes that again.
	stops bool
	// acts is what somebody else does.
	acts func()
}

func (p plan) String() string {
	if p.fault == none {
		return "no fault"
	}
	text := fmt.Sprintf("request %d %s", p.at, p.fault)
	if p.only != nil {
		text = fmt.Sprintf("change %d %s", p.at, p.fault)
	}
	if p.stops {
		text += " and the execution stopped"
	}
	return text
}

// link is the network between the functions of one execution after another and the API server. It carries out requests as the cluster's
// administrator, and faults occur on it.
type link struct {
	server *httptest.Server
	next   http.RoundTripper
	to     string
	// hold holds functions up; nil for none.
	hold *hold

	mu       sync.Mutex // guards what follows
	plan     plan
	requests []string // of this execution
	counted  int      // of them, for the plan
	hit      int      // how many come before that at which the fault occurs
	// dead is set once the function that makes the requests is killed: none is carried out any more.
	dead, stopped bool
	underWay      int

	idle chan struct{} // holds a value once none is under way
}

// certificate is that of all links. The one of httptest is of RSA, which takes most of the time of a short connection, and the clock of
// a bubble begins in the year 2000.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// newLink returns a link to the API server of the configuration, until the test ends.
func newLink(t testing.TB, admin *rest.Config) *link {
	next, err := rest.TransportFor(admin)
	require.NoError(t, err)
	l := &link{next: next, to: admin.Host, idle: make(chan struct{}, 1)}
	l.server = httptest.NewUnstartedServer(l)
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	// In a bubble of testing/synctest no time passes while a connection is open.
	l.server.Config.SetKeepAlivesEnabled(false)
	l.server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate()}, CurvePreferences: []tls.CurveID{tls.X25519}}
	l.server.StartTLS()
	t.Cleanup(l.server.Close)
	return l
}

// begin begins an execution.
func (l *link) begin(p plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plan, l.requests, l.counted, l.hit, l.dead, l.stopped = p, nil, 0, 0, false, false
}

// made are the requests of the execution so far, and how many came before that at which a fault occurred.
func (l *link) made() (requests []string, hit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests, l.hit
}

// isWrite reports whether a request changes something.
func isWrite(request string) bool {
	return !strings.HasPrefix(request, "GET ") && !strings.Contains(request, "dryRun=All") && !strings.Contains(request, "accessreviews")
}

// take counts a request, and says what happens to it.
func (l *link) take(r *http.Request) (fault, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return none, errDead
	}
	request := r.Method + " " + r.URL.RequestURI()
	l.requests = append(l.requests, request)
	if l.plan.only == nil || l.plan.only(request) {
		l.counted++
	} else {
		l.underWay++
		return none, nil
	}
	if l.counted == l.plan.at {
		l.hit = len(l.requests) - 1
	}
	switch {
	case l.counted != l.plan.at:
		l.underWay++
		return none, nil
	case l.plan.fault == killBefore:
		l.die()
		return none, errDead
	default:
		l.underWay++
		return l.plan.fault, nil
	}
}

// over ends a request that was carried out.
func (l *link) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay--; l.underWay == 0 {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

var errDead = errors.New("the function is dead")

func (l *link) die() {
	l.dead, l.stopped = true, l.plan.stops
}

func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	happens, err := l.take(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer l.over()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if happens == somebody {
		l.plan.acts()
	}
	answer, text, err := l.forward(r, body)
	if err == nil && happens == twice {
		answer, text, err = l.forward(r, body)
	}
	switch {
	case err != nil, happens == lostAnswer:
		panic(http.ErrAbortHandler)
	case happens == killAfter:
		l.mu.Lock()
		l.die()
		l.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	// What a function waits for with a clock that does not go on needs some time all the same: a definition until it is established or
	// gone, and an API server until it serves its kind.
	if answer.StatusCode == http.StatusNotFound && r.Method == http.MethodPatch || strings.Contains(r.URL.Path, "customresourcedefinitions/") {
		time.Sleep(20 * time.Millisecond)
	}
	for _, name := range []string{"Content-Type", "Warning", "Retry-After"} {
		w.Header()[name] = answer.Header[name]
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(text)
}

// hold holds up a function at one of its requests, until it is released or its time is over.
type hold struct {
	at                int
	reached, released chan struct{}

	mu sync.Mutex // guards what follows
	n  int
}

// newHold returns a hold at a request, counted from 1. Call it in the bubble of those that wait for it.
func newHold(at int) *hold {
	return &hold{at: at, reached: make(chan struct{}), released: make(chan struct{})}
}

func (h *hold) pass(ctx context.Context) error {
	h.mu.Lock()
	h.n++
	n := h.n
	if n == h.at {
		close(h.reached)
	}
	h.mu.Unlock()
	if n < h.at {
		return nil
	}
	select {
	case <-h.released:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// dial connects to the link. There is a connection for each request.
func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l.hold != nil {
		if err := l.hold.pass(ctx); err != nil {
			return nil, err
		}
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// forward carries a request out. It does not end with the client that made it: the API server does not notice at once.
func (l *link) forward(r *http.Request, body []byte) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), r.Method, l.to+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"Content-Type", "Accept", "User-Agent"} {
		request.Header[name] = r.Header[name]
	}
	answer, err := l.next.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer, text, err
}

// cluster is the cluster as describe-cluster describes it, at the end of the link.
func (l *link) cluster() contract.Cluster {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.server.Certificate().Raw})
	return contract.Cluster{Name: "demo", ARN: "arn:aws:eks:eu-west-1:111122223333:cluster/demo", Region: "eu-west-1", Version: "1.37", Status: "ACTIVE",
		Endpoint: l.server.URL, CertificateAuthority: base64.StdEncoding.EncodeToString(authority), AuthenticationMode: "API"}
}

// opener stands in for the seal: the link needs no token.
type opener struct{}

func (opener) Open(string, bearer.Binding) (bearer.Token, error) { return bearer.New("none"), nil }

// bucket stands in for S3: manifests by key. A Secret may not be in the input.
type bucket struct{ *sync.Map }

func (b bucket) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	text, ok := b.Load(*in.Key)
	if !ok {
		return nil, errors.New("no such key")
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(text.(string)))}, nil
}

func (b bucket) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return nil, errors.New("nothing is written")
}

// files are the manifests of all executions.
var files = bucket{&sync.Map{}}

// functions are the machine's. Those that call AWS alone are stood in for.
func (l *link) functions() map[string]hosted.Function {
	applier := manifests.Applier{Source: manifests.Source{S3: files, Prunes: true}, Kube: kube.Connector{Opener: opener{}, Dial: l.dial}}
	return map[string]hosted.Function{
		"DescribeCluster": hosted.New(l.describe),
		"MintToken": hosted.New(func(context.Context, contract.MintToken) (contract.Token, error) {
			return contract.Token{Sealed: "sealed", Principal: "arn:aws:iam::111122223333:role/kubestep", Group: "kubestep"}, nil
		}),
		string(applymanifests.FunctionLoadManifests):  hosted.New(applier.Source.Load),
		string(applymanifests.FunctionVerifyApply):    hosted.New(applier.Verify),
		string(applymanifests.FunctionPlanManifests):  hosted.New(applier.Plan),
		string(applymanifests.FunctionPlanSet):        hosted.New(applier.PlanSet),
		string(applymanifests.FunctionApplyManifests): hosted.New(applier.Apply),
		string(applymanifests.FunctionCheckReadiness): hosted.New(readiness.Checker{Kube: applier.Kube}.Check),
		string(applymanifests.FunctionPruneObjects):   hosted.New(applier.Prune),
	}
}

// describe reads the input as describe-cluster does.
func (l *link) describe(_ context.Context, in contract.DescribeCluster) (contract.DescribedCluster, error) {
	fields := input.Read(in.Input, `{}`)
	read := workflow.Workflow().Reader(func(name string) string { return map[string]string{"KUBESTEP_PRUNE": "true"}[name] })
	request, checks := read(fields)
	if err := fields.Err(); err != nil {
		return contract.DescribedCluster{}, err
	}
	encoded, err := contract.Encode(request)
	return contract.DescribedCluster{Cluster: l.cluster(), Request: encoded, Checks: checks, Progress: in.Progress}, err
}

// functionTime is how long Lambda lets a function run.
const functionTime = 60 * time.Second

// invoke invokes a function, which may be killed.
func (l *link) invoke(ctx context.Context, f hosted.Function, payload json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, functionTime)
	defer cancel()
	l.mu.Lock()
	l.dead = false
	l.mu.Unlock()
	answer, err := f(ctx, payload)
	l.mu.Lock()
	dead, stopped := l.dead, l.stopped
	l.dead = true        // whatever still comes is no answer's
	for l.underWay > 0 { // the API server works on nothing for longer than the lease
		l.mu.Unlock()
		<-l.idle
		l.mu.Lock()
	}
	l.mu.Unlock()
	switch {
	case stopped:
		return nil, asl.ErrStopped
	case dead:
		return nil, asl.Error{Name: "Runtime.ExitError", Cause: "RequestId: 1 Error: Runtime exited with error: signal: killed"}
	default:
		return answer, err
	}
}
