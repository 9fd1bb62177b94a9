package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestAStateMachineIsFoundByTheNameOfItsStack(t *testing.T) {
	const inventories = "arn:aws:states:eu-central-1:123456789012:stateMachine:%-pod-inventory:live"
	for sentence, c := range map[string]struct {
		environment map[string]string
		args        []string
		want        string
	}{
		"which is kubestep":                              {nil, nil, strings.ReplaceAll(inventories, "%", "kubestep")},
		"or that of the environment":                     {map[string]string{stackVariable: "test"}, nil, strings.ReplaceAll(inventories, "%", "test")},
		"or that of the flag":                            {map[string]string{stackVariable: "test"}, []string{"--stack", "other"}, strings.ReplaceAll(inventories, "%", "other")},
		"unless the environment has the ARN":             {map[string]string{stackVariable: "test", "POD_INVENTORY_ARN": podMachine}, nil, podMachine},
		"but the flag is nearer than the environment":    {map[string]string{"POD_INVENTORY_ARN": podMachine}, []string{"--stack", "other"}, strings.ReplaceAll(inventories, "%", "other")},
		"and the ARN of a flag is nearer than the stack": {map[string]string{stackVariable: "test", "POD_INVENTORY_ARN": podMachine}, []string{"--state-machine-arn", podMachine + ":live"}, podMachine + ":live"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, pods(t))
			t.Setenv("AWS_REGION", "eu-central-1")
			for name, value := range c.environment {
				t.Setenv(name, value)
			}
			status, _, stderr := kubestep(t.Context(), append([]string{"inventory", "demo"}, c.args...)...)
			require.Equal(t, succeeded, status, stderr)
			started := s.called("StartExecution")
			require.Len(t, started, 1)
			assert.Equal(t, c.want, started[0].body["stateMachineArn"])
			assert.Contains(t, started[0].authorization, "/"+contract.ARN(c.want).Region()+"/states/")
			assert.Len(t, s.called("GetCallerIdentity"), map[bool]int{true: 1}[strings.Contains(c.want, "eu-central-1")], "an ARN needs no question")
		})
	}
	t.Run("and not twice", func(t *testing.T) {
		newStepFunctions(t, nil)
		status, _, stderr := kubestep(t.Context(), "inventory", "--stack", "a", "--state-machine-arn", podMachine)
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, "--stack and --state-machine-arn cannot be used together")
	})
	t.Run("and nothing has started if the account is not known", func(t *testing.T) {
		s := newStepFunctions(t, nil)
		t.Setenv("AWS_REGION", "eu-central-1")
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		s.answers = func(call) (int, map[string]any) { return http.StatusForbidden, map[string]any{} }
		status, _, stderr := kubestep(t.Context(), "inventory", "demo")
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, "Nothing was started.")
		assert.Empty(t, s.called("StartExecution"))
	})
	t.Run("a machine that is off by default is said to be", func(t *testing.T) {
		s := newStepFunctions(t, nil)
		t.Setenv("AWS_REGION", "eu-central-1")
		s.answers = func(c call) (int, map[string]any) {
			if c.action == "StartExecution" {
				return http.StatusBadRequest, map[string]any{"__type": "StateMachineDoesNotExist"}
			}
			return 0, nil
		}
		status, _, stderr := kubestep(t.Context(), "apply", "demo", "--source", "s3://abc/k")
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, "there is no state machine arn:aws:states:eu-central-1:123456789012:stateMachine:kubestep-apply-manifests:live. ")
		assert.Contains(t, stderr, "and whether the stack has EnableApply=true\n")
	})
}

