package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/local/world"
)

// What is done with a set. Each is measured with all members in the manifests, and then a tenth leaves.
const (
	planWithout = "plan, without a set"
	planWith    = "plan, with prune"
	listing     = "of it, PlanSet: what lists the members"
	same        = "apply with prune, none leaves"
	fewer       = "apply with prune, a tenth leaves"
)

// setRule is what those who prune need.
var setRule = rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "create", "patch", "update", "delete"}}

// setBench applies a set by kubestep and by kubectl, each in a namespace of its own.
type setBench struct {
	*bench
	executions int
	samples    map[string]map[string][]sample
}

// measureSets writes benchmarks/sets.md.
func measureSets(ctx context.Context, o options) error {
	if o.members == 0 {
		return nil
	}
	by := o.written()
	b := &setBench{samples: map[string]map[string][]sample{}}
	err := inFreshWorld(ctx, o, func(in *bench) error {
		b.bench = in
		return b.run(ctx)
	})
	if err != nil {
		return err
	}
	folder := filepath.Join(o.root, o.out, "benchmarks")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "sets.md"), b.report(o, by), 0o644) //nolint:gosec // anybody may read it
}

func (b *setBench) run(ctx context.Context) error {
	say("a set of %d members in %d kinds", b.members, len(memberKinds()))
	store, err := b.applies(ctx, map[string]string{"EnablePrune": "true"}, nil)
	if err != nil {
		return err
	}
	for key, n := range map[string]int{"all": b.members, "most": b.members - b.members/10} {
		documents, err := members(n)
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.file(key), documents, 0o600); err != nil {
			return err
		}
		if err := store(key, documents); err != nil {
			return err
		}
	}
	client, err := b.admin()
	if err != nil {
		return err
	}
	for name, to := range map[string]rbacv1.Subject{
		"bench-sets":         {Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "kubestep-appliers"},
		"bench-sets-kubectl": {Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "bench"},
	} {
		if err := grant(ctx, client, name, to, setRule); err != nil {
			return err
		}
	}
	// The first turn does not count.
	for turn := range b.runs + 1 {
		if turn == 1 {
			b.samples = map[string]map[string][]sample{}
		}
		if err := b.turn(ctx, turn); err != nil {
			return err
		}
	}
	for _, what := range []string{planWithout, planWith, listing, same, fewer} {
		for _, client := range []string{byFunction, byKubectl} {
			if s := b.samples[what][client]; s != nil {
				f := summarize(s)
				say("%-40s %-10s wall %v, cpu %v, %.0f MB", what, client, f.median.wall, f.median.cpu, f.max.memoryMB)
			}
		}
	}
	return nil
}

func (b *setBench) turn(ctx context.Context, turn int) error {
	plain, ours, theirs := fmt.Sprintf("plain-%d", turn), fmt.Sprintf("ours-%d", turn), fmt.Sprintf("theirs-%d", turn)
	for _, namespace := range []string{plain, ours, theirs} {
		if err := b.namespace(ctx, namespace); err != nil {
			return err
		}
	}
	with := map[string]any{"set": "bench", "prune": map[string]any{"max": b.members}}
	// Made, and not measured: the manifests are the same to all from then on.
	if _, err := b.execute(ctx, plain, "all", "apply", nil); err != nil {
		return err
	}
	if _, err := b.execute(ctx, ours, "all", "apply", with); err != nil {
		return err
	}
	if _, err := b.kubectl(ctx, theirs, "all"); err != nil {
		return err
	}
	without, err := b.execute(ctx, plain, "all", "plan", nil)
	if err != nil {
		return err
	}
	b.add(planWithout, byFunction, without["plan-manifests"])
	planned, err := b.execute(ctx, ours, "all", "plan", with)
	if err != nil {
		return err
	}
	b.add(planWith, byFunction, planned["plan-manifests"], planned["plan-set"])
	b.add(listing, byFunction, planned["plan-set"])
	if err := b.both(ctx, same, "all", ours, theirs, with); err != nil {
		return err
	}
	return b.both(ctx, fewer, "most", ours, theirs, with)
}

// both applies a file by both.
func (b *setBench) both(ctx context.Context, what, file, ours, theirs string, with map[string]any) error {
	took, err := b.execute(ctx, ours, file, "apply", with)
	if err != nil {
		return err
	}
	b.add(what, byFunction, took["verify-apply"], took["plan-manifests"], took["plan-set"], took["apply-manifests"], took["prune-objects"])
	s, err := b.kubectl(ctx, theirs, file)
	if err != nil {
		return err
	}
	b.add(what, byKubectl, s)
	return nil
}

