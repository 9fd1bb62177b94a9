package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// history is what happened to an object before it is planned.
type history struct {
	// kubectl are commands, each with the manifest that it reads from its input.
	kubectl []command
	// applied is what kubestep applied before that.
	applied string
	// manifest is what is planned and applied.
	manifest string
	// changes, conflicts and notes are those of the plan; of a note, a part.
	changes, conflicts, notes []string
	action                    applymanifests.Action
}

type command struct{ args, input string }

// clientSide is `kubectl apply` without --server-side.
func clientSide(manifest string) command { return command{"apply -f -", manifest} }

// update changes a resource as a controller or a person does.
func update(resource, patch string) command {
	return command{"patch " + resource + " --type merge --field-manager someone -p " + patch, ""}
}

func data(name, fields string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {%s}\n", name, fields)
}

func deployment(name, labels, spec, containers string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %[1]s, labels: {%[2]s}}\nspec:\n  selector: {matchLabels: {app: %[1]s}}\n%[3]s\n  template:\n    metadata: {labels: {app: %[1]s}}\n    spec: {containers: [%[4]s]}\n", name, labels, spec, containers)
}

const kubectlTookOver = "kubectl-client-side-apply applied it without server-side apply"

var histories = map[string]history{
	"a key that kubectl applied and the manifest no longer has": {
		kubectl:  []command{clientSide(data("h1", `a: "1", b: "1"`))},
		manifest: data("h1", `a: "1"`), action: applymanifests.ActionConfigured, changes: []string{"-data.b"}, notes: []string{kubectlTookOver},
	},
	"what kubectl applied, as it is": {
		kubectl:  []command{clientSide(data("h2", `a: "1"`))},
		manifest: data("h2", `a: "1"`), action: applymanifests.ActionUnchanged, notes: []string{kubectlTookOver, "no value changes; applying makes kubestep the owner"},
	},
	"a key that kubectl applied after kubestep": {
		applied:  data("h3", `a: "1"`),
		kubectl:  []command{clientSide(data("h3", `a: "1", b: "1"`))},
		manifest: data("h3", `a: "1"`), action: applymanifests.ActionConfigured, changes: []string{"-data.b"}, notes: []string{kubectlTookOver},
	},
	"a key that kubectl applied and somebody else changed since": {
		kubectl:  []command{clientSide(data("h4", `a: "1", b: "1"`)), update("configmap/h4", `{"data":{"b":"2"}}`)},
		manifest: data("h4", `a: "1"`), action: applymanifests.ActionUnchanged, notes: []string{kubectlTookOver, "no value changes"},
	},
	"a Deployment that kubectl applied with more": {
		kubectl: []command{clientSide(deployment("h5", "app: h5, old: x", "  replicas: 3\n  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 2}}\n  minReadySeconds: 4",
			"{name: web, image: x, ports: [{containerPort: 80}, {containerPort: 81}], env: [{name: A, value: '1'}, {name: B, value: '2'}], resources: {limits: {cpu: '1'}}, securityContext: {runAsUser: 4}}, {name: side, image: z}"))},
		manifest: deployment("h5", "app: h5", "", "{name: web, image: x, ports: [{containerPort: 80}], env: [{name: A, value: '1'}]}"),
		action:   applymanifests.ActionConfigured, notes: []string{kubectlTookOver},
		changes: []string{
			"-metadata.labels.old", "-spec.minReadySeconds", "~spec.replicas", "~spec.strategy.rollingUpdate.maxSurge", "-spec.template.spec.containers[name=web].env[name=B]",
			"-spec.template.spec.containers[name=web].ports[1]", "-spec.template.spec.containers[name=web].resources.limits", "-spec.template.spec.containers[name=web].securityContext", "-spec.template.spec.containers[name=side]",
		},
	},
	"a Deployment that kubectl applied, and something scales": {
		kubectl: []command{
			clientSide(deployment("h6", "app: h6", "  replicas: 3", "{name: web, image: x}")),
			{"scale deployment/h6 --replicas 5", ""},
		},
		manifest: deployment("h6", "app: h6", "", "{name: web, image: x}"), action: applymanifests.ActionUnchanged, notes: []string{kubectlTookOver, "no value changes"},
	},
	"a map of which others have a part": {
		kubectl: []command{
			clientSide("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: h7, annotations: {a: '1', b: '1'}}\n"),
			{"annotate serviceaccount/h7 c=1 --field-manager someone", ""},
		},
		manifest: "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: h7}\n", action: applymanifests.ActionConfigured, changes: []string{"-metadata.annotations.a", "-metadata.annotations.b"}, notes: []string{kubectlTookOver},
	},
	"kubectl create --save-config": {
		kubectl:  []command{{"create --save-config -f -", data("h8", `a: "1", b: "1"`)}},
		manifest: data("h8", `a: "1"`), action: applymanifests.ActionConfigured, changes: []string{"-data.b"}, notes: []string{"kubectl-create applied it without server-side apply"},
	},
	"kubectl create alone": {
		kubectl:  []command{{"create -f -", data("h9", `a: "1", b: "1"`)}},
		manifest: data("h9", `a: "1"`), action: applymanifests.ActionUnchanged, notes: []string{"no value changes"},
	},
	"a Service that kubectl applied with more": {
		kubectl:  []command{clientSide("apiVersion: v1\nkind: Service\nmetadata: {name: h10}\nspec: {selector: {a: b}, ports: [{name: a, port: 80}, {name: b, port: 81}], sessionAffinity: ClientIP}\n")},
		manifest: "apiVersion: v1\nkind: Service\nmetadata: {name: h10}\nspec: {selector: {a: b}, ports: [{name: a, port: 80}]}\n", action: applymanifests.ActionConfigured, notes: []string{kubectlTookOver},
		changes: []string{"-spec.ports[name=b]", "~spec.sessionAffinity", "-spec.sessionAffinityConfig"},
	},
	"a finalizer that kubectl applied": {
		kubectl:  []command{clientSide("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: h11, finalizers: [example.com/a, example.com/b]}\n")},
		manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: h11, finalizers: [example.com/a]}\n", action: applymanifests.ActionConfigured, changes: []string{"-metadata.finalizers[1]"}, notes: []string{kubectlTookOver},
	},
	"a key that somebody added": {
		applied:  data("h20", `a: "1"`),
		kubectl:  []command{update("configmap/h20", `{"data":{"b":"1"}}`)},
		manifest: data("h20", `a: "1"`), action: applymanifests.ActionUnchanged,
	},
	"a key that kubestep applied and the manifest no longer has": {
		applied:  data("h21", `a: "1", b: "1"`),
		manifest: data("h21", `a: "1"`), action: applymanifests.ActionConfigured, changes: []string{"-data.b"}, notes: []string{"kubestep applied what goes, on "},
	},
	"a quantity in another spelling that another manager owns": {
		kubectl:  []command{{"apply --server-side --field-manager someone -f -", deployment("h30", "app: h30", "", "{name: web, image: x, resources: {limits: {cpu: 500m, memory: 1Gi}}}")}},
		manifest: deployment("h30", "app: h30", "", "{name: web, image: x, resources: {limits: {cpu: 0.5, memory: 1024Mi}}}"), action: applymanifests.ActionUnchanged, notes: []string{"no value changes"},
	},
	"a quantity in another spelling, and a change": {
		kubectl:  []command{{"apply --server-side --field-manager someone -f -", deployment("h31", "app: h31", "", "{name: web, image: x, resources: {limits: {cpu: 500m}}}")}},
		manifest: deployment("h31", "app: h31", "  replicas: 2", "{name: web, image: x, resources: {limits: {cpu: '0.5'}}}"), action: applymanifests.ActionConfigured, changes: []string{"~spec.replicas"},
	},
	"an object whose managers were lost, with kubectl's copy": {
		kubectl:  []command{clientSide(data("h12", `a: "1", b: "1"`)), {`patch configmap/h12 --type json -p [{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`, ""}},
		manifest: data("h12", `a: "1"`), action: applymanifests.ActionConfigured, changes: []string{"-data.b"}, notes: []string{"before-first-apply applied it without server-side apply"},
	},
	"a HorizontalPodAutoscaler that kubectl applied as another version": {
		kubectl:  []command{clientSide("apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: h13, labels: {a: b}}\nspec: {minReplicas: 2, maxReplicas: 3, targetCPUUtilizationPercentage: 50, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n")},
		manifest: "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h13}\nspec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n",
		action:   applymanifests.ActionUnchanged, notes: []string{kubectlTookOver, "what it was given as autoscaling/v1 stays", "no value changes"},
	},
	"a Secret that kubectl applied with more": {
		kubectl:  []command{clientSide("apiVersion: v1\nkind: Secret\nmetadata: {name: h14}\nstringData: {a: hunter2, b: hunter2}\n")},
		manifest: "apiVersion: v1\nkind: Secret\nmetadata: {name: h14}\ndata: {a: aHVudGVyMg==}\n", action: applymanifests.ActionConfigured, changes: []string{"-data.b"}, notes: []string{kubectlTookOver},
	},
	"a container of which somebody else has the image": {
		kubectl: []command{
			clientSide(deployment("h15", "app: h15", "", "{name: web, image: x}, {name: side, image: z}")),
			{"set image deployment/h15 side=other --field-manager someone", ""},
		},
		manifest: deployment("h15", "app: h15", "", "{name: web, image: x}"), action: applymanifests.ActionConfigured, changes: []string{"-spec.template.spec.containers[name=side]"}, notes: []string{kubectlTookOver},
	},
	"a container in which somebody else set a variable": {
		kubectl: []command{
			clientSide(deployment("h16", "app: h16", "", "{name: web, image: x, env: [{name: A, value: '1'}]}")),
			{"set env deployment/h16 B=2 --field-manager someone", ""},
		},
		manifest: deployment("h16", "app: h16", "", "{name: web, image: x}"), action: applymanifests.ActionConfigured, changes: []string{"-spec.template.spec.containers[name=web].env[name=A]"}, notes: []string{kubectlTookOver},
	},
	"a CronJob that kubectl applied with more": {
		kubectl:  []command{clientSide("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: h17}\nspec:\n  schedule: '* * * * *'\n  suspend: true\n  concurrencyPolicy: Forbid\n  successfulJobsHistoryLimit: 1\n  jobTemplate: {spec: {backoffLimit: 2, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, nodeSelector: {a: b}, tolerations: [{key: a, operator: Exists}], volumes: [{name: v, emptyDir: {}}], containers: [{name: c, image: x, args: [a, b], volumeMounts: [{name: v, mountPath: /v}]}]}}}}\n")},
		manifest: "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: h17}\nspec:\n  schedule: '* * * * *'\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}\n", action: applymanifests.ActionConfigured, notes: []string{kubectlTookOver},
		changes: []string{
			"~spec.concurrencyPolicy", "-spec.jobTemplate.spec.backoffLimit", "-spec.jobTemplate.spec.template.metadata.labels", "-spec.jobTemplate.spec.template.spec.containers[name=c].args",
			"-spec.jobTemplate.spec.template.spec.containers[name=c].volumeMounts", "-spec.jobTemplate.spec.template.spec.nodeSelector", "-spec.jobTemplate.spec.template.spec.tolerations", "-spec.jobTemplate.spec.template.spec.volumes",
			"~spec.successfulJobsHistoryLimit", "~spec.suspend",
		},
	},
	"what kubectl applied at both sides": {
		kubectl:  []command{clientSide(data("h18", `a: "1", b: "1"`)), {"apply --server-side -f -", data("h18", `a: "1", b: "1", c: "1"`)}},
		manifest: data("h18", `a: "1"`), action: applymanifests.ActionUnchanged, notes: []string{"no value changes"},
	},
	"an Ingress that kubectl applied with more": {
		kubectl:  []command{clientSide("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: h19, annotations: {a: b}}\nspec: {ingressClassName: x, tls: [{hosts: [a.example.com]}], rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}\n")},
		manifest: "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: h19}\nspec: {rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}\n", action: applymanifests.ActionConfigured, notes: []string{kubectlTookOver},
		changes: []string{"-metadata.annotations", "-spec.ingressClassName", "-spec.tls"},
	},
	"a Secret's value in another spelling of base64": {
		kubectl:  []command{{"apply --server-side --field-manager someone -f -", "apiVersion: v1\nkind: Secret\nmetadata: {name: h32}\ndata: {a: aHVudGVyMg==}\n"}},
		manifest: "apiVersion: v1\nkind: Secret\nmetadata: {name: h32}\ndata: {a: \"aHVudG\\nVyMg==\"}\n", action: applymanifests.ActionUnchanged, notes: []string{"no value changes"},
	},
}