// stackOfExecutions serves executions of a stack with pod-inventory, apply-manifests and fleet.
func stackOfExecutions(t *testing.T) *stepFunctions {
	t.Helper()
	s := newStepFunctions(t, nil)
	t.Setenv("AWS_REGION", "eu-west-1")
	now := float64(time.Now().Unix())
	describe := func(machine, name, status, input string, more map[string]any) map[string]any {
		d := map[string]any{
			"executionArn": string(contract.MachineARN("arn:aws:states:eu-west-1:123456789012:stateMachine:kubestep-" + machine).Execution(name)),
			"name":         name, "status": status, "input": input, "startDate": now - 300, "stateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:kubestep-" + machine,
		}
		for key, value := range more {
			d[key] = value
		}
		return d
	}
	all := []map[string]any{
		describe("pod-inventory", "morning", "SUCCEEDED", `{}`, map[string]any{"output": `{"cluster":{"name":"demo","region":"eu-west-1"}}`, "startDate": now - 100_000, "stopDate": now - 99_998}),
		describe("pod-inventory", "both", "SUCCEEDED", `{}`, map[string]any{"stopDate": now - 2}),
		describe("apply-manifests", "both", "RUNNING", `{"clusterName":"prod\u001b[2J","set":"addons"}`, nil),
		describe("apply-manifests", "noon", "FAILED", `{"clusterName":"prod","set":"base"}`, map[string]any{"error": "FieldConflict", "stopDate": now - 290}),
		describe("fleet", "nightly", "RUNNING", `{"clusters":["a","b"]}`, map[string]any{"startDate": now - 30}),
	}
	s.answers = func(c call) (int, map[string]any) {
		switch c.action {
		case "ListExecutions":
			machine, _ := c.body["stateMachineArn"].(string)
			if !strings.Contains(machine, ":kubestep-") || strings.HasSuffix(machine, "run-job") {
				return http.StatusBadRequest, map[string]any{"__type": "StateMachineDoesNotExist"}
			}
			those := []map[string]any{}
			for _, d := range all {
				if d["stateMachineArn"] == machine && (c.body["statusFilter"] == nil || c.body["statusFilter"] == d["status"]) {
					those = append(those, d)
				}
			}
			return http.StatusOK, map[string]any{"executions": those}
		case "DescribeExecution":
			for _, d := range all {
				if d["executionArn"] == c.body["executionArn"] {
					return http.StatusOK, d
				}
			}
			return http.StatusBadRequest, map[string]any{"__type": "ExecutionDoesNotExist"}
		}
		return 0, nil
	}
	return s
}

func TestListPrintsTheNewestExecutionsOfAllMachines(t *testing.T) {
	stackOfExecutions(t)
	status, stdout, stderr := kubestep(t.Context(), "list", "-o", "json")
	require.Equal(t, succeeded, status, stderr)
	assert.Empty(t, stderr)
	var all []listedExecution
	require.NoError(t, json.Unmarshal([]byte(stdout), &all))
	require.Equal(t, []string{"nightly", "both", "noon", "both", "morning"}, executionNames(all))
	all[1].Started = all[0].Started.Add(-5 * time.Minute)
	assert.Equal(t, `AGE     STATUS    WORKFLOW          CLUSTER       NAME
35s     running   fleet             2 clusters    nightly
5m35s   running   apply-manifests   prod\x1b[2J   both
`, executionTable(all[:2], paper{}, all[0].Started.Add(35*time.Second)))
}

func TestListFiltersAndFormats(t *testing.T) {
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"those that run":             {[]string{"--status", "running", "-o", "name"}, "nightly\nboth\n"},
		"those of a cluster":         {[]string{"--cluster", "demo", "-o", "name"}, "morning\n"},
		"those of a workflow":        {[]string{"--workflow", "apply-manifests", "-o", "name"}, "both\nnoon\n"},
		"the newest":                 {[]string{"--limit", "1", "-o", "name"}, "nightly\n"},
		"a template":                 {[]string{"--status", "failed", "-o", `jsonpath={range [*]}{.cluster} {.error}{"\n"}{end}`}, "prod FieldConflict\n"},
		"a template without braces":  {[]string{"--status", "failed", "-o", "jsonpath=[0].name"}, "noon"},
		"none":                       {[]string{"--status", "aborted"}, "No executions\n"},
		"none as JSON is a list":     {[]string{"--status", "aborted", "-o", "json"}, "[]\n"},
		"the ARNs of those that run": {[]string{"--status", "running", "--workflow", "fleet", "-o", "jsonpath={[*].executionArn}"}, "arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet:nightly"},
	} {
		t.Run(sentence, func(t *testing.T) {
			stackOfExecutions(t)
			status, stdout, stderr := kubestep(t.Context(), append([]string{"list"}, c.args...)...)
			require.Equal(t, succeeded, status, stderr)
			assert.Equal(t, c.want, stdout)
		})
	}
	t.Run("wide has all columns", func(t *testing.T) {
		stackOfExecutions(t)
		_, stdout, _ := kubestep(t.Context(), "list", "--status", "failed", "-o", "wide")
		assert.Regexp(t, `^STARTED +TOOK +STATUS +WORKFLOW +CLUSTER +REGION +ERROR +EXECUTION\n\S+Z +10s +failed +apply-manifests +prod +<none> +FieldConflict +arn:aws:states:eu-west-1:123456789012:execution:kubestep-apply-manifests:noon\n$`, stdout)
	})
	t.Run("what is wrong is said at once", func(t *testing.T) {
		stackOfExecutions(t)
		status, _, stderr := kubestep(t.Context(), "list", "--status", "broken", "--limit", "0", "--workflow", "x", "-o", "xml")
		assert.Equal(t, misused, status)
		for _, want := range []string{`--status "broken" is not running`, "--limit 0 is not between 1 and 200", `--workflow "x" is not one of`, `--output "xml" is not`} {
			assert.Contains(t, stderr, want)
		}
	})
	t.Run("a stack that is not there is a failure", func(t *testing.T) {
		stackOfExecutions(t)
		status, _, stderr := kubestep(t.Context(), "list", "--stack", "other")
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, "there is no state machine of stack other in eu-west-1 of account 123456789012. Check --stack")
	})
}

