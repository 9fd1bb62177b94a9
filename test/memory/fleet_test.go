//go:build linux

package memory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
)

const (
	fleetExecution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly"
	// fleetFolder is where a fleet reads and writes.
	fleetFolder = "111122223333/eu-west-1/kubestep-fleet/nightly/"
)

func TestAListOfClusters(t *testing.T) {
	jsonLine := func(i int) string { return fmt.Sprintf(`{"clusterName":"c%d","region":"eu-west-1"}`+"\n", i) }
	repeat := func(line func(int) string, n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"ten-thousand.jsonl": repeat(jsonLine, 10_000),
		"many.jsonl":         repeat(jsonLine, 190_000),
		"roles.jsonl": repeat(func(i int) string {
			return fmt.Sprintf(`{"clusterName":"c%d","roleArn":"arn:aws:iam::111122223333:role/%s"}`+"\n", i, strings.Repeat("r", 64))
		}, 10_000),
		"wrong.jsonl":           strings.Repeat("{}\n", 8<<20/3),
		"not-json.jsonl":        strings.Repeat("x\n", 8<<20/2),
		"nested.jsonl":          strings.Repeat("[", 8<<20),
		"one-line.jsonl":        `{"clusterName":"` + strings.Repeat("x", 8<<20-100) + `"}`,
		"keys.jsonl":            `{"a":1` + counted(`,"k%d":""`, 500_000) + "}",
		"empty-lines.jsonl":     strings.Repeat("\n", 8<<20),
		"ten-thousand.csv":      "clusterName,region\n" + counted("c%d,eu-west-1\n", 10_000),
		"many.csv":              "clusterName\n" + counted("c%d\n", 900_000),
		"columns.csv":           "clusterName" + strings.Repeat(",", 4<<20) + "\n" + strings.Repeat(",", 4<<20-20),
		"wide-rows.csv":         "clusterName,region\n" + strings.Repeat("a,b\n", 2<<20-10),
		"one-cell.csv":          "clusterName\n\"" + strings.Repeat("x\n", 4<<20-20) + "\"",
		"open-quote.csv":        "clusterName\n\"" + strings.Repeat("x", 8<<20-20),
		"quotes.csv":            "clusterName\n" + strings.Repeat("\"\"\n", 2<<20),
		"larger-than-that.json": strings.Repeat(" ", 20<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, endpoint := s3(t, map[string]string{name: text})
			input, err := json.Marshal(map[string]any{
				"workflow": "pod-inventory", "source": map[string]string{"bucket": "bucket", "key": name}, "output": map[string]string{"bucket": "bucket"},
			})
			require.NoError(t, err)
			invoke(t, "find-clusters", contractfleet.FindClusters{Execution: fleetExecution, StartedAt: time.Unix(0, 0), Input: input}, endpoint,
				"KUBESTEP_POD_INVENTORY_ARN=arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-pod-inventory:live", "KUBESTEP_FLEET_WORKFLOWS=pod-inventory")
		})
	}
}

func TestTheOutcomesOfALargeFleet(t *testing.T) {
	target := func(i int) contract.Target {
		return contract.Target{ClusterName: fmt.Sprintf("c%05d%s", i, strings.Repeat("n", 90)), Region: "eu-west-1", RoleARN: "arn:aws:iam::111122223333:role/" + strings.Repeat("r", 64)}
	}
	of := contractfleet.Fleet{
		Name: "nightly", Execution: fleetExecution, Workflow: "pod-inventory", Clusters: contractfleet.MaxClusters, InS3: true, Concurrency: 40,
		StateMachineARN: "arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-pod-inventory:live", Executions: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory",
		Output: contract.Destination{Bucket: "bucket"},
	}
	list := make([]contractfleet.Cluster, of.Clusters)
	for i := range list {
		list[i] = contractfleet.Cluster{Target: target(i), Attempt: 2, Execution: fleet.ExecutionName(of, target(i), 2)}
	}
	text, err := json.Marshal(list)
	require.NoError(t, err)
	outcome := func(i int, cause string, totals map[string]int) string {
		text, err := json.Marshal(contractfleet.Outcome{Target: target(i), Attempt: 2, Status: contractfleet.StatusFailed, Error: strings.Repeat("E", 60) + fmt.Sprint(i), Cause: cause, Totals: totals})
		require.NoError(t, err)
		return string(text)
	}
	for sentence, content := range map[string]func(i int) string{
		"each of which failed otherwise": func(i int) string { return outcome(i, strings.Repeat("<&>", 80), nil) },
		"each with other totals": func(i int) string {
			return outcome(i, "", map[string]int{fmt.Sprint("k", i): i, fmt.Sprint("l", i): 1 << 60})
		},
		"each larger than an outcome is": func(i int) string { return outcome(i, strings.Repeat("x", 100<<10), nil) },
		"that are no outcomes":           func(int) string { return strings.Repeat("[", 4000) },
		"that are not there":             nil,
	} {
		t.Run(sentence, func(t *testing.T) {
			objects := map[string]string{fleetFolder + "clusters-1.json": string(text), fleetFolder + "clusters-2.json": string(text)}
			if content != nil {
				for i, cluster := range list {
					objects[fleetFolder+"outcomes/"+cluster.Execution+".json"] = content(i)
				}
			}
			_, endpoint := s3(t, objects)
			run := contractfleet.Ran{Round: 2, Attempt: 2, List: fleetFolder + "clusters-2.json", Size: len(list), Begun: len(list)}
			invoke(t, "summarize", contractfleet.Summarize{Fleet: of, Request: json.RawMessage(`{}`), Run: run}, endpoint)
		})
	}
	t.Run("in a list that is no list", func(t *testing.T) {
		for _, name := range []string{"[" + strings.Repeat("{},", 5<<20) + "{}]", strings.Repeat("[", 15<<20), strings.Repeat("x", 15<<20)} {
			_, endpoint := s3(t, map[string]string{fleetFolder + "clusters-2.json": name, fleetFolder + "clusters-1.json": name})
			run := contractfleet.Ran{Round: 2, Attempt: 2, List: fleetFolder + "clusters-2.json", Size: len(list), Begun: len(list)}
			invoke(t, "summarize", contractfleet.Summarize{Fleet: of, Request: json.RawMessage(`{}`), Run: run}, endpoint)
		}
	})
}