func TestAPlanSaysExactlyWhatApplyingChanges(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	var before, all strings.Builder
	for _, sentence := range slices.Sorted(maps.Keys(histories)) {
		before.WriteString("---\n" + histories[sentence].applied)
		all.WriteString("---\n" + histories[sentence].manifest)
	}
	applied(t, a.apply(t, before.String()))
	for _, h := range histories {
		for _, c := range h.kubectl {
			a.kubectl(t, c.input, strings.Fields(c.args)...)
		}
	}
	client, source := a.bucket(t, all.String())
	plan := applied(t, a.run(t, map[string]any{"source": source, "mode": "plan"})).Plan
	was := a.live(t, all.String())

	output := applied(t, a.run(t, map[string]any{"source": source, "output": map[string]any{"bucket": source["bucket"], "prefix": "diffs"}}))

	is := a.live(t, all.String())
	again := applied(t, a.run(t, map[string]any{"source": source, "mode": "plan"}))
	for _, key := range output.Plan.Diff.Keys {
		difference := readObject(t, client, source["bucket"], s3types.Object{Key: &key})
		assert.Contains(t, difference, "Secret "+a.namespace+"/h14: configured\n  # "+kubectlTookOver)
		assert.NotContains(t, difference, "hunter2")
		assert.NotContains(t, difference, "aHVudGVyMg")
	}
	assert.False(t, again.Drift, "as the manifests say")
	assert.Zero(t, again.Plan.Adopted)
	assert.Equal(t, output.Plan.Created+output.Plan.Configured+output.Plan.Adopted, output.Applied)
	for i, sentence := range slices.Sorted(maps.Keys(histories)) {
		t.Run(sentence, func(t *testing.T) {
			h, o := histories[sentence], plan.Objects[i]
			assert.Equal(t, h.action, o.Action)
			assert.Equal(t, h.changes, o.Changes)
			assert.Equal(t, h.conflicts, o.Conflicts)
			require.Len(t, o.Notes, len(h.notes), "%q", o.Notes)
			for j, note := range h.notes {
				assert.Contains(t, o.Notes[j], note)
			}
			assert.Equal(t, o, output.Plan.Objects[i], "apply plans the same")
			sameChanges(t, was[i], is[i], o.Changes)
			assert.Equal(t, applymanifests.PlannedObject{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Action: applymanifests.ActionUnchanged}, again.Plan.Objects[i])
		})
	}
}