func TestAListThatIsInterruptedPrintsNoPartOfIt(t *testing.T) {
	s := stackOfExecutions(t)
	ctx, interrupt := context.WithCancel(t.Context())
	s.onCall = func(action string) {
		if action == "DescribeExecution" {
			interrupt()
		}
	}
	status, stdout, stderr := kubestep(ctx, "list")
	assert.Equal(t, interrupted, status)
	assert.Empty(t, stdout)
	assert.Equal(t, "kubestep list: interrupted\n", stderr)
}

func TestWhatIsMistypedIsSuggested(t *testing.T) {
	for sentence, args := range map[string][]string{
		"unknown flag: --file. Did you mean --filename?":                                             {"apply", "demo", "--file", "a"},
		"unknown flag: --namespaces. Did you mean --namespace?":                                      {"inventory", "demo", "--namespaces", "a"},
		"unknown flag: --job. Did you mean --job-logs or --job-timeout?":                             {"apply", "demo", "--job", "a"},
		"unknown flag: --dry-run. To see what would change: --plan\n":                                {"apply", "demo", "--dry-run=server"},
		"unknown flag: --dry-run\n":                                                                  {"list", "--dry-run"},
		"there is no error rolloutfail: kubestep help errors lists all. Did you mean RolloutFailed?": {"help", "errors", "rolloutfail"},
		"there is no error forbiddn: kubestep help errors lists all. Did you mean Forbidden?":        {"help", "errors", "forbiddn"},
		"there is no error nonsense: kubestep help errors lists all\n":                               {"help", "errors", "nonsense"},
		"unknown flag: --nonsense\n":                                                                 {"list", "--nonsense"},
		`"demo": list takes no argument. For the executions of a cluster: --cluster demo`:            {"list", "demo"},
	} {
		newStepFunctions(t, nil)
		status, _, stderr := kubestep(t.Context(), args...)
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, sentence)
	}
}

func TestAnExecutionOfOthersMayHaveAnyNameThatStepFunctionsTakes(t *testing.T) {
	stackOfExecutions(t)
	for name, want := range map[string]string{"a.b+c=(d)@e": "has an execution named", "a b": "is not a name", "a/b": "is not a name", "a*": "is not a name", strings.Repeat("x", 81): "is not a name"} {
		status, _, stderr := kubestep(t.Context(), "open", name)
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, want, name)
	}
}

func TestStopStopsWhatRunsAndSaysWhatIsLeft(t *testing.T) {
	s := stackOfExecutions(t)
	status, stdout, stderr := kubestep(t.Context(), "stop", "nightly", "--reason", "too early")
	require.Equal(t, succeeded, status, stderr)
	const arn = "arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet:nightly"
	assert.Equal(t, "stopped "+arn+"\nThe executions of its clusters are stopped, too. To run the clusters that are left, within 14 days: aws stepfunctions redrive-execution --execution-arn "+arn+"\n", stdout)
	stopped := s.called("StopExecution")
	require.Len(t, stopped, 1)
	assert.Equal(t, map[string]any{"executionArn": arn, "error": "Stopped", "cause": "kubestep stop: too early"}, stopped[0].body)
}

