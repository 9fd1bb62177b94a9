package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/world"
)

// The ways to apply.
const (
	byFunction = "kubestep"
	byRequests = "raw requests"
	byKubectl  = "kubectl"
	// These two read the live objects beside the dry runs, as a plan has to.
	byMoreRequests = "raw requests, and a get each"
	byDiff         = "kubectl diff"
)

// appliers each have a namespace, and differs work in those of two of them.
var (
	appliers = []string{byFunction, byRequests, byKubectl}
	differs  = map[string]string{byMoreRequests: byRequests, byDiff: byKubectl}
)

// task is one thing to do with the manifests.
type task struct {
	title, file string
	clients     []string
	dryRun      bool
}

// tasks follow each other in a namespace that is empty at first, so that each finds
// what the one before it left.
var tasks = []task{
	{"plan, all are new", "first", appliers, true},
	{"apply, all are new", "first", appliers, false},
	{"plan, none changes", "first", append(slices.Clone(appliers), byMoreRequests), true},
	{"plan, all change", "second", append(slices.Clone(appliers), byMoreRequests, byDiff), true},
	{"apply, all change", "second", appliers, false},
}

// applying are the clients of each task, by its title.
type applying map[string]clients

// applyRule is what appliers need.
var applyRule = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}}

// applyRuns is how many turns make one of the other clients'.
const applyRuns = 2

const manifestBucket = "bench-manifests"

// applyBench applies n ConfigMaps by each client.
type applyBench struct {
	*bench
	n     int
	plans map[string]contract.Plan // of the function, by namespace
}

// measureApplying measures the clients with n ConfigMaps, in turn, each in a namespace
// of its own. The first turn does not count.
func measureApplying(ctx context.Context, o options, n int) (applying, error) {
	measured := applying{}
	err := inFreshWorld(ctx, o, func(b *bench) error {
		a := &applyBench{b, n, map[string]contract.Plan{}}
		if err := a.prepare(ctx); err != nil {
			return err
		}
		samples := map[string]map[string][]sample{}
		for turn := range applyRuns*o.runs + 1 {
			for _, client := range appliers {
				if err := a.namespace(ctx, a.in(client, turn)); err != nil {
					return err
				}
			}
			for _, t := range tasks {
				if samples[t.title] == nil {
					samples[t.title] = map[string][]sample{}
				}
				for i := range t.clients {
					client := t.clients[(turn+i)%len(t.clients)]
					s, err := a.measure(ctx, client, t, a.in(client, turn))
					if err != nil {
						return fmt.Errorf("%s: %s: %w", t.title, client, err)
					}
					if turn > 0 {
						samples[t.title][client] = append(samples[t.title][client], s)
					}
				}
			}
		}
		for _, t := range tasks {
			measured[t.title] = clients{}
			for _, client := range t.clients {
				f := summarize(samples[t.title][client])
				measured[t.title][client] = f
				say("%4d ConfigMaps, %-18s %-28s wall %v, request %v, cpu %v, %.0f MB", n, t.title+":", client, f.median.wall, f.median.request, f.median.cpu, f.max.memoryMB)
			}
		}
		return nil
	})
	return measured, err
}

// in is the namespace of a client.
func (a *applyBench) in(client string, turn int) string {
	if of, ok := differs[client]; ok {
		client = of
	}
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(client, " ", "-"), turn)
}

func (a *applyBench) manifests(file string) string { return filepath.Join(a.dir, file+".yaml") }
func (a *applyBench) lines(file string) string     { return filepath.Join(a.dir, file+".json") }

