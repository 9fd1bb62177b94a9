package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
)

func TestApplyTable(t *testing.T) {
	objects := []applymanifests.PlannedObject{
		{APIVersion: "v1", Kind: "Namespace", Name: "fresh", Action: applymanifests.ActionCreated},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "fresh", Name: "settings", Action: applymanifests.ActionCreated, Unchecked: "its namespace is among the manifests"},
		{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", Action: applymanifests.ActionConfigured,
			Changes: []string{"~spec.replicas", "+metadata.labels.tier", "-spec.paused", "~metadata.annotations", "and 3 more"},
			Values:  []applymanifests.ChangedValue{{Before: "3", After: "1"}, {After: `"web"`}, {Before: "true"}, {}}, Conflicts: []string{`spec.replicas is owned by "kubectl-edit" using apps/v1`},
		},
		{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "web", Action: applymanifests.ActionUnchanged},
	}
	for name, output := range map[string]applymanifests.Output{
		"planned": {Cluster: demo, Mode: applymanifests.ModePlan, Drift: true, Plan: applymanifests.PlanReport{Created: 2, Configured: 1, Unchanged: 1, Objects: objects, Diff: &applymanifests.Diff{Bucket: "reports", Keys: []string{"nightly/diff-00000.txt"}}}},
		"applied": {Cluster: demo, Mode: applymanifests.ModeApply, Drift: true, Applied: 3, Ready: true, Plan: applymanifests.PlanReport{Created: 2, Configured: 1, Unchanged: 700, Objects: objects, Truncated: true}},
		"said":    {Cluster: demo, Mode: applymanifests.ModePlan, Drift: true, Warnings: []string{"Secret shop/old: spec.x is deprecated"}, Plan: applymanifests.PlanReport{Unchanged: 3, Adopted: 2, Deleting: 1, Objects: said()}},
		"jobs": {Cluster: demo, Mode: applymanifests.ModeApply, Drift: true, Applied: 2, Ready: true, Plan: applymanifests.PlanReport{Created: 2, Unchanged: 1, Objects: append(gatedJobs(), objects[3])}, Jobs: []applymanifests.CompletedJob{
			{Gate: "before", Namespace: "shop", Name: "migrate", Ran: true, StartedAt: "2026-11-23T15:00:00Z", EndedAt: "2026-11-23T15:01:01Z"},
			{Gate: "after", Namespace: "shop", Name: "smoke-test", EndedAt: "2026-11-20T15:01:01Z", Note: "it had completed before, so it did not run again"},
		}},
		"no drift":   {Cluster: demo, Mode: applymanifests.ModePlan, Plan: applymanifests.PlanReport{Unchanged: 1, Objects: objects[3:]}},
		"set":        {Cluster: demo, Mode: applymanifests.ModePlan, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Plan: applymanifests.PlanReport{Unchanged: 1, Pruned: 1, Spared: 1, Members: 3, Objects: append(leavers(), objects[3])}},
		"left":       {Cluster: demo, Mode: applymanifests.ModePlan, Set: "addons", Namespace: "shop", Drift: true, Plan: applymanifests.PlanReport{Unchanged: 1, Pruned: 1, Spared: 1, Members: 3, Objects: append(leavers(), objects[3])}},
		"refused":    {Cluster: demo, Mode: applymanifests.ModePlan, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Plan: applymanifests.PlanReport{Created: 1, Pruned: 900, Members: 900, Refused: "900 objects are not in the manifests, and that is too many", Objects: []applymanifests.PlannedObject{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "addons", Action: applymanifests.ActionCreated}, owned()}, Truncated: true}},
		"pruned":     {Cluster: demo, Mode: applymanifests.ModeApply, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Ready: true, Pruned: 1, Plan: applymanifests.PlanReport{Unchanged: 1, Pruned: 1, Spared: 1, Members: 3, Objects: append(leavers(), objects[3])}},
		"not pruned": {Cluster: demo, Mode: applymanifests.ModeApply, Set: "addons", Namespace: "shop", Drift: true, Plan: applymanifests.PlanReport{Unchanged: 1, Pruned: 1, Spared: 1, Members: 3, Objects: append(leavers(), objects[3])}},
		"still there": {
			Cluster: demo, Mode: applymanifests.ModeApply, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Plan: applymanifests.PlanReport{Unchanged: 1, Pruned: 2, Members: 3, Objects: []applymanifests.PlannedObject{leavers()[0], {Kind: "Job", Namespace: "shop", Name: "busy", Action: applymanifests.ActionPruned}, objects[3]}},
			Deleting: []applymanifests.NotReadyObject{{Kind: "ConfigMap", Namespace: "shop", Name: "old", Message: "it is being deleted, and waits for its finalizers [example.com/hold]"}},
			Kept:     []applymanifests.NotReadyObject{{Kind: "Job", Namespace: "shop", Name: "busy", Message: "it changed while it was to be deleted, several times"}},
		},
		"more still there": {Cluster: demo, Mode: applymanifests.ModeApply, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Plan: applymanifests.PlanReport{Pruned: 1, Members: 1, Objects: leavers()[:1]}},
		"set to delete":    {Cluster: demo, Mode: applymanifests.ModePlanDelete, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Plan: applymanifests.PlanReport{Pruned: 1, Spared: 1, Members: 2, Objects: leavers()}},
		"set deleted":      {Cluster: demo, Mode: applymanifests.ModeDelete, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Pruned: 1, Plan: applymanifests.PlanReport{Pruned: 1, Members: 1, Objects: leavers()[:1]}},
		"set not deleted":  {Cluster: demo, Mode: applymanifests.ModeDelete, Set: "addons", Namespace: "shop", Prune: true, Drift: true, Pruned: 1, Plan: applymanifests.PlanReport{Pruned: 1, Spared: 1, Members: 2, Objects: leavers()}},
		"no set":           {Cluster: demo, Mode: applymanifests.ModeDelete, Set: "addons", Namespace: "shop", Prune: true},
		"sets": {Cluster: demo, Mode: applymanifests.ModeSets, Namespace: "*", Sets: []applymanifests.Set{
			{Namespace: "kube-system", Name: "theirs", Tooling: "kubectl/v1.37"}, {Namespace: "shop", Name: "addons", Members: 3, Applied: "2026-11-23T14:59:00Z", Tooling: "kubestep/v1"},
		}},
		"no sets":      {Cluster: demo, Mode: applymanifests.ModeSets, Namespace: "shop"},
		"hostile sets": {Cluster: demo, Mode: applymanifests.ModeSets, Namespace: "\x1b", Plan: applymanifests.PlanReport{Truncated: true}, Sets: []applymanifests.Set{{Namespace: "\x1b", Name: "a\tb", Tooling: "x\ny", Applied: "\u202e"}}},
		"hostile": {Cluster: demo, Mode: applymanifests.ModePlan, Plan: applymanifests.PlanReport{Objects: []applymanifests.PlannedObject{
			{Kind: "\x1b", Namespace: "a\tb", Name: "x\ny", Action: "\r", Changes: []string{"~\u202e"}, Values: []applymanifests.ChangedValue{{Before: "\x1b", After: "a\nb"}}, Conflicts: []string{"\x07"}, Unchecked: "\u009b", Takes: []string{"\x1b[2J"}, Warnings: []string{"a\r\nb"}, Notes: []string{"\u202e"}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := json.Marshal(output)
			require.NoError(t, err)
			got, err := applyTable(follow.Execution{Output: string(document), Stopped: time.Time{}.Add(2400 * time.Millisecond)}, paper{})
			require.NoError(t, err)
			golden(t, "plan-"+name, got)
			assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]", got)
		})
	}
}