func (b *setBench) add(what, client string, of ...sample) {
	var total sample
	for _, s := range of {
		total.wall += s.wall
		total.cpu += s.cpu
		total.memoryMB = max(total.memoryMB, s.memoryMB)
	}
	if b.samples[what] == nil {
		b.samples[what] = map[string][]sample{}
	}
	b.samples[what][client] = append(b.samples[what][client], total)
}

func (b *setBench) file(key string) string { return filepath.Join(b.dir, "set-"+key+".yaml") }

func (b *setBench) kubectl(ctx context.Context, namespace, file string) (sample, error) {
	if err := os.Setenv("KUBECTL_APPLYSET", "true"); err != nil {
		return sample{}, err
	}
	return child(ctx, filepath.Join(b.root, "build", "local", "kubectl"), "apply", "--applyset=configmaps/bench", "--prune",
		"--kubeconfig", b.kubeconfig, "--cache-dir", filepath.Join(b.dir, "kubectl"), "-n", namespace, "-f", b.file(file))
}

// execute invokes the functions of an execution in the machine's order, and returns what each took in all its rounds.
func (b *setBench) execute(ctx context.Context, namespace, file, mode string, more map[string]any) (map[string]sample, error) {
	b.executions++
	input := map[string]any{"clusterName": world.ClusterName, "mode": mode, "namespace": namespace, "source": map[string]string{"bucket": manifestBucket, "key": file}}
	for key, value := range more {
		input[key] = value
	}
	s, err := b.applySession(ctx, fmt.Sprintf("bench-%d", b.executions), input)
	if err != nil {
		return nil, err
	}
	took := map[string]sample{}
	timed := func(function string, payload, into any) error {
		one, err := b.timed(ctx, function, payload, into)
		all := took[function]
		took[function] = sample{wall: all.wall + one.wall, cpu: all.cpu + one.cpu, memoryMB: max(all.memoryMB, one.memoryMB)}
		return err
	}
	var access applymanifests.VerifiedApply
	for !access.Complete {
		if err := timed("verify-apply", applymanifests.VerifyApply{Session: s, Access: access}, &access); err != nil {
			return nil, err
		}
	}
	var plan applymanifests.Plan
	for !plan.Compared {
		if err := timed("plan-manifests", applymanifests.PlanManifests{Session: s, Plan: plan}, &plan); err != nil {
			return nil, err
		}
	}
	for !plan.Complete {
		if err := timed("plan-set", applymanifests.PlanSet{Session: s, Plan: plan}, &plan); err != nil {
			return nil, err
		}
	}
	if mode == "plan" {
		return took, nil
	}
	var applied applymanifests.Applied
	for !applied.Complete {
		if err := timed("apply-manifests", applymanifests.ApplyManifests{Session: s, Plan: plan, Apply: applied}, &applied); err != nil {
			return nil, err
		}
	}
	var pruned applymanifests.Pruned
	for s.Request.Prune.Enabled && !pruned.Complete {
		if err := timed("prune-objects", applymanifests.PruneObjects{Session: s, Plan: plan, Prune: pruned}, &pruned); err != nil {
			return nil, err
		}
	}
	if pruned.Pruned != plan.Pruned || len(pruned.Deleting)+len(pruned.Kept) > 0 {
		return nil, fmt.Errorf("%d of %d members were pruned: %v %v", pruned.Pruned, plan.Pruned, pruned.Deleting, pruned.Kept)
	}
	return took, nil
}

func (b *setBench) report(o options, by string) []byte {
	var text bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	get := func(what, client string) figures { return summarize(b.samples[what][client]) }
	kinds := len(memberKinds())
	p("# Benchmarks of sets\n\n%s.\n", by)
	p("A set has %d members of %d kinds in one namespace. There are %d turns, each in new namespaces; times are the median, and the least and the most; ratios are the median of the turns' ratios.\n", o.members, kinds, o.runs)
	p("- **kubestep** is the sum of the whole invocations of the functions that connect, the deployed binaries, warm: for a plan, PlanManifests and PlanSet; else VerifyApply, ApplyManifests and PruneObjects too.")
	p("- **kubectl** applies with `--prune` and `--applyset`, which is alpha: the process from its start to its end. It has no plan of what it would prune.\n")
	p("| | client | time | CPU | peak memory |\n|---|---|--:|--:|--:|")
	for _, what := range []string{planWithout, planWith, listing, same, fewer} {
		for _, client := range []string{byFunction, byKubectl} {
			if b.samples[what][client] != nil {
				f := get(what, client)
				p("| %s | %s | %s | %s | %.0f MB |", what, client, span(f, wall), ms(f.median.cpu), f.max.memoryMB)
			}
		}
	}
	p("\n| ratio | | at most |\n|---|--:|--:|")
	p("| a plan with prune ÷ one without a set | %.2f | 1.2 |", ratio(get(planWith, byFunction), get(planWithout, byFunction), wall, wall))
	for _, what := range []string{same, fewer} {
		p("| %s: kubestep ÷ kubectl | %.2f | 1 |", what, ratio(get(what, byFunction), get(what, byKubectl), wall, wall))
	}
	return text.Bytes()
}