func TestStopSaysStoppedOnlyOfWhatHasStopped(t *testing.T) {
	for status, want := range map[string]string{
		"RUNNING":   "which still runs. To see whether it stops: kubestep follow arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet:nightly",
		"SUCCEEDED": "was not stopped: it ended as SUCCEEDED before",
	} {
		t.Run(status, func(t *testing.T) {
			s := stackOfExecutions(t)
			s.stops = status
			exit, stdout, stderr := kubestep(t.Context(), "stop", "nightly")
			assert.Equal(t, failed, exit)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, want)
			assert.Len(t, s.called("StopExecution"), 1)
		})
	}
}

func TestAnExecutionOfAnotherMachineIsStoppedByForce(t *testing.T) {
	for sentence, args := range map[string][]string{
		"by force":             {"arn:aws:states:eu-west-1:123456789012:execution:payroll:morning", "--force"},
		"by its stack":         {"arn:aws:states:eu-west-1:123456789012:execution:kubestep-test-fleet:nightly", "--stack", "kubestep-test"},
		"of a Map of the same": {"arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet/RunClusters:nightly"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, map[string]any{"status": "RUNNING"})
			t.Setenv("AWS_REGION", "eu-west-1")
			status, _, stderr := kubestep(t.Context(), append([]string{"stop"}, args...)...)
			require.Equal(t, succeeded, status, stderr)
			require.Len(t, s.called("StopExecution"), 1)
			assert.Equal(t, args[0], s.called("StopExecution")[0].body["executionArn"])
		})
	}
}

func TestADigestThatIsNoneIsAWrongCommandLine(t *testing.T) {
	s := newStepFunctions(t, nil)
	for _, digest := range []string{"wrong", "q83vEjRWeJq83vEjRWeJq83v=", "q83vEjRWeJq83vEjRWeJq8 v"} {
		status, stdout, stderr := kubestep(t.Context(), "approve", "r1", "--digest", digest)
		assert.Equal(t, misused, status)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, fmt.Sprintf("--digest %q is not a digest: expected 24 letters, digits, - and _. To see the digest to approve: kubestep approve r1\n", digest))
	}
	assert.Empty(t, s.called("DescribeExecution"))
}

// Whatever a verb asks: nothing was started, changed or stopped.
func TestTheExitStatusIsTheSameOfEachVerbIfAWSDoesNotDoWhatItIsAsked(t *testing.T) {
	const running = "arn:aws:states:eu-west-1:123456789012:execution:kubestep-apply-manifests:noon"
	verbs := [][]string{
		{"list"}, {"approvals"}, {"follow", "noon"}, {"follow", running}, {"stop", "noon"}, {"stop", running}, {"stop", running, "--force"}, {"open", "noon"}, {"approve", "noon"}, {"approve", running},
		{"approve", running, "--digest", "q83vEjRWeJq83vEjRWeJq83v"}, {"inventory", "demo"}, {"sets", "demo"}, {"delete", "demo", "--set", "addons"}, {"fleet", "demo"}, {"job", "run", "demo", "--from", "cronjob/backup"},
		{"apply", "demo", "--source", "s3://bucket/key", "--plan"},
	}
	for _, args := range verbs {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			check := func(about, want string) {
				status, stdout, stderr := kubestep(t.Context(), args...)
				assert.Equal(t, misused, status, about+stderr)
				assert.Empty(t, stdout, about)
				assert.Contains(t, stderr, want, about)
			}
			s := newStepFunctions(t, nil)
			t.Setenv("AWS_REGION", "eu-west-1")
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			s.refuse = "AccessDeniedException"
			check("refused: ", "the AWS credentials do not allow")
			s.refuse = "ExpiredTokenException"
			check("expired: ", "the AWS credentials have expired")
			s.Close()
			check("not reached: ", "does not answer")
		})
	}
	status, _, stderr := kubestep(t.Context(), "open", running)
	assert.Equal(t, succeeded, status, stderr)
}