// leavers are members of a set that are not in the manifests.
func leavers() []applymanifests.PlannedObject {
	return []applymanifests.PlannedObject{
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "old", Action: applymanifests.ActionPruned, Notes: []string{"it stays, because the input has no prune"}},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "precious", Action: applymanifests.ActionSpared, Notes: []string{"its annotation helm.sh/resource-policy: keep keeps it"}},
	}
}

// gatedJobs are a Job of before, and one of after.
func gatedJobs() []applymanifests.PlannedObject {
	return []applymanifests.PlannedObject{
		{APIVersion: "batch/v1", Kind: "Job", Namespace: "shop", Name: "migrate", Action: applymanifests.ActionCreated, Gate: applymanifests.GateBefore},
		{APIVersion: "batch/v1", Kind: "Job", Namespace: "shop", Name: "smoke-test", Action: applymanifests.ActionUnchanged, Gate: applymanifests.GateAfter},
	}
}

// owned is an object that belongs to somebody else.
func owned() applymanifests.PlannedObject {
	return applymanifests.PlannedObject{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "cache", Action: applymanifests.ActionConfigured, Owners: []string{"helm/shop/cache"},
		Notes: []string{"it cannot be taken into the set: it belongs to Helm release shop/cache (adopt: helm/shop/cache)"},
	}
}