// memberKinds are kinds that do nothing in the local cluster, as templates of their objects.
func memberKinds() []string {
	const pod = `{"metadata":{"labels":{"app":"APP"}},"spec":{"containers":[{"name":"c","image":"example.com/c:1"}]}}`
	const job = `{"metadata":{"labels":{"app":"APP"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"example.com/c:1"}]}}`
	of := func(apiVersion, kind, rest string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"NAME","labels":{"app.kubernetes.io/name":"orders"}},%s}`, apiVersion, kind, rest)
	}
	selector := `"selector":{"matchLabels":{"app":"APP"}}`
	return []string{
		of("v1", "ConfigMap", `"data":{"a":"b"}`),
		of("v1", "Secret", `"stringData":{"a":"b"}`),
		of("v1", "ServiceAccount", `"automountServiceAccountToken":false`),
		of("v1", "Service", `"spec":{"clusterIP":"None","ports":[{"port":80}]}`),
		of("v1", "PodTemplate", `"template":`+pod),
		of("v1", "ReplicationController", `"spec":{"replicas":0,"selector":{"app":"APP"},"template":`+pod+`}`),
		of("apps/v1", "Deployment", `"spec":{"replicas":0,"paused":true,`+selector+`,"template":`+pod+`}`),
		of("apps/v1", "StatefulSet", `"spec":{"replicas":0,"serviceName":"none",`+selector+`,"template":`+pod+`}`),
		of("apps/v1", "ReplicaSet", `"spec":{"replicas":0,`+selector+`,"template":`+pod+`}`),
		of("apps/v1", "ControllerRevision", `"revision":1,"data":{"a":"b"}`),
		of("batch/v1", "CronJob", `"spec":{"schedule":"0 0 1 1 *","suspend":true,"jobTemplate":{"spec":{"template":`+job+`}}}`),
		of("networking.k8s.io/v1", "NetworkPolicy", `"spec":{"podSelector":{"matchLabels":{"app":"APP"}},"policyTypes":["Ingress"]}`),
		of("networking.k8s.io/v1", "Ingress", `"spec":{"defaultBackend":{"service":{"name":"NAME","port":{"number":80}}}}`),
		of("policy/v1", "PodDisruptionBudget", `"spec":{"minAvailable":1,`+selector+`}`),
		of("autoscaling/v2", "HorizontalPodAutoscaler", `"spec":{"maxReplicas":2,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"none"}}`),
		of("coordination.k8s.io/v1", "Lease", `"spec":{"holderIdentity":"nobody"}`),
		of("discovery.k8s.io/v1", "EndpointSlice", `"addressType":"IPv4","endpoints":[]`),
		of("storage.k8s.io/v1", "CSIStorageCapacity", `"storageClassName":"none"`),
		of("v1", "Endpoints", `"subsets":[]`),
		of("resource.k8s.io/v1", "ResourceClaimTemplate", `"spec":{"spec":{}}`),
	}
}

// members are n objects of all kinds as YAML documents.
func members(n int) ([]byte, error) {
	var documents []byte
	kinds := memberKinds()
	for i := range n {
		name := fmt.Sprintf("member-%04d", i/len(kinds))
		line := strings.NewReplacer("NAME", name, "APP", fmt.Sprintf("app-%04d-%02d", i/len(kinds), i%len(kinds))).Replace(kinds[i%len(kinds)])
		if !json.Valid([]byte(line)) {
			return nil, fmt.Errorf("it is no JSON: %s", line)
		}
		document, err := yaml.JSONToYAML([]byte(line))
		if err != nil {
			return nil, err
		}
		documents = fmt.Appendf(documents, "---\n%s", document)
	}
	return documents, nil
}