func TestWhatCannotBeStoppedIsSaid(t *testing.T) {
	for sentence, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"what has ended":           {[]string{"noon"}, failed, "does not run any more: it ended as FAILED"},
		"what does not exist":      {[]string{"evening"}, misused, "no state machine of stack kubestep in eu-west-1 of account 123456789012 has an execution named evening. To see what there is: kubestep list"},
		"a name that several have": {[]string{"both"}, misused, "several state machines have an execution named both. Give the ARN: arn:aws:states:"},
		"no execution":             {nil, misused, "there is no execution: give its name or its ARN"},
		"several":                  {[]string{"a", "b"}, misused, `"b": expected one execution`},
		"what is neither":          {[]string{"a b"}, misused, `EXECUTION "a b" is not a name`},
		"an ARN of something else": {[]string{podMachine}, misused, "is not of the form arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME"},
		"an ARN without a name":    {[]string{"arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet"}, misused, "is not of the form arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME"},
		"another team's execution": {[]string{"arn:aws:states:eu-west-1:123456789012:execution:payroll:morning"}, misused, "is of the state machine payroll, which is none of stack kubestep in eu-west-1 of account 123456789012. Name its stack with --stack, or use --force"},
		"one of another stack":     {[]string{"arn:aws:states:eu-west-1:123456789012:execution:kubestep-test-fleet:nightly"}, misused, "which is none of stack kubestep"},
		"one of another account":   {[]string{"arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly"}, misused, "which is none of stack kubestep"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := stackOfExecutions(t)
			status, stdout, stderr := kubestep(t.Context(), append([]string{"stop"}, c.args...)...)
			assert.Equal(t, c.status, status)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, c.want)
			assert.Empty(t, s.called("StopExecution"))
		})
	}
}

func TestOpenPrintsTheLinkOfTheConsole(t *testing.T) {
	s := stackOfExecutions(t)
	const link = "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:123456789012:execution:kubestep-pod-inventory:morning\n"
	_, stdout, stderr := kubestep(t.Context(), "open", "morning")
	assert.Equal(t, link, stdout, stderr)
	s.calls = nil
	_, stdout, _ = kubestep(t.Context(), "open", "arn:aws:states:eu-west-1:123456789012:execution:kubestep-pod-inventory:morning")
	assert.Equal(t, link, stdout)
	assert.Empty(t, s.calls, "an ARN needs no question")
	status, _, stderr := kubestep(t.Context(), "open", "arn:aws-iso:states:us-iso-east-1:123456789012:execution:m:n")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, "has no console that kubestep knows")
	for _, malformed := range []string{"arn:aws:states:eu-west-1:123456789012:execution:m", "arn:aws:states:eu-west-1:123456789012:execution:m:", "arn:aws:states:eu-west-1::execution:m:n", "arn:aws:states:eu-west-1:123456789012:execution:m:n:o", "arn:aws:states:eu-west-1:123456789012:stateMachine:m", "arn:aws:sts:eu-west-1:123456789012:execution:m:n", "arn:"} {
		status, stdout, stderr = kubestep(t.Context(), "open", malformed)
		assert.Equal(t, misused, status, malformed)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "is not of the form arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME")
	}
	status, _, _ = kubestep(t.Context(), "open", "arn:aws:states:evil.example/?:123456789012:execution:m:n")
	assert.Equal(t, misused, status, "a Region is part of a host's name")
}

func TestFollowTakesAName(t *testing.T) {
	s := stackOfExecutions(t)
	answers := s.answers
	s.answers = func(c call) (int, map[string]any) {
		status, answer := answers(c)
		if c.body["executionArn"] == "arn:aws:states:eu-west-1:123456789012:execution:kubestep-pod-inventory:morning" && c.action == "DescribeExecution" {
			answer["output"] = pods(t)["output"]
		}
		return status, answer
	}
	status, stdout, stderr := kubestep(t.Context(), "follow", "morning", "-o", "name")
	assert.Equal(t, succeeded, status, stderr)
	assert.Equal(t, "pod/web-7d4b9c6f5d-2xk8m\npod/worker-6c9d8f7b5-tn2vx\npod/report-58d9c7f6b4-zk5wr\npod/catalog-db-0\n", stdout)
}

