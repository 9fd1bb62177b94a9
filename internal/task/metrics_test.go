package task_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/internal/task"
)

// line is the log line of one invocation, as CloudWatch reads it.
type line struct {
	members map[string]any
	// metrics are the values by dimensions and name, as "kubestep stackName=one state=ListPods durationMs".
	metrics map[string]float64
}

// lines reads a log, and checks the rules of the embedded metric format.
func lines(t *testing.T, log string) []line {
	t.Helper()
	var all []line
	for text := range strings.Lines(log) {
		l := line{metrics: map[string]float64{}}
		require.NoError(t, json.Unmarshal([]byte(text), &l.members), text)
		var aws struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		}
		encoded, err := json.Marshal(l.members["_aws"])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(encoded, &aws))
		require.Positive(t, aws.Timestamp)
		for _, d := range aws.CloudWatchMetrics {
			require.Len(t, d.Dimensions, 1)
			require.LessOrEqual(t, len(d.Metrics), 100, "CloudWatch takes no more")
			of := d.Namespace
			for _, name := range d.Dimensions[0] {
				value, ok := l.members[name].(string)
				require.True(t, ok, "dimension %s is a text of the line", name)
				require.NotEmpty(t, value, name)
				of += " " + name + "=" + value
			}
			for _, m := range d.Metrics {
				value, ok := l.members[m.Name].(float64)
				require.True(t, ok, "metric %s is a number of the line", m.Name)
				assert.Contains(t, []string{"Milliseconds", "Count"}, m.Unit)
				l.metrics[of+" "+m.Name] = value
			}
		}
		all = append(all, l)
	}
	return all
}

func list(t *testing.T, results ...any) []line {
	t.Helper()
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil)).With("stackName", "one", "state", "ListPods")
	round := 0
	handle := task.Adapt(log, func(context.Context, podinventory.ListPods) (podinventory.Listing, error) {
		result := results[round]
		round++
		if err, ok := result.(error); ok {
			return podinventory.Listing{}, err
		}
		return result.(podinventory.Listing), nil
	}, task.Metrics(pods.Metrics))
	for range results {
		_, _ = handle(t.Context(), podinventory.ListPods{
			Session: contract.Session{Execution: "arn:aws:states:eu-west-1:111122223333:execution:one-pod-inventory:nightly", Cluster: contract.Cluster{Name: "demo"}},
		})
	}
	return lines(t, logged.String())
}

func TestEveryInvocationIsOneLineThatSaysWhatItWasForAndHoldsItsMetrics(t *testing.T) {
	all := list(t, podinventory.Listing{}, errors.New("boom"))
	require.Len(t, all, 2)
	for i, l := range all {
		assert.Equal(t, "nightly", l.members["execution"])
		assert.Equal(t, "demo", l.members["cluster"])
		assert.Equal(t, "ListPods", l.members["state"])
		assert.Contains(t, l.metrics, "kubestep stackName=one state=ListPods durationMs")
		assert.InDelta(t, 1-i, l.metrics["kubestep stackName=one state=ListPods coldStart"], 0, "the first is cold")
	}
	assert.NotContains(t, all[0].metrics, "kubestep stackName=one error=Unexpected errors")
	assert.InDelta(t, 1, all[1].metrics["kubestep stackName=one error=Unexpected errors"], 0)
}

func TestWhatAResultMeasuresIsInTheLine(t *testing.T) {
	all := list(t,
		podinventory.Listing{Pods: podinventory.Pods{ByStatus: map[string]int{"Running": 3}}, Cursor: &contract.Cursor{}},
		podinventory.Listing{Pods: podinventory.Pods{ByStatus: map[string]int{"Running": 3, "CrashLoopBackOff": 1}}},
	)
	assert.Len(t, all[0].metrics, 2, "not while a cursor is left")
	assert.InDelta(t, 3, all[1].metrics["kubestep stackName=one cluster=demo pods.Running"], 0)
	assert.InDelta(t, 1, all[1].metrics["kubestep stackName=one cluster=demo pods.CrashLoopBackOff"], 0)
	assert.Len(t, all[1].metrics, 4)
}

