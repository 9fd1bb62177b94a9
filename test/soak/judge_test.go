package soak

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/local/world"
)

// request is an execution's input, and its right answer without disturbances.
type request struct {
	input string
	pods  map[string]int     // by namespace
	fails contract.ErrorName // instead
}

// mix returns the inputs of the executions, in turn: mostly lists, and a few that always fail.
func mix(t *testing.T, w *world.World) []request {
	t.Helper()
	admin, err := w.ControlPlane.Admin()
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(admin)
	require.NoError(t, err)
	count := func(namespace, selector string) int {
		list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		require.NoError(t, err)
		require.NotEmpty(t, list.Items)
		return len(list.Items)
	}
	one := request{input: `{"clusterName":"demo"}`, pods: map[string]int{"default": count("default", "")}}
	both := request{input: `{"clusterName":"demo","namespaces":["shop","default"]}`, pods: map[string]int{"shop": count("shop", ""), "default": count("default", "")}}
	pending := request{input: `{"clusterName":"demo","namespaces":["shop"],"fieldSelector":"status.phase=Pending"}`, pods: map[string]int{"shop": count("shop", "status.phase=Pending")}}
	typo := request{input: `{"clusterName":"demo","namespace":"shop"}`, fails: contract.InvalidInput}
	unknown := request{input: `{"clusterName":"nowhere"}`, fails: contract.ClusterNotFound}
	return []request{one, both, pending, one, both, typo, one, both, pending, one, both, unknown}
}

// outcome is the result of an execution.
type outcome struct {
	name           string
	request        request
	started, ended time.Time
	status         types.ExecutionStatus
	error, cause   string
	output         string
}

// judge returns what is wrong with an outcome.
func judge(o outcome, windows []window) error {
	switch o.status {
	case types.ExecutionStatusSucceeded:
		return o.answered()
	case types.ExecutionStatusFailed:
		return o.justified(windows)
	default:
		return fmt.Errorf("it ended %s", o.status)
	}
}

func (o outcome) answered() error {
	if o.request.fails != "" {
		return fmt.Errorf("it succeeded, and should have failed with %s", o.request.fails)
	}
	d := json.NewDecoder(strings.NewReader(o.output))
	d.DisallowUnknownFields()
	var output podinventory.Output
	if err := d.Decode(&output); err != nil {
		return fmt.Errorf("its output cannot be read: %w", err)
	}
	total := 0
	for _, n := range o.request.pods {
		total += n
	}
	switch {
	case !maps.Equal(output.Pods.ByNamespace, o.request.pods):
		return fmt.Errorf("it found %v pods instead of %v", output.Pods.ByNamespace, o.request.pods)
	case output.Pods.Total != total || len(output.Pods.Items) != total || output.Pods.Truncated:
		return fmt.Errorf("it found %d pods and shows %d instead of %d", output.Pods.Total, len(output.Pods.Items), total)
	case !output.Access.Allowed || len(output.Access.Namespaces) != len(o.request.pods):
		return fmt.Errorf("its access is %+v", output.Access)
	}
	return nil
}

func (o outcome) justified(windows []window) error {
	if o.cause == "" || strings.HasPrefix(o.cause, "{") {
		return fmt.Errorf("it failed with %s and no sentence for a person: %q", o.error, o.cause)
	}
	if o.request.fails != "" {
		if o.error != string(o.request.fails) {
			return fmt.Errorf("it failed with %s instead of %s: %s", o.error, o.request.fails, o.cause)
		}
		return nil
	}
	for _, w := range windows {
		if w.from.Before(o.ended) && w.to.After(o.started) && slices.Contains(w.justifies, contract.ErrorName(o.error)) {
			return nil
		}
	}
	return fmt.Errorf("it failed with %s, which nothing justifies that was under way: %s", o.error, o.cause)
}

// result is the row of the summary that counts an outcome.
func (o outcome) result() string { return cmp.Or(o.error, string(o.status)) }