// kubectl runs kubectl as the administrator in the scenario's namespace.
func (a *applier) kubectl(t *testing.T, input string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", append(args, "--kubeconfig", local.ControlPlane.Kubeconfig, "--cache-dir", t.TempDir(), "--namespace", a.namespace)...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "kubectl %q: %s", args, &errs)
	return out.Bytes()
}

// live are the objects of the manifests as they are in the cluster.
func (a *applier) live(t *testing.T, manifests string) []map[string]any {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifests.yaml")
	require.NoError(t, os.WriteFile(file, []byte(manifests), 0o600))
	text := a.kubectl(t, "", "get", "-o", "json", "--show-managed-fields", "-f", file)
	var list struct{ Items []map[string]any }
	require.NoError(t, json.Unmarshal(text, &list))
	if list.Items == nil { // there is one only
		list.Items = make([]map[string]any, 1)
		require.NoError(t, json.Unmarshal(text, &list.Items[0]))
	}
	return list.Items
}

// sameChanges compares an object before and after with what a plan said: each value that is another one is below a path
// of the plan, and below each path there is one.
func sameChanges(t *testing.T, before, after map[string]any, changes []string) {
	t.Helper()
	values, others := map[string]any{}, map[string]any{}
	if !slices.ContainsFunc(changes, func(change string) bool { return strings.HasPrefix(change[1:], "status") }) { // controllers go on meanwhile
		delete(before, "status")
		delete(after, "status")
	}
	flatten("", before, values)
	flatten("", after, others)
	changed := map[string]bool{}
	for path, value := range values {
		if other, there := others[path]; !there || other != value {
			changed[path] = true
		}
	}
	for path := range others {
		if _, there := values[path]; !there {
			changed[path] = true
		}
	}
	told := map[string]bool{}
	for path := range changed {
		for _, change := range changes {
			if strings.HasPrefix(path+".", change[1:]+".") || strings.HasPrefix(path, change[1:]+"[") {
				told[change] = true
				delete(changed, path)
			}
		}
	}
	assert.Empty(t, changed, "changed, and the plan does not say so")
	assert.Len(t, told, len(changes), "the plan says so, and it did not change: %q", changes)
}