func TestDeletionsAreRed(t *testing.T) {
	output := applymanifests.Output{Cluster: demo, Mode: applymanifests.ModeApply, Set: "addons", Namespace: "shop", Prune: true, Pruned: 1, Plan: applymanifests.PlanReport{Pruned: 1, Spared: 1, Objects: leavers()}}
	assert.Contains(t, planTable(output, follow.Execution{}, paper{Style: true}), "\x1b[31mConfigMap   shop        old        pruned\x1b[0m\nConfigMap   shop        precious   spared\n")
	output.Prune, output.Pruned = false, 0
	assert.NotContains(t, planTable(output, follow.Execution{}, paper{Style: true}), "\x1b[31m", "what stays is no deletion")
}

// said is what a plan says beside the fields that change.
func said() []applymanifests.PlannedObject {
	many := make([]string, 25)
	for i := range many {
		many[i] = fmt.Sprintf("metadata.labels.l%02d from \"other\"", i)
	}
	return []applymanifests.PlannedObject{
		{APIVersion: "policy/v1beta1", Kind: "PodDisruptionBudget", Namespace: "shop", Name: "web", Action: applymanifests.ActionUnchanged, Warnings: []string{"policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+"}},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "going", Action: applymanifests.ActionDeleting, Notes: []string{"it is being deleted, and waits for the finalizer example.com/keep"}},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "shared", Action: applymanifests.ActionUnchanged, Takes: many},
	}
}

func TestValuesThatDoNotFitOnALineHaveLinesOfTheirOwn(t *testing.T) {
	var b bytes.Buffer
	image := "~spec.template.spec.containers[name=web].image"
	writeChanges(&b, applymanifests.PlannedObject{
		Changes: []string{image, "+" + image[1:], "~spec.replicas"},
		Values:  []applymanifests.ChangedValue{{Before: `"web:1.27.1"`, After: `"web:1.27.2"`}, {After: `"web:1.27.2-with-a-long-tag"`}, {Before: "3", After: "1"}},
	}, paper{width: 70})
	assert.Equal(t, "  "+image+":\n      \"web:1.27.1\"\n    → \"web:1.27.2\"\n  +"+image[1:]+":\n      \"web:1.27.2-with-a-long-tag\"\n  ~spec.replicas: 3 → 1\n", b.String())
}