// A page says where a rollout stands while it waits for an approval.
func TestThePageOfALargeRolloutThatWaits(t *testing.T) {
	t.Run("for its first wave", func(t *testing.T) {
		var list strings.Builder
		for i := range contractfleet.MaxClusters {
			fmt.Fprintf(&list, `{"clusterName":"c%05d%s","region":"eu-west-1","roleArn":"arn:aws:iam::111122223333:role/%s"}`+"\n", i, strings.Repeat("n", 90), strings.Repeat("r", 64))
		}
		objects, endpoint := s3(t, map[string]string{"all.jsonl": list.String()})
		input, err := json.Marshal(map[string]any{
			"workflow": "apply-manifests", "source": map[string]string{"bucket": "bucket", "key": "all.jsonl"}, "output": map[string]string{"bucket": "bucket"}, "concurrency": 100,
			"request": map[string]string{"mode": "apply", "manifests": "kind: Namespace\napiVersion: v1\nmetadata: {name: a}"}, "approve": map[string]any{},
			"waves": []any{map[string]any{"name": "canary", "percentage": 1}, map[string]any{"name": "rest", "percentage": 100}},
		})
		require.NoError(t, err)
		o := invoke(t, "find-clusters", contractfleet.FindClusters{Execution: fleetExecution, StartedAt: time.Unix(0, 0), Input: input}, endpoint,
			"KUBESTEP_APPLY_MANIFESTS_ARN=arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-apply-manifests:live", "KUBESTEP_FLEET_WORKFLOWS=apply-manifests", "KUBESTEP_APPROVE_FUNCTION=approve")
		ends(t, o, "", "")
		var found contractfleet.FoundClusters
		require.NoError(t, json.Unmarshal(o.answer, &found))
		run := contractfleet.Ran{Round: 1, Attempt: 1, Waves: found.Run.Waves, Wave: found.Run.Wave, Gate: found.Run.Gate}
		ends(t, invoke(t, "summarize", contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Run: run}, endpoint), "", "")
		page := objects.text(fleetFolder + "report.html")
		require.Contains(t, page, "Waits for approval: nothing has begun")
		t.Logf("a page of %d KB", len(page)>>10)
	})
	t.Run("for its last wave", func(t *testing.T) {
		of := contractfleet.Fleet{
			Name: "nightly", Execution: fleetExecution, Workflow: "apply-manifests", Clusters: contractfleet.MaxClusters, InS3: true, Concurrency: 40, Changes: true, Waves: 2,
			StateMachineARN: "arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-apply-manifests:live", Executions: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests",
			Output: contract.Destination{Bucket: "bucket"},
		}
		waves := []contractfleet.Wave{{Name: "first", Clusters: of.Clusters - 1, Concurrency: 40, Gate: contractfleet.Gate{SoakSeconds: 60, Alarms: []string{}, Approval: contractfleet.Approve{TimeoutSeconds: 600}}}, {Name: "last", Clusters: 1, Concurrency: 1}}
		list, files := make([]contractfleet.Cluster, of.Clusters), map[string]string{}
		for i := range list {
			target := contract.Target{ClusterName: fmt.Sprintf("c%05d%s", i, strings.Repeat("n", 90)), Region: "eu-west-1", RoleARN: "arn:aws:iam::111122223333:role/" + strings.Repeat("r", 64)}
			list[i] = contractfleet.Cluster{Target: target, Attempt: 1, Execution: fleet.ExecutionName(of, target, 1), Wave: 1 + i/(of.Clusters-1)}
			text, err := json.Marshal(contractfleet.Outcome{Target: target, Attempt: 1, Status: contractfleet.StatusSucceeded, Cause: strings.Repeat("<&>", 80), Totals: map[string]int{"applied": 3}, Wave: 1})
			require.NoError(t, err)
			files[fleetFolder+"outcomes/"+list[i].Execution+".json"] = string(text)
		}
		text, err := json.Marshal(list)
		require.NoError(t, err)
		files[fleetFolder+"clusters.json"] = string(text)
		objects, endpoint := s3(t, files)
		// The soak of the gate is over.
		run := contractfleet.Ran{Round: 3, Attempt: 1, Begun: of.Clusters - 1, Waves: waves, Wave: 1, Gate: contractfleet.Passage{Wave: 1, Stage: contractfleet.StageAlarms}}
		ends(t, invoke(t, "summarize", contractfleet.Summarize{Fleet: of, Request: json.RawMessage(`{}`), Run: run}, endpoint), "", "")
		page := objects.text(fleetFolder + "report.html")
		require.Contains(t, page, "Waits for the approval of wave first")
		t.Logf("a page of %d KB", len(page)>>10)
	})
}

