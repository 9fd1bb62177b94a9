package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/kubestep/kubestep/internal/attestation"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/internal/token"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/world"
)

type bench struct {
	options
	world *world.World
	dir   string
	// kubeconfig is that of the clients that are compared.
	kubeconfig string
}

// sample is one measurement of a client.
type sample struct {
	wall, request, cpu time.Duration // request is what the client itself took note of
	memoryMB           float64
	bytes              int64
}

// figures are what the runs of a client came to: the least, the median and the most
// of each figure by itself.
type figures struct {
	min, median, max sample
	samples          []sample // in the order of the turns
}

// ratio is how many times as much one client takes as another: if they took turns, the
// median of the turns' ratios, so that what the computer did meanwhile affects both.
func ratio(one, other figures, of, ofOther func(sample) time.Duration) float64 {
	if len(one.samples) != len(other.samples) {
		return float64(of(one.median)) / float64(ofOther(other.median))
	}
	ratios := make([]float64, len(one.samples))
	for i := range ratios {
		ratios[i] = float64(of(one.samples[i])) / float64(ofOther(other.samples[i]))
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func wall(s sample) time.Duration    { return s.wall }
func request(s sample) time.Duration { return s.request }

func summarize(samples []sample) figures {
	pick := func(at func(n int) int) sample {
		value := func(of func(sample) float64) float64 {
			values := make([]float64, len(samples))
			for i, s := range samples {
				values[i] = of(s)
			}
			slices.Sort(values)
			return values[at(len(values))]
		}
		return sample{
			wall:     time.Duration(value(func(s sample) float64 { return float64(s.wall) })),
			request:  time.Duration(value(func(s sample) float64 { return float64(s.request) })),
			cpu:      time.Duration(value(func(s sample) float64 { return float64(s.cpu) })),
			memoryMB: value(func(s sample) float64 { return s.memoryMB }),
			bytes:    samples[len(samples)-1].bytes,
		}
	}
	return figures{
		min:     pick(func(int) int { return 0 }),
		median:  pick(func(n int) int { return n / 2 }),
		max:     pick(func(n int) int { return n - 1 }),
		samples: samples,
	}
}

// child runs a client to its end.
func child(ctx context.Context, name string, args ...string) (sample, error) {
	var stderr bytes.Buffer
	var out head
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	peak := make(chan float64)
	ended := make(chan struct{})
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	wall := time.Since(began)
	close(ended)
	s := sample{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memoryMB: <-peak}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, stderr.String())
	}
	var told struct{ Seconds float64 }
	if json.Unmarshal(out.text, &told) == nil {
		s.request = time.Duration(told.Seconds * float64(time.Second))
	}
	return s, nil
}