// flatten lists the values of an object by their paths, without what the API server and controllers write.
func flatten(path string, value any, into map[string]any) {
	switch of := value.(type) {
	case map[string]any:
		for key, field := range of {
			below := strings.TrimPrefix(path+"."+key, ".")
			if strings.ContainsAny(key, "./") {
				below = path + "[" + key + "]"
			}
			switch below {
			case "metadata.managedFields", "metadata.resourceVersion", "metadata.generation",
				"metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]", "metadata.annotations[deployment.kubernetes.io/revision]":
			default:
				flatten(below, field, into)
			}
		}
	case []any:
		for i, item := range of {
			below := fmt.Sprintf("%s[%d]", path, i)
			if fields, ok := item.(map[string]any); ok && fields["name"] != nil {
				below = fmt.Sprintf("%s[name=%v]", path, fields["name"])
			}
			flatten(below, item, into)
		}
	default:
		into[path] = value
	}
}

func TestForceSaysWhatItTakesFromWhom(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	manifest := deployment("web", "app: web", "  replicas: 2", "{name: web, image: x}") + "---\n" + data("one", `a: "1"`)
	applied(t, a.apply(t, manifest))
	a.kubectl(t, "", "scale", "deployment/web", "--replicas", "5")
	a.kubectl(t, "", strings.Fields(update("configmap/one", `{"data":{"a":"2","b":"1"}}`).args)...)

	plan := applied(t, a.run(t, map[string]any{"manifests": manifest, "mode": "plan"})).Plan
	assert.Equal(t, []string{`spec.replicas is owned by "kubectl" with subresource "scale" using apps/v1`}, plan.Objects[0].Conflicts)
	assert.Empty(t, plan.Objects[0].Takes)

	for _, mode := range []string{"plan", "apply"} {
		output := applied(t, a.run(t, map[string]any{"manifests": manifest, "mode": mode, "force": true}))
		assert.Empty(t, output.Plan.Objects[0].Conflicts)
		assert.Equal(t, []string{`spec.replicas from "kubectl" with subresource "scale" using apps/v1`}, output.Plan.Objects[0].Takes, mode)
		assert.Equal(t, []string{`data.a from "someone" using v1`}, output.Plan.Objects[1].Takes, mode)
		assert.Equal(t, []string{"~data.a"}, output.Plan.Objects[1].Changes, mode)
		assert.Empty(t, output.Warnings, "the plan has said it")
	}
	output := applied(t, a.run(t, map[string]any{"manifests": manifest, "mode": "plan", "force": true}))
	assert.False(t, output.Drift)
	assert.Empty(t, output.Plan.Objects[0].Takes)
}