func TestApplyStartsAnExecutionOfTheManifests(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one.yaml"), filepath.Join(t.TempDir(), "two.yaml")
	settings := func(name string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
	}
	inJSON := func(text string) string {
		encoded, err := json.Marshal(text)
		require.NoError(t, err)
		return string(encoded)
	}
	require.NoError(t, os.WriteFile(one, []byte(settings("a")), 0o600))
	require.NoError(t, os.WriteFile(two, []byte("\ufeff"+settings("b")), 0o600))
	comments := filepath.Join(t.TempDir(), "comments.yaml")
	require.NoError(t, os.WriteFile(comments, []byte("# nothing\n"), 0o600))
	directive, utf16 := filepath.Join(t.TempDir(), "directive.yaml"), filepath.Join(t.TempDir(), "utf16.yaml")
	require.NoError(t, os.WriteFile(directive, []byte("%YAML 1.1\n---\n"+settings("c")), 0o600))
	wide := []byte{0xff, 0xfe}
	for _, c := range []byte(settings("w")) {
		wide = append(wide, c, 0)
	}
	require.NoError(t, os.WriteFile(utf16, wide, 0o600))
	object := func(name string) string {
		return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"}}`
	}
	jobs := ""
	for _, name := range []string{"migrate", "seed", "smoke-test"} {
		jobs += "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + "}\n"
	}
	migrations := filepath.Join(t.TempDir(), "jobs.yaml")
	require.NoError(t, os.WriteFile(migrations, []byte(jobs), 0o600))
	first, both := inJSON(settings("a")), inJSON(settings("a")+"---\n"+settings("b"))
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"of a file":                                        {[]string{"demo", "-f", one}, `{"clusterName":"demo","manifests":` + first + `,"mode":"apply"}`},
		"of several files":                                 {[]string{"-f", one, "-f", two}, `{"manifests":` + both + `,"mode":"apply"}`},
		"of files with directives":                         {[]string{"-f", one, "-f", directive}, `{"manifests":` + inJSON(object("a")+"\n---\n"+object("c")+"\n") + `,"mode":"apply"}`},
		"of a file in another encoding":                    {[]string{"-f", one, "-f", utf16}, `{"manifests":` + inJSON(object("a")+"\n---\n"+object("w")+"\n") + `,"mode":"apply"}`},
		"of files of which one has nothing":                {[]string{"-f", one, "-f", comments}, `{"manifests":` + inJSON(object("a")+"\n") + `,"mode":"apply"}`},
		"of an object in S3":                               {[]string{"--source", "s3://abc/shop/all.yaml"}, `{"source":{"bucket":"abc","key":"shop/all.yaml"},"mode":"apply"}`},
		"of a set":                                         {[]string{"-f", one, "--set", "addons"}, `{"manifests":` + first + `,"mode":"apply","set":"addons"}`},
		"of a set that shrinks":                            {[]string{"-f", one, "--set", "addons", "--prune"}, `{"manifests":` + first + `,"mode":"apply","set":"addons","prune":true}`},
		"of a set that does not":                           {[]string{"-f", one, "--set", "addons", "--prune=false", "--input", `{"prune":true}`}, `{"manifests":` + first + `,"mode":"apply","set":"addons","prune":false}`},
		"of a set, within rails":                           {[]string{"-f", one, "--set", "addons", "--prune", "--prune-max", "20", "--prune-kinds", "Namespace,PersistentVolume", "--adopt", "helm/shop/cache", "--adopt", "set/shop/old"}, `{"manifests":` + first + `,"mode":"apply","set":"addons","prune":{"max":20,"kinds":["Namespace","PersistentVolume"]},"adopt":["helm/shop/cache","set/shop/old"]}`},
		"that only plans":                                  {[]string{"-f", one, "--plan"}, `{"manifests":` + first + `,"mode":"plan"}`},
		"with kubectl's name of force":                     {[]string{"-f", one, "--force-conflicts"}, `{"manifests":` + first + `,"mode":"apply","force":true}`},
		"with every flag":                                  {[]string{"-f", one, "-n", "shop", "--force", "--wait", "90s", "--diff", "s3://abc/p"}, `{"manifests":` + first + `,"mode":"apply","namespace":"shop","force":true,"wait":{"timeoutSeconds":90},"output":{"bucket":"abc","prefix":"p"}}`},
		"with Jobs before and after":                       {[]string{"-f", migrations, "--before", "migrate,seed", "--after", "shop/smoke-test", "-n", "shop", "--job-timeout", "90s", "--job-logs", "tail"}, `{"manifests":` + inJSON(jobs) + `,"mode":"apply","namespace":"shop","before":["migrate","seed"],"after":["shop/smoke-test"],"jobs":{"timeoutSeconds":90,"logs":"tail"}}`},
		"that only plans, as its input says":               {[]string{"-f", one, "--input", `{"mode":"plan"}`}, `{"manifests":` + first + `,"mode":"plan"}`},
		"in S3 that is only planned, as its input says":    {[]string{"--source", "s3://abc/all.yaml", "--input", `{"mode":"plan"}`}, `{"source":{"bucket":"abc","key":"all.yaml"},"mode":"plan"}`},
		"that does not only plan, whatever its input says": {[]string{"-f", one, "--input", `{"mode":"plan"}`, "--plan=false"}, `{"manifests":` + first + `,"mode":"apply"}`},
		"as its input has them":                            {[]string{"--input", `{"manifests":` + first + `}`}, `{"manifests":` + first + `}`},
		"as its input has them in an array":                {[]string{"--input", `{"manifests":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}`}, `{"manifests":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `{}`})
			status, _, stderr := kubestep(t.Context(), append([]string{"apply", "--state-machine-arn", podMachine}, c.args...)...)
			require.Equal(t, succeeded, status, stderr)
			started := s.called("StartExecution")
			require.Len(t, started, 1)
			assert.JSONEq(t, c.want, started[0].body["input"].(string))
		})
	}
}

func TestDeleteAndSetsStartExecutions(t *testing.T) {
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"to delete a set":                         {[]string{"delete", "demo", "--set", "addons"}, `{"clusterName":"demo","mode":"delete","set":"addons"}`},
		"to see what that would do":               {[]string{"delete", "--set", "addons", "-n", "shop", "--plan", "--prune-max", "3"}, `{"mode":"plan-delete","set":"addons","namespace":"shop","prune":{"max":3}}`},
		"to delete it with a namespace, and wait": {[]string{"delete", "--set", "addons", "--prune-kinds", "Namespace", "--wait", "1m"}, `{"mode":"delete","set":"addons","prune":{"kinds":["Namespace"]},"wait":{"timeoutSeconds":60}}`},
		"to delete the set of an input":           {[]string{"delete", "--input", `{"set":"addons"}`}, `{"mode":"delete","set":"addons"}`},
		"to list all sets":                        {[]string{"sets", "demo"}, `{"clusterName":"demo","mode":"sets"}`},
		"to list the sets of a namespace":         {[]string{"sets", "-n", "shop", "--region", "eu-west-1"}, `{"mode":"sets","namespace":"shop","region":"eu-west-1"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `{"mode":"sets"}`})
			status, _, stderr := kubestep(t.Context(), append(c.args, "--state-machine-arn", podMachine)...)
			require.Equal(t, succeeded, status, stderr)
			started := s.called("StartExecution")
			require.Len(t, started, 1)
			assert.JSONEq(t, c.want, started[0].body["input"].(string))
		})
	}
}