// watch reads the most memory that a process has had, until it ends. What wait
// tells of a child is at least what its parent had when it was started.
func watch(pid int, ended <-chan struct{}) float64 {
	most := 0.0
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, _ := strings.Cut(string(status), "VmHWM:")
		if fields := strings.Fields(after); len(fields) > 0 {
			if kb, err := strconv.ParseFloat(fields[0], 64); err == nil {
				most = max(most, kb/1024)
			}
		}
		select {
		case <-ended:
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// head keeps the beginning of what is written.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), 1024-len(h.text))]...)
	return len(p), nil
}

func (b *bench) functions() string { return world.StackName + "-" }

func (b *bench) invoke(ctx context.Context, function string, payload, into any) (lambdahost.Result, error) {
	encoded, err := json.Marshal(payload)
	if err != nil {
		return lambdahost.Result{}, err
	}
	result, err := b.world.Lambda.Invoke(ctx, b.functions()+function, encoded)
	if err == nil && result.FunctionError != "" {
		err = fmt.Errorf("%s: %s", function, result.Payload)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(result.Payload, into)
	}
	return result, err
}

// describe is the payload of describe-cluster, as the machine makes it.
var describe = contract.DescribeCluster{
	Execution: "arn:aws:states:eu-west-1:111122223333:execution:bench:1", Workflow: "pod-inventory",
	Input: json.RawMessage(`{"clusterName":"` + world.ClusterName + `"}`),
}

// attest attests a cluster as describe-cluster does, for an endpoint that counts
// what it passes on.
func (b *bench) attest(execution string, cluster contract.Cluster) (contract.Cluster, error) {
	for _, f := range b.world.Lambda.Functions() {
		if f.Name == b.functions()+"describe-cluster" {
			attester, err := attestation.New(f.Environment["KUBESTEP_ATTESTATION_KEY"])
			if err != nil {
				return contract.Cluster{}, err
			}
			return attester.Attest(execution, "", cluster)
		}
	}
	return contract.Cluster{}, errors.New("there is no describe-cluster")
}

// payload is one of list-pods, as the machine makes it after VerifyRBAC.
func (b *bench) payload(ctx context.Context, endpoint string, namespaces ...string) (contract.ListPods, error) {
	var described contract.DescribedCluster
	if _, err := b.invoke(ctx, "describe-cluster", describe, &described); err != nil {
		return contract.ListPods{}, err
	}
	s := contract.Session{Execution: describe.Execution, Cluster: described.Cluster}
	if endpoint != "" {
		s.Cluster.Endpoint = endpoint
		var err error
		if s.Cluster, err = b.attest(s.Execution, s.Cluster); err != nil {
			return contract.ListPods{}, err
		}
	}
	if _, err := b.invoke(ctx, "mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token); err != nil {
		return contract.ListPods{}, err
	}
	// The API server asks the authenticator about a token that it has not seen. In the
	// machine that is VerifyRBAC's call.
	if _, err := b.invoke(ctx, "verify-rbac", contract.VerifyRBAC{Session: s, Checks: described.Checks}, nil); err != nil {
		return contract.ListPods{}, err
	}
	return contract.ListPods{Session: s, Namespaces: namespaces, MaxItems: pods.DefaultMaxItems}, nil
}

// listPods invokes the function in a new environment, once, and returns what
// invokes it again: the samples of that are of a warm one, with the environment's
// peak of memory so far.
func (b *bench) listPods(ctx context.Context, namespaces ...string) (func() (sample, error), error) {
	if err := b.redeploy("list-pods"); err != nil {
		return nil, err
	}
	invoke := func() (sample, error) {
		// Each has a new token: it lives for 15 minutes, and the other clients take longer.
		payload, err := b.payload(ctx, "", namespaces...)
		if err != nil {
			return sample{}, err
		}
		before := processTime("list-pods")
		began := time.Now()
		var listing contract.Listing
		result, err := b.invoke(ctx, "list-pods", payload, &listing)
		if err != nil {
			return sample{}, err
		}
		if listing.Cursor != nil {
			return sample{}, fmt.Errorf("list-pods left off at %d pods", listing.Total)
		}
		return sample{wall: time.Since(began), request: result.Duration, cpu: processTime("list-pods") - before, memoryMB: float64(result.MaxMemoryMB)}, nil
	}
	_, err := invoke()
	return invoke, err
}

func (b *bench) redeploy(name string) error {
	for _, f := range b.world.Lambda.Functions() {
		if f.Name == b.functions()+name {
			f.Timeout = 2 * time.Minute
			return b.world.Lambda.Put(f)
		}
	}
	return fmt.Errorf("there is no function %s", name)
}

// processTime is the CPU time so far of the function's process: fields 14 and 15 of
// /proc/PID/stat, in hundredths of a second.
func processTime(function string) time.Duration {
	processes, _ := filepath.Glob("/proc/[0-9]*/exe")
	var total time.Duration
	for _, exe := range processes {
		target, err := os.Readlink(exe)
		if err != nil || !strings.HasSuffix(target, "/"+function+"/bootstrap") {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(exe), "stat"))
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		if len(fields) < 13 || fields[1] != strconv.Itoa(os.Getpid()) { // its parent
			continue
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		total += time.Duration(user+system) * 10 * time.Millisecond
	}
	return total
}

// clients are the ways to list the pods of a namespace, by name.
type clients map[string]figures

var order = []string{"ListPods", "raw Table", "kubectl", "Go clientset", "Python"}

func build(ctx context.Context, root string, names ...string) error {
	for _, name := range names {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(root, "build", "bench", name), "./"+name)
		cmd.Dir = filepath.Join(root, "test", "bench")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	return nil
}

// command is the program of a client, and its arguments.
func (b *bench) command(client, kubeconfig, namespace string) []string {
	at := func(parts ...string) string { return filepath.Join(append([]string{b.root}, parts...)...) }
	switch client {
	case "raw Table":
		return []string{at("build", "bench", "table"), kubeconfig, namespace}
	case "Go clientset":
		return []string{at("build", "bench", "clientset"), kubeconfig, namespace}
	case "kubectl":
		return []string{at("build", "local", "kubectl"), "--kubeconfig", kubeconfig, "get", "pods", "-n", namespace}
	default:
		return []string{b.python, at("test", "bench", "list_pods.py"), kubeconfig, namespace}
	}
}

// group are clients that are measured in turn on the same control plane.
type group struct {
	clients []string
	runs    int
}

// aloneRuns are the most runs of a client that has a control plane to itself: with that
// many pods a run takes half a minute.
const aloneRuns = 3

// rowRuns is how many runs of the clients that ask for rows make one of the others:
// they take milliseconds, and so little varies much.
const rowRuns = 5

// groups are all clients with n pods. Those that ask for objects leave the API server
// with much to collect, which the ones that ask for rows would pay for; with many pods,
// each other too.
func (o options) groups(n int) []group {
	rows := group{[]string{"ListPods", "raw Table"}, rowRuns * o.runs}
	heavy := group{[]string{"Go clientset", "kubectl"}, o.runs}
	if o.python != "" && n <= o.pythonMost {
		heavy.clients = append(heavy.clients, "Python")
	}
	if n < o.aloneFrom {
		return []group{rows, heavy}
	}
	groups := []group{rows}
	for _, client := range heavy.clients {
		groups = append(groups, group{[]string{client}, min(o.runs, aloneRuns)})
	}
	return groups
}

// oneNamespace measures all clients with n pods of a namespace, each at its best: on
// a fresh control plane, after a run that does not count.
func oneNamespace(ctx context.Context, o options, n int) (clients, error) {
	measured := clients{}
	for _, group := range o.groups(n) {
		err := inFreshWorld(ctx, o, func(b *bench) error {
			namespace := fmt.Sprintf("pods-%d", n)
			say("%d pods: %s", n, strings.Join(group.clients, ", "))
			admin, err := b.world.ControlPlane.Admin()
			if err != nil {
				return err
			}
			if err := fill(ctx, admin, b.socket(), namespace, n); err != nil {
				return err
			}
			ways := map[string]func() (sample, error){}
			for _, client := range group.clients {
				if client == "ListPods" {
					if ways[client], err = b.listPods(ctx, namespace); err != nil {
						return err
					}
					continue
				}
				command := b.command(client, b.kubeconfig, namespace)
				ways[client] = func() (sample, error) { return child(ctx, command[0], command[1:]...) }
			}
			if err := turnAbout(measured, ways, group.runs); err != nil {
				return err
			}
			return b.addReceived(ctx, measured, group.clients, namespace)
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range order {
		if f, ok := measured[name]; ok {
			say("%6d pods, %-12s wall %v, request %v, cpu %v, %.0f MB, %d bytes", n, name, f.median.wall, f.median.request, f.median.cpu, f.median.memoryMB, f.median.bytes)
		}
	}
	return measured, nil
}

// turnAbout measures ways in turn, so that what else the computer does affects all
// alike. The first turn does not count.
func turnAbout(measured clients, ways map[string]func() (sample, error), runs int) error {
	samples := map[string][]sample{}
	for turn := range runs + 1 {
		for name, way := range ways {
			s, err := way()
			if err != nil {
				return err
			}
			if turn > 0 {
				samples[name] = append(samples[name], s)
			}
		}
	}
	for name, s := range samples {
		measured[name] = summarize(s)
	}
	return nil
}

// addReceived adds what each client receives, in a run of its own through a proxy
// that counts.
func (b *bench) addReceived(ctx context.Context, measured clients, group []string, namespace string) error {
	p, err := newProxy(ctx, b.world.ControlPlane.Endpoint)
	if err != nil {
		return err
	}
	defer p.close()
	text, err := os.ReadFile(b.kubeconfig)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(b.dir, "proxied.kubeconfig")
	if err := os.WriteFile(kubeconfig, bytes.ReplaceAll(text, []byte(b.world.ControlPlane.Endpoint), []byte(p.endpoint)), 0o600); err != nil {
		return err
	}
	for _, client := range group {
		p.received.Store(0)
		if client == "ListPods" {
			payload, err := b.payload(ctx, p.endpoint, namespace)
			if err != nil {
				return err
			}
			if _, err := b.invoke(ctx, "list-pods", payload, nil); err != nil {
				return err
			}
		} else {
			command := b.command(client, kubeconfig, namespace)
			if _, err := child(ctx, command[0], command[1:]...); err != nil {
				return err
			}
		}
		f := measured[client]
		f.median.bytes = p.received.Load()
		measured[client] = f
	}
	return nil
}

// minting is what a token takes, sealed and unsealed.
func minting(ctx context.Context) (mint, seal testing.BenchmarkResult, err error) {
	sealer, err := bearer.NewSealer(strings.Repeat("k", 40))
	if err != nil {
		return mint, seal, err
	}
	attester, err := attestation.New(strings.Repeat("a", 40))
	if err != nil {
		return mint, seal, err
	}
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: strings.Repeat("s", 40), SessionToken: strings.Repeat("t", 1000)}, nil
	})
	minter := token.Minter{
		Credentials: func(_, _ string) aws.CredentialsProvider { return credentials },
		Principal:   "arn:aws:iam::111122223333:role/bench", Attestation: attester, Sealer: sealer, Now: time.Now,
	}
	cluster, err := attester.Attest("e", "", contract.Cluster{Name: "demo", Region: world.Region, Endpoint: "https://example", CertificateAuthority: "LS0t"})
	if err != nil {
		return mint, seal, err
	}
	in := contract.MintToken{Execution: "e", Cluster: cluster}
	mint = testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, e := minter.Mint(ctx, in); e != nil {
				err = e
				b.FailNow()
			}
		}
	})
	binding := bearer.BindingFor("e", cluster)
	bearerToken := bearer.New("k8s-aws-v1." + strings.Repeat("t", 3200))
	seal = testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, e := sealer.Seal(bearerToken, binding); e != nil {
				err = e
				b.FailNow()
			}
		}
	})
	return mint, seal, err
}