func TestAValueThatKubectlAppliedIsAConflictFirst(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.kubectl(t, data("one", `a: "1", b: "1"`), "apply", "-f", "-")
	manifest := data("one", `a: "2"`)
	plan := applied(t, a.run(t, map[string]any{"manifests": manifest, "mode": "plan"})).Plan
	assert.Equal(t, []string{"~data.a", "-data.b"}, plan.Objects[0].Changes)
	owner := `data.a is owned by "kubectl-client-side-apply" using v1`
	assert.Equal(t, []string{owner}, plan.Objects[0].Conflicts)
	stopped(t, a.apply(t, manifest), contract.FieldConflict, "Nothing was applied", owner)

	was := a.live(t, manifest)
	output := applied(t, a.run(t, map[string]any{"manifests": manifest, "force": true}))
	assert.Equal(t, []string{`data.a from "kubectl-client-side-apply" using v1`}, output.Plan.Objects[0].Takes)
	sameChanges(t, was[0], a.live(t, manifest)[0], []string{"~data.a", "-data.b"})
	assert.False(t, applied(t, a.run(t, map[string]any{"manifests": manifest, "mode": "plan"})).Drift)
}

func TestWhatWouldBeRefusedWithoutWhatKubectlOwnsIsToldByThePlan(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: one}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}%s}\n"
	a.kubectl(t, fmt.Sprintf(claim, ", volumeName: some"), "apply", "-f", "-")
	e := a.apply(t, data("two", `a: "1"`)+"---\n"+fmt.Sprintf(claim, ""))
	stopped(t, e, contract.InvalidInput, "PersistentVolumeClaim "+a.namespace+"/one (document 2)", "spec is immutable after creation")
}