func TestAShellCompletesWhatAWSHas(t *testing.T) {
	typed := func(args ...string) string {
		_, stdout, stderr := kubestep(t.Context(), append([]string{cobra.ShellCompRequestCmd}, args...)...)
		assert.NotContains(t, stderr, "rror")
		return stdout
	}
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"clusters":                  {[]string{"inventory", "d"}, "demo\ndev\n:4\n"},
		"one cluster is enough":     {[]string{"inventory", "demo", "d"}, ":4\n"},
		"the clusters of a fleet":   {[]string{"fleet", "demo", "p"}, "prod\n:4\n"},
		"the cluster of a list":     {[]string{"list", "--cluster", "p"}, "prod\n:4\n"},
		"sets":                      {[]string{"apply", "demo", "--set", ""}, "addons\nbase\n:4\n"},
		"the sets that begin so":    {[]string{"delete", "demo", "--set", "b"}, "base\n:4\n"},
		"executions":                {[]string{"stop", "n"}, "nightly\trunning fleet 30s\n:4\n"},
		"the errors":                {[]string{"errors", "Forb"}, "Forbidden\n:4\n"},
		"the errors, of help":       {[]string{"help", "errors", "Forb"}, "Forbidden\n:4\n"},
		"the pages of help":         {[]string{"help", "e"}, "errors\tThe errors that an execution ends with\nexit-codes\tThe exit statuses\nenvironment\tThe variables that are read\n:4\n"},
		"the workflows to list":     {[]string{"list", "--workflow", ""}, "apply-manifests\nfleet\npod-inventory\nrun-job\n:4\n"},
		"the executions to approve": {[]string{"approve", "morn"}, "morning\tsucceeded pod-inventory 27h\n:4\n"},
	} {
		t.Run(sentence, func(t *testing.T) {
			stackOfExecutions(t)
			got := strings.ReplaceAll(typed(c.args...), "31s", "30s")
			if sentence == "executions" {
				got = strings.ReplaceAll(got, "noon\tfailed apply-manifests 5m\n", "")
			}
			got, _, _ = strings.Cut(got, "Completion ended")
			for _, line := range strings.Split(strings.TrimSpace(c.want), "\n") {
				assert.Contains(t, got, line)
			}
			assert.Equal(t, strings.Count(c.want, "\n"), strings.Count(got, "\n"), got)
		})
	}
	t.Run("nothing, if AWS refuses", func(t *testing.T) {
		s := stackOfExecutions(t)
		s.refuse, s.answers = "AccessDeniedException", nil
		assert.True(t, strings.HasPrefix(typed("inventory", ""), ":4"))
	})
	t.Run("nothing, if there are no credentials", func(t *testing.T) {
		environment(t)
		assert.True(t, strings.HasPrefix(typed("inventory", ""), ":4"))
	})
	t.Run("nothing, if AWS takes its time", func(t *testing.T) {
		s := stackOfExecutions(t)
		over := make(chan struct{})
		s.onCall = func(string) { <-over }
		t.Cleanup(func() { close(over) })
		ctx, cancel := context.WithTimeout(t.Context(), completionTimeout/20)
		t.Cleanup(cancel)
		var out bytes.Buffer
		assert.Equal(t, succeeded, run(ctx, []string{cobra.ShellCompRequestCmd, "inventory", ""}, strings.NewReader(""), &out, &bytes.Buffer{}))
		assert.True(t, strings.HasPrefix(out.String(), ":4"), out.String())
	})
}

func TestATableFitsTheTerminal(t *testing.T) {
	rows := [][]string{{"CLUSTER", "STATUS", "NAME"}, {"demo", "running", "a-name-that-is-too-long-for-the-terminal"}, {"a-cluster-with-a-longer-name", "failed", "ß"}}
	text := func(on paper, whole ...string) string {
		var b bytes.Buffer
		on.table(&b, rows, whole...)
		return b.String()
	}
	for line := range strings.Lines(text(paper{width: 50})) {
		assert.LessOrEqual(t, len([]rune(strings.TrimSpace(line))), 50, line)
	}
	assert.Contains(t, text(paper{width: 50}), "a-name-tha…-terminal", "names differ at their ends")
	assert.Contains(t, text(paper{width: 63}, "NAME"), rows[1][2], "a column that people copy is cut last")
	for line := range strings.Lines(text(paper{width: 45}, "NAME")) {
		assert.LessOrEqual(t, len([]rune(strings.TrimSpace(line))), 45, line)
	}
	assert.Contains(t, text(paper{width: 50, wide: true}), rows[1][2])
	assert.Contains(t, text(paper{}), rows[1][2], "a file has no width")
	assert.Contains(t, text(paper{width: 10}), "a-clus…-name", "but no cell is cut to nothing")
}