func TestMetricsOfClustersThatHaveTheSameNameAreNotTheSame(t *testing.T) {
	for sentence, c := range map[string]struct{ arn, want string }{
		"a cluster of the stack's own account and Region": {"arn:aws:eks:eu-west-1:111122223333:cluster/demo", "demo"},
		"one of another account":                          {"arn:aws:eks:eu-west-1:444455556666:cluster/demo", "444455556666/eu-west-1/demo"},
		"one of another Region":                           {"arn:aws:eks:eu-central-1:111122223333:cluster/demo", "111122223333/eu-central-1/demo"},
	} {
		t.Run(sentence, func(t *testing.T) {
			var logged bytes.Buffer
			log := slog.New(slog.NewJSONHandler(&logged, nil)).With("stackName", "one", "state", "ListPods")
			_, err := task.Adapt(log, func(context.Context, podinventory.ListPods) (podinventory.Listing, error) {
				return podinventory.Listing{Pods: podinventory.Pods{ByStatus: map[string]int{"Running": 3}}}, nil
			}, task.Metrics(pods.Metrics))(t.Context(), podinventory.ListPods{Session: contract.Session{
				Execution: "arn:aws:states:eu-west-1:111122223333:execution:one-pod-inventory:nightly", Cluster: contract.Cluster{Name: "demo", ARN: c.arn},
			}})
			require.NoError(t, err)
			assert.Contains(t, lines(t, logged.String())[0].metrics, "kubestep stackName=one cluster="+c.want+" pods.Running")
		})
	}
}

func TestMetricsOfClustersCanBeTurnedOffAndAreThenInTheLogOnly(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil)).With("stackName", "one", "state", "ListPods")
	_, err := task.Adapt(log, func(context.Context, podinventory.ListPods) (podinventory.Listing, error) {
		return podinventory.Listing{Pods: podinventory.Pods{ByStatus: map[string]int{"Running": 3}}}, nil
	}, task.Metrics(pods.Metrics), task.WithoutClusterMetrics)(t.Context(), podinventory.ListPods{})
	require.NoError(t, err)
	all := lines(t, logged.String())
	assert.Len(t, all[0].metrics, 2, "durationMs and coldStart, which are the stack's")
	assert.InDelta(t, 3, all[0].members["pods.Running"], 0)
}

// crowd returns more metrics than CloudWatch accepts in one directive.
type crowd struct{}

func counts(crowd) map[string]int {
	counts := map[string]int{}
	for i := range 150 {
		counts[fmt.Sprintf("m%03d", i)] = i
	}
	return counts
}

func (crowd) LogAttrs() []slog.Attr { return []slog.Attr{slog.String("cluster", "demo")} }

func TestALineHasNoMoreMetricsThanCloudWatchAccepts(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil)).With("stackName", "one", "state", "Crowd")
	_, err := task.Adapt(log, func(context.Context, int) (crowd, error) { return crowd{}, nil }, task.Metrics(counts))(t.Context(), 1)
	require.NoError(t, err)
	assert.Len(t, lines(t, logged.String())[0].metrics, 102)
}

func TestTheLoggedClusterIsThatOfTheInputOrOfTheResult(t *testing.T) {
	for sentence, c := range map[string]struct{ input, want string }{
		"the input's cluster":                        {`{"clusterName":"shop"}`, "shop"},
		"the stack's, if the input has none":         {`{}`, "demo"},
		"the stack's, if the input is not an object": {`["x"]`, "demo"},
		"nothing readable of a token":                {`{"clusterName":"k8s-aws-v1.aHR0cHM"}`, "[REDACTED]"},
	} {
		t.Run(sentence, func(t *testing.T) {
			var logged bytes.Buffer
			log := slog.New(slog.NewJSONHandler(&logged, nil)).With("stackName", "one", "state", "DescribeCluster")
			_, err := task.Adapt(log, func(context.Context, contract.DescribeCluster) (contract.DescribedCluster, error) {
				return contract.DescribedCluster{Cluster: contract.Cluster{Name: "demo"}}, nil
			})(t.Context(), contract.DescribeCluster{Execution: "a:b:nightly", Input: json.RawMessage(c.input)})
			require.NoError(t, err)
			assert.Equal(t, c.want, lines(t, logged.String())[0].members["cluster"])
		})
	}
}