func TestAnObjectThatIsBeingDeletedIsNotUnchanged(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	held := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\ndata: {a: '1'}\n"
	manifests := data("stays", `a: "1"`) + "---\n" + held
	applied(t, a.apply(t, manifests))
	a.kubectl(t, "", "delete", "configmap/held", "--wait=false")
	for value, changes := range map[string][]string{"'1'": nil, "'2'": {"~data.a"}} {
		output := applied(t, a.run(t, map[string]any{"manifests": strings.ReplaceAll(manifests, "a: '1'", "a: "+value), "mode": "plan"}))
		assert.True(t, output.Drift, "what is applied to it goes with it")
		assert.Equal(t, []int{0, 0, 1, 1}, []int{output.Plan.Created, output.Plan.Configured, output.Plan.Unchanged, output.Plan.Deleting})
		assert.Equal(t, applymanifests.ActionDeleting, output.Plan.Objects[1].Action)
		assert.Equal(t, changes, output.Plan.Objects[1].Changes)
		require.Len(t, output.Plan.Objects[1].Notes, 1)
		assert.Contains(t, output.Plan.Objects[1].Notes[0], "waits for its finalizers [example.com/hold]. What is applied goes with it")
	}
	output := applied(t, a.apply(t, manifests))
	assert.Equal(t, applymanifests.ActionDeleting, output.Plan.Objects[1].Action)
	assert.Equal(t, 1, output.Applied)

	a.kubectl(t, "", "patch", "configmap/held", "--type", "json", "-p", `[{"op":"remove","path":"/metadata/finalizers"}]`)
	assert.Equal(t, 1, applied(t, a.apply(t, manifests)).Plan.Created)
}

// definition is a CRD of the scenario's group, which has more versions and subresources than v1 if they are given.
func (a *applier) definition(kind, versions string) string {
	plural := strings.ToLower(kind) + "s"
	return fmt.Sprintf("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: %[1]s.%[2]s.example.com}\nspec:\n  group: %[2]s.example.com\n  scope: Namespaced\n  names: {plural: %[1]s, kind: %[3]s}\n  versions: [%[4]s]\n",
		plural, a.stack.Name, kind, versions)
}

const anything = "schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}"

func (a *applier) custom(version, kind, name, fields string) string {
	return fmt.Sprintf("apiVersion: %s.example.com/%s\nkind: %s\nmetadata: {name: %s}\n%s\n", a.stack.Name, version, kind, name, fields)
}