// prepare writes the manifests, and lets apply-manifests read and apply them.
func (a *applyBench) prepare(ctx context.Context) error {
	say("apply %d ConfigMaps: %s", a.n, strings.Join(appliers, ", "))
	deployment := a.world.Stack(world.StackName)
	deployment.Parameters = map[string]string{
		"ClusterArns": "arn:aws:eks:*:" + world.Account + ":cluster/*", "EnableApply": "true", "ManifestBucket": manifestBucket,
	}
	if err := a.world.Deploy(ctx, deployment); err != nil {
		return err
	}
	if err := a.world.CreateBucket(ctx, manifestBucket); err != nil {
		return err
	}
	developer, err := a.world.Developer()
	if err != nil {
		return err
	}
	store := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	for _, file := range []string{"first", "second"} {
		documents, lines, err := configMaps(a.n, file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(a.manifests(file), documents, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(a.lines(file), lines, 0o600); err != nil {
			return err
		}
		bucket := manifestBucket
		if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &file, Body: bytes.NewReader(documents)}); err != nil {
			return err
		}
	}
	client, err := a.admin()
	if err != nil {
		return err
	}
	return grant(ctx, client, "bench-appliers", rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "kubestep-appliers"}, applyRule)
}

// configMaps are n ConfigMaps as YAML documents and as lines of JSON: ten settings and
// a small file each. Another version has other values.
func configMaps(n int, version string) (documents, lines []byte, err error) {
	for i := range n {
		data := map[string]string{"application.properties": strings.Repeat("service.endpoint=https://orders.internal.example.com/"+version+"\n", 10)}
		for setting := range 10 {
			data[fmt.Sprintf("SETTING_%02d", setting)] = fmt.Sprintf("value %d of the %s version", setting, version)
		}
		// Not the typed ConfigMap: it has a creationTimestamp of null.
		object := map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": fmt.Sprintf("settings-%04d", i), "labels": map[string]string{"app.kubernetes.io/name": "orders"}},
			"data":     data,
		}
		line, err := json.Marshal(object)
		if err != nil {
			return nil, nil, err
		}
		document, err := yaml.JSONToYAML(line)
		if err != nil {
			return nil, nil, err
		}
		documents = fmt.Appendf(documents, "---\n%s", document)
		lines = fmt.Appendf(lines, "%s\n", line)
	}
	return documents, lines, nil
}