// zipped is the size of a function's package, for arm64, as make release packs it.
func (b *bench) zipped(ctx context.Context, function string) (int, error) {
	binary := filepath.Join(b.dir, function)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, "./functions/"+function)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build %s: %w: %s", function, err, out)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return 0, err
	}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	entry, err := z.Create("bootstrap")
	if err != nil {
		return 0, err
	}
	if _, err := entry.Write(content); err != nil {
		return 0, err
	}
	return packed.Len(), z.Close()
}

// cold measures cold starts: wall is the time from an environment's start to its
// first answer, request that to its first poll for an invocation.
func (b *bench) cold(ctx context.Context) (clients, error) {
	found := map[string][]sample{}
	for range b.runs {
		for _, name := range []string{"describe-cluster", "mint-token", "verify-rbac", "list-pods"} {
			if err := b.redeploy(name); err != nil {
				return nil, err
			}
		}
		var described contract.DescribedCluster
		take := func(name string, payload, into any) error {
			result, err := b.invoke(ctx, name, payload, into)
			found[name] = append(found[name], sample{wall: result.Init + result.Duration, request: result.Init})
			return err
		}
		if err := take("describe-cluster", describe, &described); err != nil {
			return nil, err
		}
		s := contract.Session{Execution: describe.Execution, Cluster: described.Cluster}
		if err := take("mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token); err != nil {
			return nil, err
		}
		if err := take("verify-rbac", contract.VerifyRBAC{Session: s, Checks: described.Checks}, nil); err != nil {
			return nil, err
		}
		if err := take("list-pods", contract.ListPods{Session: s, Namespaces: []string{"default"}, MaxItems: 100}, nil); err != nil {
			return nil, err
		}
		if b.python != "" {
			s, err := child(ctx, b.python, filepath.Join(b.root, "test", "bench", "list_pods.py"), b.kubeconfig, "default")
			if err != nil {
				return nil, err
			}
			found["Python"] = append(found["Python"], s)
		}
	}
	cold := clients{}
	for name, s := range found {
		cold[name] = summarize(s)
	}
	return cold, nil
}