// summary returns a table of the outcomes.
func summary(outcomes []outcome, windows []window, used []memory, took time.Duration) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 3, ' ', 0)
	fmt.Fprintf(w, "%d executions, %d at once, in %s, %.1f a second\n\n", len(outcomes), *atOnce, took.Round(time.Second), float64(len(outcomes))/took.Seconds())

	fmt.Fprintln(w, "ENDED WITH\tEXECUTIONS\tMEDIAN\tLONGEST")
	durations := map[string][]time.Duration{}
	for _, o := range outcomes {
		durations[o.result()] = append(durations[o.result()], o.ended.Sub(o.started))
	}
	for _, result := range slices.SortedFunc(maps.Keys(durations), func(a, b string) int { return len(durations[b]) - len(durations[a]) }) {
		all := slices.Sorted(slices.Values(durations[result]))
		fmt.Fprintf(w, "%s\t%d\t%.0f s\t%.0f s\n", result, len(all), all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
	}

	fmt.Fprintln(w, "\nWHILE\tTIMES\tSECONDS\tEXECUTIONS\tOF WHICH SUCCEEDED")
	type row struct {
		times, met, survived int
		seconds              float64
	}
	rows := map[string]row{}
	for _, window := range windows {
		r := rows[window.name]
		r.times++
		r.seconds += window.to.Sub(window.from).Seconds()
		for _, o := range outcomes {
			if o.request.fails == "" && window.from.Before(o.ended) && window.to.After(o.started) {
				r.met++
				if o.status == types.ExecutionStatusSucceeded {
					r.survived++
				}
			}
		}
		rows[window.name] = r
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%d\t%d\n", name, r.times, r.seconds, r.met, r.survived)
	}

	done := 0
	// The median of each tenth: what grows, grows from row to row.
	fmt.Fprintf(w, "\nLARGEST ENVIRONMENT (MiB)\t%s\n", strings.ToUpper(strings.Join(functions, "\t")))
	for part := range slices.Chunk(used, max(1, len(used)/10)) {
		m := median(part)
		done += len(part)
		fmt.Fprintf(w, "up to execution %d", done)
		for _, function := range functions {
			fmt.Fprintf(w, "\t%.1f", float64(m[function])/1024)
		}
		fmt.Fprintln(w)
	}
	if len(used) >= settled+around {
		before, after := settledMemory(used)
		fmt.Fprintf(w, "from the first %d to the end", settled)
		for _, function := range functions {
			fmt.Fprintf(w, "\t%+.1f %%", 100*(float64(after[function])/float64(before[function])-1))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to memory
	return b.String()
}

func TestAnOutcomeThatNothingJustifiesIsWrong(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	windows := []window{{disturbance: disturbance{justifies: []contract.ErrorName{contract.Unauthorized}}, from: at(10), to: at(20)}}
	list := request{pods: map[string]int{"shop": 1}}
	output := func(namespace string) string {
		return `{"cluster":{},"access":{"allowed":true,"namespaces":[{"namespace":"shop","allowed":true,"reason":""}]},"pods":{"total":1,"byNamespace":{"` + namespace + `":1},"byStatus":{},"items":[{}],"truncated":false}}`
	}
	failed := func(name string, started, ended int) outcome {
		return outcome{request: list, started: at(started), ended: at(ended), status: types.ExecutionStatusFailed, error: name, cause: "A sentence."}
	}
	for sentence, c := range map[string]struct {
		outcome outcome
		wrong   string
	}{
		"the right totals":                  {outcome{request: list, status: types.ExecutionStatusSucceeded, output: output("shop")}, ""},
		"the totals of another namespace":   {outcome{request: list, status: types.ExecutionStatusSucceeded, output: output("default")}, "instead of"},
		"an output that is not one":         {outcome{request: list, status: types.ExecutionStatusSucceeded, output: `{"pods":[]}`}, "cannot be read"},
		"success where it is impossible":    {outcome{request: request{fails: contract.InvalidInput}, status: types.ExecutionStatusSucceeded}, "should have failed"},
		"the time of the whole execution":   {outcome{request: list, status: types.ExecutionStatusTimedOut}, "it ended TIMED_OUT"},
		"an error while it is justified":    {failed("Unauthorized", 19, 30), ""},
		"the same before that":              {failed("Unauthorized", 1, 9), "nothing justifies"},
		"the same after that":               {failed("Unauthorized", 21, 30), "nothing justifies"},
		"another error while one is":        {failed("Forbidden", 11, 19), "nothing justifies"},
		"an error that nothing ever is for": {failed("Unexpected", 11, 19), "nothing justifies"},
		"an error without a sentence":       {outcome{request: list, started: at(11), ended: at(12), status: types.ExecutionStatusFailed, error: "Unauthorized", cause: `{"errorType":"Unauthorized"}`}, "no sentence"},
		"the wrong error for a wrong input": {outcome{request: request{fails: contract.InvalidInput}, status: types.ExecutionStatusFailed, error: "Unauthorized", cause: "A sentence."}, "instead of InvalidInput"},
		"the right error for a wrong input": {outcome{request: request{fails: contract.InvalidInput}, status: types.ExecutionStatusFailed, error: "InvalidInput", cause: "A sentence."}, ""},
		"an execution that was stopped":     {outcome{request: list, status: types.ExecutionStatusAborted}, "it ended ABORTED"},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := judge(c.outcome, windows)
			if c.wrong == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.wrong)
		})
	}
}