// What an execution of a cluster ends with passes between states, 256 KiB at the most.
func TestTheResultOfAClustersExecution(t *testing.T) {
	of := contractfleet.Fleet{Name: "nightly", Execution: fleetExecution, Workflow: "pod-inventory", Clusters: 1, Output: contract.Destination{Bucket: "bucket"}}
	text := func(value any) json.RawMessage {
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		return encoded
	}
	results := map[string]contractfleet.ExecutionResult{
		"a long cause":          {Status: "FAILED", Error: strings.Repeat("E", 30<<10), Cause: strings.Repeat("<", 200<<10)},
		"a cause of causes":     {Status: "FAILED", Error: "States.TaskFailed", Cause: strings.Repeat(`{"Cause":"`, 20<<10)},
		"a dense output":        {Status: "SUCCEEDED", Output: text("[" + strings.Repeat("{},", 80<<10) + "{}]")},
		"a nested output":       {Status: "SUCCEEDED", Output: text(strings.Repeat("[", 250<<10))},
		"an output of keys":     {Status: "SUCCEEDED", Output: text(`{"pods":{"total":1,"byStatus":{"a":1` + counted(`,"k%d":1`, 18_000) + "}}}")},
		"an output in itself":   {Status: "SUCCEEDED", Output: text(string(text(string(text(strings.Repeat(`"`, 60<<10))))))},
		"a date that is none":   {Status: "SUCCEEDED", Output: text("{}"), StartDate: text(strings.Repeat("9", 200<<10))},
		"a status that is long": {Status: strings.Repeat("S", 250<<10)},
		"a dense input":         {Status: "SUCCEEDED", Input: text("[" + strings.Repeat("{},", 80<<10) + "{}]")},
		"a dense member":        {Status: "SUCCEEDED", Input: text(`{"namespaces":[` + strings.Repeat("{},", 80<<10) + "{}]}")},
		"a nested input":        {Status: "SUCCEEDED", Input: text(`{"namespaces":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}")},
		"an input of keys":      {Status: "RUNNING", Input: text(`{"clusterName":"a"` + counted(`,"k%d":1`, 18_000) + "}")},
	}
	for _, sentence := range slices.Sorted(maps.Keys(results)) {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			_, endpoint := s3(t, nil)
			cluster := contractfleet.Cluster{Target: contract.Target{ClusterName: "a", Region: "eu-west-1"}, Execution: "nightly-a-1", Attempt: 1}
			invoke(t, "record-outcome", contractfleet.RecordOutcome{Fleet: of, Request: json.RawMessage(`{}`), Cluster: cluster, Result: results[sentence], Described: results[sentence].Input != nil}, endpoint)
		})
	}
}

// So may what an execution begins with.
func TestTheInputOfAnExecution(t *testing.T) {
	for sentence, input := range map[string]string{
		"dense":    `{"clusterName":"a","x":[{}` + strings.Repeat(",{}", 80<<10) + `]}`,
		"nested":   `{"clusterName":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`,
		"of keys":  `{"clusterName":"a"` + counted(`,"k%d":1`, 20_000) + `}`,
		"a list":   `{"clusterName":"a","namespaces":["a"` + strings.Repeat(`,"b"`, 60<<10) + `]}`,
		"one text": `{"clusterName":"` + strings.Repeat("<", 250<<10) + `"}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			for _, workflow := range []string{"pod-inventory", "apply-manifests"} {
				invoke(t, "describe-cluster", contract.DescribeCluster{Execution: fleetExecution, Workflow: workflow, Input: json.RawMessage(input)}, "AWS_ENDPOINT_URL=http://127.0.0.1:9")
			}
			invoke(t, "find-clusters", contractfleet.FindClusters{Execution: fleetExecution, Input: json.RawMessage(input)}, "AWS_ENDPOINT_URL=http://127.0.0.1:9")
		})
	}
}