func TestHelpSaysWhatErrorsAndExitStatusesMean(t *testing.T) {
	_, stdout, _ := kubestep(t.Context(), "help", "exit-codes")
	assert.Equal(t, exitStatuses, stdout)
	for line := range strings.Lines(exitStatuses + environmentPage) {
		assert.LessOrEqual(t, len([]rune(line)), columns+1, line)
	}
	for _, line := range []string{"  0    ", "  1    ", "  2    ", "  3    ", "  130  "} {
		assert.Contains(t, stdout, line)
	}
	_, all, _ := kubestep(t.Context(), "help", "errors")
	for _, name := range contract.ErrorNames() {
		assert.Regexp(t, `(?m)^`+string(name)+"\n    [A-Z]", all)
		status, one, stderr := kubestep(t.Context(), "help", "errors", strings.ToLower(string(name)))
		assert.Equal(t, succeeded, status, stderr)
		assert.True(t, strings.HasPrefix(one, string(name)+"\n\nWhen. "), one)
		assert.Contains(t, one, "How to fix it. ")
		assert.NotContains(t, one, "](")
	}
	for line := range strings.Lines(all) {
		assert.LessOrEqual(t, len([]rune(line)), columns+1, line)
	}
	_, one, _ := kubestep(t.Context(), "help", "errors", "Lambda.Unknown")
	assert.True(t, strings.HasPrefix(one, "A function that ends without an answer\n"), one)
	status, _, stderr := kubestep(t.Context(), "help", "errors", "Nonsense")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, "there is no error Nonsense: kubestep help errors lists all")
}

func TestNamesOfAnOutput(t *testing.T) {
	objects, err := objectNames(`{"plan":{"objects":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","action":"configured"},{"apiVersion":"v1","kind":"Service","name":"web","action":"unchanged"},{"apiVersion":"v1","kind":"ConfigMap","name":"a","action":"created"}]}}`)
	require.NoError(t, err)
	assert.Equal(t, []string{"deployment.apps/web", "configmap/a"}, objects)
	clusters, err := clusterNames(`{"outcomes":[{"clusterName":"a"},{"clusterName":"b"}]}`)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, clusters)
	job, err := jobNames(`{"job":{"name":"migrate"}}`)
	require.NoError(t, err)
	assert.Equal(t, []string{"job.batch/migrate"}, job)
	for _, names := range []func(string) ([]string, error){podNames, objectNames, clusterNames, jobNames} {
		_, err := names("[1]")
		assert.Error(t, err)
	}
	for document, want := range map[string]string{
		`{"pods":{"items":[{}],"total":7,"truncated":true}}`: "The output has 1 of 7 pods: ",
		`{"plan":{"objects":[],"truncated":true}}`:           "The output does not have all objects: ",
		`{"summary":{"clusters":500},"outcomes":[]}`:         "The output has 0 of 500 clusters: ",
	} {
		assert.Contains(t, unnamed(document), want)
	}
	assert.Empty(t, unnamed(`{"pods":{"items":[{}],"total":1,"truncated":false}}`))
	assert.Empty(t, unnamed(`{"summary":{"clusters":1},"outcomes":[{}]}`))
	document, err := json.Marshal("x")
	require.NoError(t, err)
	_, err = (&format{value: "jsonpath={.a}"}).text(string(document), nil)
	assert.NoError(t, err, "what is missing is empty, as with kubectl")
}

func TestATemplatePrintsAndComparesWholeNumbersAsKubectlDoes(t *testing.T) {
	for template, want := range map[string]string{
		"{.log.bytes}":                       "10485760",
		"{.pods[?(@.restarts>5)].name}":      "b",
		"{.pods[?(@.restarts<=5)].restarts}": "1",
		"{.seconds}":                         "1.5",
	} {
		text, err := (&format{value: "jsonpath=" + template}).text(`{"log":{"bytes":10485760},"pods":[{"name":"a","restarts":1},{"name":"b","restarts":6}],"seconds":1.5}`, nil)
		require.NoError(t, err, template)
		assert.Equal(t, want, text, template)
	}
}

func TestADirectoryIsNoManifest(t *testing.T) {
	newStepFunctions(t, nil)
	folder := t.TempDir()
	status, _, stderr := kubestep(t.Context(), "apply", "demo", "-f", folder, "-f", folder+"/none.yaml")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, "--filename "+folder+" is a directory. Repeat --filename for each file in it, or with kustomize: kubectl kustomize "+folder+" | kubestep apply CLUSTER -f -\n")
	assert.Contains(t, stderr, "--filename "+folder+"/none.yaml ", "and what is wrong with the others")
	_, _, stderr = kubestep(t.Context(), "job", "run", "demo", "-f", folder)
	assert.Contains(t, stderr, "--filename "+folder+" is a directory\n", "a Job is in one file")
}