func TestAStatusIsComparedWhereApplyingChangesIt(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	definitions := a.definition("Note", "{name: v1, served: true, storage: true, "+anything+"}") +
		"---\n" + a.definition("Ticket", "{name: v1, served: true, storage: true, subresources: {status: {}}, "+anything+"}")
	of := func(read string) string {
		return a.custom("v1", "Note", "memo", "spec: {text: a}"+read) + "---\n" + a.custom("v1", "Ticket", "memo", "spec: {text: a}"+read)
	}
	applied(t, a.apply(t, definitions+"---\n"+of("")))
	for _, c := range []struct {
		status string
		want   []string
	}{{"\nstatus: {read: false}", []string{"+status"}}, {"\nstatus: {read: true}", []string{"~status.read"}}, {"", []string{"-status"}}} {
		output := applied(t, a.run(t, map[string]any{"manifests": of(c.status), "mode": "plan"}))
		assert.True(t, output.Drift)
		assert.Equal(t, c.want, output.Plan.Objects[0].Changes)
		assert.Equal(t, applymanifests.ActionUnchanged, output.Plan.Objects[1].Action, "a status that is a subresource is not applied")
		was := a.live(t, of(""))
		applied(t, a.apply(t, of(c.status)))
		sameChanges(t, was[0], a.live(t, of(""))[0], c.want)
		sameChanges(t, was[1], a.live(t, of(""))[1], nil)
		assert.False(t, applied(t, a.run(t, map[string]any{"manifests": of(c.status), "mode": "plan"})).Drift)
	}
}

func TestAnObjectWhoseKindGetsAVersionIsNotNew(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	v1 := "{name: v1, served: true, storage: false, " + anything + "}"
	applied(t, a.apply(t, a.definition("Verse", strings.ReplaceAll(v1, "storage: false", "storage: true"))+"---\n"+a.custom("v1", "Verse", "old", "spec: {x: 1}")))

	both := a.definition("Verse", v1+", {name: v2, served: true, storage: true, "+anything+"}") +
		"---\n" + a.custom("v2", "Verse", "old", "spec: {x: 1}") + "---\n" + a.custom("v2", "Verse", "new", "spec: {x: 1}")
	output := applied(t, a.apply(t, both))
	assert.Equal(t, applymanifests.ActionConfigured, output.Plan.Objects[1].Action)
	assert.Equal(t, "the CRD among the manifests defines its version v2; it is there as v1, and whether it changes is not known before", output.Plan.Objects[1].Unchecked)
	assert.Equal(t, applymanifests.ActionCreated, output.Plan.Objects[2].Action)
	assert.Equal(t, 3, output.Applied)
	assert.False(t, applied(t, a.run(t, map[string]any{"manifests": both, "mode": "plan"})).Drift)
}

func TestAnObjectOfTheClusterIsAppliedOnce(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	class := "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: twice-" + a.stack.Name + ", namespace: %s}\nvalue: 1\n"
	e := a.apply(t, fmt.Sprintf(class, "shop")+"---\n"+fmt.Sprintf(class, "default"))
	stopped(t, e, contract.InvalidInput, "document 2 (PriorityClass twice-"+a.stack.Name+"): it is in document 1 already, since the kind is cluster-wide, whatever namespace is given")

	scaler := "apiVersion: autoscaling/%s\nkind: HorizontalPodAutoscaler\nmetadata: {name: twice}\nspec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n"
	e = a.apply(t, fmt.Sprintf(scaler, "v1")+"---\n"+data("one", "")+"---\n"+fmt.Sprintf(scaler, "v2"))
	stopped(t, e, contract.InvalidInput, "document 3 (HorizontalPodAutoscaler ", "it is in document 1 already")

	event := "apiVersion: %s\nkind: Event\nmetadata: {name: twice}\n"
	e = a.apply(t, fmt.Sprintf(event, "v1")+"---\n"+fmt.Sprintf(event, "events.k8s.io/v1"))
	stopped(t, e, contract.InvalidInput, "document 2 (Event "+a.namespace+"/twice): it is in document 1 already, as v1")
}