// execution is what a run of the machine comes to.
type execution struct {
	transitions, largest, output int
}

func (b *bench) execution(ctx context.Context, input string) (execution, error) {
	developer, err := b.world.Developer()
	if err != nil {
		return execution{}, err
	}
	client := sfn.NewFromConfig(developer)
	follower := follow.Follower{Client: client, Clock: follow.WallClock{}, Interval: 100 * time.Millisecond, Out: io.Discard}
	done, err := follower.Start(ctx, follow.Start{StateMachineARN: b.world.Stack(world.StackName).StateMachineARN("pod-inventory"), Input: input})
	if err != nil {
		return execution{}, err
	}
	if done.Error != "" {
		return execution{}, fmt.Errorf("an execution ended in %s: %s", done.Error, done.Cause)
	}
	history, err := client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &done.ARN})
	if err != nil {
		return execution{}, err
	}
	e := execution{output: len(done.Output), transitions: 1} // the start counts as one
	for _, event := range history.Events {
		if event.StateEnteredEventDetails != nil {
			e.transitions++
			e.largest = max(e.largest, len(aws.ToString(event.StateEnteredEventDetails.Input)))
		}
		if event.StateExitedEventDetails != nil {
			e.largest = max(e.largest, len(aws.ToString(event.StateExitedEventDetails.Output)))
		}
	}
	return e, nil
}

// machine says what this computer is, and nothing of which one it is.
func machine() string {
	model := "an unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(info), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	memory, _ := os.ReadFile("/proc/meminfo")
	_, after, _ := strings.Cut(string(memory), "MemTotal:")
	kb, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d cores of %s, %d GiB of memory, %s/%s, %s; load average %s when the run began",
		runtime.NumCPU(), model, (kb+1<<19)>>20, runtime.GOOS, runtime.GOARCH, runtime.Version(), strings.Join(strings.Fields(string(load) + " ?")[:1], ""))
}