func TestDeleteSaysWhatIsWrongBeforeItStarts(t *testing.T) {
	for want, args := range map[string][]string{
		"the set is missing: name it with --set or --input": {"demo"},
		"--plan and --wait cannot be used together":         {"--set", "a", "--plan", "--wait", "5s"},
		"--detailed-exitcode is for --plan":                 {"--set", "a", "--detailed-exitcode"},
		`set: "A" is not a valid name of a ConfigMap`:       {"--set", "A"},
		`prune.kinds: "Secret": expected`:                   {"--set", "a", "--prune-kinds", "Secret"},
		"prune.max: 0: expected 1 to":                       {"--set", "a", "--prune-max", "0"},
	} {
		t.Run(want, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, _, stderr := kubestep(t.Context(), append([]string{"delete", "--state-machine-arn", podMachine}, args...)...)
			assert.Equal(t, misused, status)
			assert.Contains(t, stderr, want)
			assert.Empty(t, s.calls)
		})
	}
}

func TestApplySaysWhatIsWrongBeforeItStarts(t *testing.T) {
	for want, args := range map[string][]string{
		"there are no manifests":                           {"demo"},
		"--filename nowhere.yaml cannot be read":           {"-f", "nowhere.yaml"},
		"--filename and --source cannot be used together":  {"-f", "-", "--source", "s3://b/k"},
		`--source "b" is not of the form s3://BUCKET/KEY`:  {"--source", "b"},
		"--prune-max and --prune-kinds are for --prune":    {"-f", "-", "--set", "a", "--prune-max", "3"},
		"--wait 2h0m0s is not between 1s and 1h":           {"-f", "-", "--wait", "2h"},
		"--job-timeout 2h0m0s is not between 1s and 1h":    {"-f", "-", "--before", "a", "--job-timeout", "2h"},
		"before[0]: web is not in the manifests":           {"--input", `{"manifests":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}`, "--before", "web"},
		"--plan and --wait cannot be used together":        {"-f", "-", "--plan", "--wait", "5s"},
		`--diff "x" is not of the form s3://BUCKET/PREFIX`: {"-f", "-", "--diff", "x"},
	} {
		t.Run(want, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, _, stderr := kubestep(t.Context(), append([]string{"apply", "--state-machine-arn", podMachine}, args...)...)
			assert.Equal(t, misused, status)
			assert.Contains(t, stderr, want)
			assert.Empty(t, s.calls)
		})
	}
}