func TestWhatTheAPIServerWarnsOfIsInThePlan(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	manifests := data("quiet", `a: "1"`) +
		"---\n" + deployment("warned", "app: warned", "", "{name: web, image: x, resources: {requests: {memory: 100.5m}}}") +
		"---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: warned}\n"
	output := applied(t, a.apply(t, manifests))
	assert.Empty(t, output.Plan.Objects[0].Warnings)
	assert.Equal(t, []string{`spec.template.spec.containers[0].resources.requests[memory]: fractional byte value "101m" is invalid, must be an integer`}, output.Plan.Objects[1].Warnings)
	deprecated := []string{"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}
	assert.Equal(t, deprecated, output.Plan.Objects[2].Warnings)
	assert.Empty(t, output.Warnings, "the plan has said it")
	output = applied(t, a.apply(t, manifests))
	assert.Equal(t, applymanifests.ActionUnchanged, output.Plan.Objects[2].Action)
	assert.Equal(t, deprecated, output.Plan.Objects[2].Warnings, "of an unchanged object too")

	// No dry run is possible before the kind is served.
	old := "{name: v1alpha1, served: true, storage: true, deprecated: true, deprecationWarning: it is deprecated, " + anything + "}"
	output = applied(t, a.apply(t, a.definition("Widget", old)+"---\n"+a.custom("v1alpha1", "Widget", "one", "")))
	assert.Equal(t, []string{"Widget " + a.namespace + "/one: it is deprecated"}, output.Warnings)
}

func TestTwoSetsOfManifestsThatShareAnObjectAreTold(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	shared := func(team string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: shared-%s, labels: {%s: '1'}}\n", a.stack.Name, team)
	}
	applied(t, a.apply(t, shared("team-a")))
	output := applied(t, a.run(t, map[string]any{"manifests": shared("team-b"), "mode": "plan"}))
	assert.Equal(t, []string{"-metadata.labels.team-a", "+metadata.labels.team-b"}, output.Plan.Objects[0].Changes)
	require.Len(t, output.Plan.Objects[0].Notes, 1)
	assert.Regexp(t, `^kubestep applied what goes, on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: metadata.labels.team-a. If other manifests still hold it, give each set of manifests a fieldManager of its own$`, output.Plan.Objects[0].Notes[0])

	for _, team := range []string{"team-b", "team-c"} {
		output = applied(t, a.run(t, map[string]any{"manifests": shared(team), "fieldManager": team}))
		assert.Equal(t, []string{"+metadata.labels." + team}, output.Plan.Objects[0].Changes)
		assert.Empty(t, output.Plan.Objects[0].Notes)
	}
	for _, team := range []string{"team-b", "team-c"} {
		assert.False(t, applied(t, a.run(t, map[string]any{"manifests": shared(team), "fieldManager": team, "mode": "plan"})).Drift)
	}
	assert.False(t, applied(t, a.run(t, map[string]any{"manifests": shared("team-a"), "mode": "plan"})).Drift)

	// The API server keeps no time of an apply that changes no value.
	applied(t, a.run(t, map[string]any{"manifests": shared("team-c"), "fieldManager": "team-d"}))
	applied(t, a.run(t, map[string]any{"manifests": shared("team-a"), "fieldManager": "team-c"}))
	output = applied(t, a.run(t, map[string]any{"manifests": shared("team-a"), "fieldManager": "team-d", "mode": "plan"}))
	assert.Equal(t, []string{"-metadata.labels.team-c"}, output.Plan.Objects[0].Changes)
	assert.Equal(t, []string{"team-d applied what goes: metadata.labels.team-c. If other manifests still hold it, give each set of manifests a fieldManager of its own"}, output.Plan.Objects[0].Notes)
}

func TestTheRulesOfAnAggregatedRoleAreTheControlPlanes(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.set(t, map[string]string{"ApplyAllowedKinds": "ClusterRole"})
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: gathered-" + a.stack.Name + "}\naggregationRule: {clusterRoleSelectors: [{matchLabels: {gather: 'yes'}}]}\nrules: []\n"
	filled := strings.ReplaceAll(role, "rules: []", "rules: [{apiGroups: [''], resources: [services], verbs: [get]}]")
	a.kubectl(t, role, "apply", "--server-side", "--field-manager", "kubestep", "-f", "-") // an earlier version owned the rules
	a.kubectl(t, filled, "apply", "--server-side", "--force-conflicts", "--field-manager", "clusterrole-aggregation-controller", "-f", "-")
	for _, force := range []bool{false, true} {
		output := applied(t, a.run(t, map[string]any{"manifests": role, "mode": "plan", "force": force}))
		assert.False(t, output.Drift)
		assert.Empty(t, output.Plan.Objects[0].Conflicts)
		was := a.live(t, role)
		applied(t, a.run(t, map[string]any{"manifests": role, "force": force}))
		sameChanges(t, was[0], a.live(t, role)[0], nil)
	}
}