func (b *bench) admin() (*kubernetes.Clientset, error) {
	config, err := b.world.ControlPlane.Admin()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func (b *bench) namespace(ctx context.Context, name string) error {
	client, err := b.admin()
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

func (a *applyBench) measure(ctx context.Context, client string, t task, namespace string) (sample, error) {
	if client == byFunction {
		return a.byFunction(ctx, t, namespace)
	}
	kubeconfig := a.kubeconfig
	if client == byRequests || client == byMoreRequests {
		args := []string{"-manifests", a.lines(t.file), "-dry-run=" + strconv.FormatBool(t.dryRun), "-get=" + strconv.FormatBool(client == byMoreRequests)}
		return child(ctx, filepath.Join(a.root, "build", "bench", "apply"), append(args, kubeconfig, namespace)...)
	}
	args := []string{"apply", "--server-side"}
	switch {
	case client == byDiff:
		args[0] = "diff"
	case t.dryRun:
		args = append(args, "--dry-run=server")
	}
	args = append(args, "--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(a.dir, "kubectl"), "-n", namespace, "-f", a.manifests(t.file))
	s, err := child(ctx, filepath.Join(a.root, "build", "local", "kubectl"), args...)
	if exit := (*exec.ExitError)(nil); client == byDiff && errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // it found differences
	}
	return s, err
}

// byFunction invokes plan-manifests or apply-manifests. The functions before them in
// the machine are not part of the sample.
func (a *applyBench) byFunction(ctx context.Context, t task, namespace string) (sample, error) {
	session, err := a.session(ctx, t, namespace)
	if err != nil {
		return sample{}, err
	}
	if t.dryRun {
		var plan contract.Plan
		s, err := a.timed(ctx, "plan-manifests", contract.PlanManifests{ManifestsSession: session}, &plan)
		if err == nil && (!plan.Complete || plan.Created+plan.Configured+plan.Unchanged != a.n) {
			err = fmt.Errorf("it planned %d+%d+%d of %d objects", plan.Created, plan.Configured, plan.Unchanged, a.n)
		}
		a.plans[namespace] = plan
		return s, err
	}
	var applied contract.Applied
	s, err := a.timed(ctx, "apply-manifests", contract.ApplyManifests{ManifestsSession: session, Plan: a.plans[namespace]}, &applied)
	if err == nil && (!applied.Complete || applied.Applied != a.n) {
		err = fmt.Errorf("it applied %d of %d objects", applied.Applied, a.n)
	}
	return s, err
}

func (a *applyBench) timed(ctx context.Context, function string, payload, into any) (sample, error) {
	before, began := processTime(function), time.Now()
	result, err := a.invoke(ctx, function, payload, into)
	return sample{wall: time.Since(began), request: result.Duration, cpu: processTime(function) - before, memoryMB: float64(result.MaxMemoryMB)}, err
}

// session is what the machine passes to the functions that work on manifests.
func (a *applyBench) session(ctx context.Context, t task, namespace string) (contract.ManifestsSession, error) {
	in, err := json.Marshal(map[string]any{
		"clusterName": world.ClusterName, "mode": "apply", "namespace": namespace,
		"source": map[string]string{"bucket": manifestBucket, "key": t.file},
	})
	if err != nil {
		return contract.ManifestsSession{}, err
	}
	var described contract.DescribedCluster
	if _, err := a.invoke(ctx, "describe-cluster", contract.DescribeCluster{Execution: describe.Execution, Workflow: "apply-manifests", Input: in}, &described); err != nil {
		return contract.ManifestsSession{}, err
	}
	s := contract.ManifestsSession{Session: contract.Session{Execution: describe.Execution, Cluster: described.Cluster}}
	if err := json.Unmarshal(described.Request, &s.Request); err != nil {
		return s, err
	}
	if _, err := a.invoke(ctx, "load-manifests", contract.LoadManifests{Execution: s.Execution, Cluster: s.Cluster, Request: s.Request}, &s.Manifests); err != nil {
		return s, err
	}
	_, err = a.invoke(ctx, "apply-mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token)
	return s, err
}

func (r *report) applying(p func(string, ...any)) {
	p("## Applying manifests\n")
	p("ConfigMaps of about 1.5 KB, as YAML. Each turn begins in namespaces that are empty, one for each client, and does all that the tables say, one after the other: so the objects are new at first, and there later. There are %d turns, and ratios are the median of the turns' ratios.\n", applyRuns*r.options.runs)
	p("- **kubestep** is the whole invocation of PlanManifests or ApplyManifests, the deployed binaries, warm: it reads the manifests from S3 (here moto), asks the cluster how it serves their kinds, and plans or applies. Its memory is the peak of its environment, the cold invocation included. The other states are not in it.")
	p("- **raw requests** are the same server-side-apply requests (dry runs for a plan), eight at once. The objects are JSON already, and nobody reads the answers: the least that any client can take. Its time is that of the requests.")
	p("- **kubectl** is `kubectl apply --server-side`, with `--dry-run=server` for a plan: the process from its start to its end. It does not say what a plan would change.")
	p("- To say what would change in objects that are there, a client has to read them. **raw requests, and a get each** and `kubectl diff --server-side` do that also.\n")
	for _, n := range slices.Sorted(maps.Keys(r.applied)) {
		p("### %d ConfigMaps\n", n)
		p("| | client | time | CPU | peak memory | kubestep ÷ this |\n|---|---|--:|--:|--:|--:|")
		for _, t := range tasks {
			own := r.applied[n][t.title][byFunction]
			for _, client := range t.clients {
				f, of := r.applied[n][t.title][client], wall
				if client == byRequests || client == byMoreRequests {
					of = request
				}
				p("| %s | %s | %s | %s | %.0f MB | %.2f |", t.title, client, span(f, of), ms(f.median.cpu), f.max.memoryMB, ratio(own, f, wall, of))
			}
		}
		p("")
	}
}