// What is in an execution input is in its history, even if load-manifests refuses it.
func TestManifestsThatCannotBeAppliedReachNoHistory(t *testing.T) {
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	const value = "correct-horse"
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: " + value + "}\n"
	settings := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	good, bad := write("good.yaml", settings), write("bad.yaml", settings+"---\n"+secret)
	encoded, err := json.Marshal(secret)
	require.NoError(t, err)
	list, err := json.Marshal([]json.RawMessage{json.RawMessage(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db"},"data":{"password":"` + value + `"}}`)})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"a Secret":                          {[]string{"apply", "-f", bad}, []string{"--filename " + bad + ": The manifests have 1 problem: " + bad + ":5 (Secret db)", "(--source)"}},
		"a Secret in one of several files":  {[]string{"apply", "-f", good, "-f", bad}, []string{"--filename " + bad + ": "}},
		"a Secret in an input":              {[]string{"apply", "--input", `{"manifests":` + string(encoded) + `}`}, []string{"document 1 (Secret db)"}},
		"a Secret in an array":              {[]string{"apply", "--input", `{"manifests":` + string(list) + `}`}, []string{"document 1 (Secret db)"}},
		"a Secret under a misspelt key":     {[]string{"apply", "--input", `{"Manifests":` + string(encoded) + `}`}, []string{`"Manifests": unknown key: expected "manifests"?`}},
		"a Secret in a fleet's request":     {[]string{"fleet", "a", "--workflow", "apply-manifests", "--request", `{"manifests":` + string(encoded) + `}`}, []string{"document 1 (Secret db)"}},
		"a Secret in a fleet's input":       {[]string{"fleet", "--input", `{"workflow":"apply-manifests","clusters":["a"],"request":{"manifests":` + string(encoded) + `}}`}, []string{"document 1 (Secret db)"}},
		"broken YAML":                       {[]string{"apply", "-f", write("broken.yaml", settings+"data: {password: "+value+"\n")}, []string{"broken.yaml: The manifests have 1 problem: ", "broken.yaml:4: it is not valid YAML: "}},
		"what is no object":                 {[]string{"apply", "-f", write("no.yaml", "- "+value+"\n")}, []string{"no.yaml: The manifests have 1 problem: ", "no.yaml:1: it is not a Kubernetes object"}},
		"no object at all":                  {[]string{"apply", "-f", write("none.yaml", "# "+value+"\n")}, []string{"none.yaml: The manifests hold no object"}},
		"no object in several files":        {[]string{"apply", "-f", write("none.yaml", "\n"), "-f", write("none.yaml", "\n")}, []string{"--filename: The manifests hold no object"}},
		"a text that is not in Unicode":     {[]string{"apply", "-f", write("latin.yaml", settings+"data: {a: \xe9t\xe9}\n")}, []string{"latin.yaml: "}},
		"an object that two files have":     {[]string{"apply", "-f", good, "-f", write("again.yaml", strings.Replace(settings, "name: a", "name: a, namespace: default", 1))}, []string{"again.yaml: ConfigMap default/a is in " + good + " already"}},
		"more than an input has room for":   {[]string{"apply", "-f", write("large.yaml", settings+"data: {a: "+strings.Repeat("x", 300<<10)+"}\n")}, []string{"manifests: 307", "--source"}},
		"more than can be applied":          {[]string{"apply", "-f", write("huge.yaml", strings.Repeat("#", 11<<20))}, []string{"the files have 11534336 bytes"}},
		"an input that has too much":        {[]string{"apply", "--input", `{"manifests":"` + strings.Repeat("#", 200<<10) + `"}`}, []string{"manifests: 204802 bytes: expected at most 131072", "--source"}},
		"everything that is wrong, at once": {[]string{"apply", "-f", bad, "--diff", "x", "--wait", "9h"}, []string{"(Secret db)", "--diff", "--wait"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, stdout, stderr := kubestep(t.Context(), append(c.args, "--state-machine-arn", podMachine)...)
			assert.Equal(t, misused, status)
			assert.Empty(t, stdout)
			for _, want := range append(c.want, "Nothing was started.") {
				assert.Contains(t, stderr, want)
			}
			assert.NotContains(t, stderr, value)
			assert.Empty(t, s.calls)
		})
	}
}

func TestFilesThatCannotBeJoinedAsTheyAreAreSentAsTheirObjects(t *testing.T) {
	objectsOf := func(text string) []objects.Object {
		read, err := manifests.Read([]byte(text), rules("default"))
		require.NoError(t, err)
		return read
	}
	a, b := objectsOf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`), objectsOf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`)
	for name, text := range map[string]string{
		"a directive":      "%YAML 1.1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
		"another encoding": "\xff\xfea\x00",
	} {
		t.Run(name, func(t *testing.T) {
			joined, err := join([]file{{text: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", objects: a}, {text: text, objects: b}}, "default")
			require.NoError(t, err)
			assert.Equal(t, string(a[0].JSON)+"\n---\n"+string(b[0].JSON)+"\n", joined)
		})
	}
}

func TestAPlanHasAnExitStatusForDriftIfItIsAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	require.NoError(t, os.WriteFile(file, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), 0o600))
	for name, c := range map[string]struct {
		output string
		args   []string
		want   int
	}{
		"there is drift":                     {`{"mode":"plan","drift":true}`, []string{"apply", "-f", file, "--plan", "--detailed-exitcode"}, drifted},
		"there is none":                      {`{"mode":"plan","drift":false}`, []string{"apply", "-f", file, "--plan", "--detailed-exitcode"}, succeeded},
		"there is drift, and nobody asks":    {`{"mode":"plan","drift":true}`, []string{"apply", "-f", file, "--plan"}, succeeded},
		"there is drift, for a program":      {`{"mode":"plan","drift":true}`, []string{"apply", "-f", file, "--plan", "--detailed-exitcode", "-o", "json"}, drifted},
		"the flag --plan has been forgotten": {`{}`, []string{"apply", "-f", file, "--detailed-exitcode"}, misused},
		"there is a set to delete":           {`{"mode":"plan-delete","drift":true}`, []string{"delete", "--set", "a", "--plan", "--detailed-exitcode"}, drifted},
		"there is no set to delete":          {`{"mode":"plan-delete","drift":false}`, []string{"delete", "--set", "a", "--plan", "--detailed-exitcode"}, succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": c.output})
			status, _, stderr := kubestep(t.Context(), append(c.args, "--state-machine-arn", podMachine)...)
			assert.Equal(t, c.want, status, stderr)
			assert.Equal(t, c.want != misused, len(s.called("StartExecution")) == 1)
		})
	}
}
