package test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/apiproxy"
)

// begin starts a fleet and does not wait for it.
func (s *scenario) begin(t *testing.T, input map[string]any) (execution string) {
	t.Helper()
	text, err := json.Marshal(input)
	require.NoError(t, err)
	started, err := s.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(s.stack.StateMachineARN("fleet")), Input: aws.String(string(text))})
	require.NoError(t, err)
	return *started.ExecutionArn
}

func (s *scenario) redrive(t *testing.T, execution string) follow.Execution {
	t.Helper()
	_, err := s.client.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: &execution})
	require.NoError(t, err)
	return s.follow(t, execution)
}

func (s *scenario) follow(t *testing.T, execution string) follow.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	follower := follow.Follower{Client: s.client, Interval: 250 * time.Millisecond, Out: io.Discard}
	e, err := follower.Follow(ctx, execution)
	require.NoError(t, err)
	return e
}

// reaches waits until an execution has the status.
func (s *scenario) reaches(t *testing.T, execution string, status types.ExecutionStatus) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		described, err := s.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution})
		if assert.NoError(c, err) {
			assert.Equal(c, status, described.Status)
		}
	}, time.Minute, 100*time.Millisecond)
}

// reachesState waits until an execution has entered the state.
func (s *scenario) reachesState(t *testing.T, execution, state string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		history, err := s.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &execution, MaxResults: 1000})
		if assert.NoError(c, err) {
			assert.True(c, slices.ContainsFunc(history.Events, func(e types.HistoryEvent) bool {
				return e.StateEnteredEventDetails != nil && aws.ToString(e.StateEnteredEventDetails.Name) == state
			}))
		}
	}, time.Minute, 100*time.Millisecond)
}

// held describes the cluster in a Region where its pods are listed once they are let go.
func held(t *testing.T) (where string, asked <-chan struct{}, let func()) {
	t.Helper()
	begun, release := make(chan struct{}), make(chan struct{})
	_, where = proxied(t, apiproxy.Fault{Resource: "pods", Times: 1, Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		close(begun)
		<-release
		pass(w, r)
	}})
	return where, begun, func() { close(release) }
}

// executionName is the name of a cluster's execution in a fleet of inventories without a request.
func executionName(t *testing.T, name string, target contract.Target) string {
	t.Helper()
	digest, err := fleet.Digest("pod-inventory", nil)
	require.NoError(t, err)
	return fleet.ExecutionName(contractfleet.Fleet{Name: name, Digest: digest}, target, 1)
}

func TestARedriveOfAFleetThatWasStoppedStartsNothingTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stopped bool // with the fleet, as Step Functions stops them
		want    contractfleet.Status
		cause   string
	}{
		"what was stopped with it is reported as that": {true, contractfleet.StatusAborted, "The execution was stopped."},
		"what runs still is waited for":                {false, contractfleet.StatusSucceeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFleet(t)
			where, asked, let := held(t)
			well, slow := contract.Target{ClusterName: world.ClusterName, Region: world.Region}, contract.Target{ClusterName: world.ClusterName, Region: where}
			of := func(target contract.Target) string {
				return strings.Replace(s.machine, ":stateMachine:", ":execution:", 1) + ":" + executionName(t, "weekly", target)
			}
			started := s.begin(t, map[string]any{
				"workflow": "pod-inventory", "name": "weekly", "clusters": []any{well, slow}, "toleratedFailures": map[string]int{"count": 1},
			})
			s.reaches(t, of(well), types.ExecutionStatusSucceeded)
			<-asked
			_, err := s.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &started})
			require.NoError(t, err)
			s.reaches(t, started, types.ExecutionStatusAborted)
			if c.stopped {
				_, err := s.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(of(slow))})
				require.NoError(t, err)
				let()
				s.reaches(t, of(slow), types.ExecutionStatusAborted)
			} else {
				time.AfterFunc(time.Second, let)
			}

			output := fleetOutput(t, s.redrive(t, started))

			require.Len(t, output.Outcomes, 2)
			assert.Equal(t, contractfleet.StatusSucceeded, output.Outcomes[0].Status)
			assert.Equal(t, c.want, output.Outcomes[1].Status)
			assert.Equal(t, c.cause, output.Outcomes[1].Cause)
			assert.Equal(t, 2, s.started(t))
		})
	}
}

// The state that ended it is Fail, and that is what a redrive enters.
func TestARedriveOfAFleetWhoseClustersFailedFailsAgain(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	first := s.fleet(t, map[string]any{"workflow": "pod-inventory", "clusters": []string{world.ClusterName, "retired"}})
	require.Equal(t, contractfleet.ClustersFailed, first.Error, first.Cause)

	again := s.redrive(t, first.ARN)

	assert.Equal(t, first.Error, again.Error)
	assert.Equal(t, first.Cause, again.Cause)
	assert.Equal(t, append(first.Path, "ClustersFailed"), again.Path)
	assert.Equal(t, 2, s.started(t))

	done := s.fleet(t, map[string]any{"workflow": "pod-inventory", "clusters": []string{world.ClusterName}})
	_, err := s.client.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: &done.ARN})
	var refused *types.ExecutionNotRedrivable
	require.ErrorAs(t, err, &refused, "what has succeeded is not redriven")
}

func TestAFleetWaitsForWhatAnotherOfItsNameHasStarted(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	where, asked, let := held(t)
	input := map[string]any{"workflow": "pod-inventory", "name": "weekly", "clusters": []any{contract.Target{ClusterName: world.ClusterName, Region: where}}}
	first := s.begin(t, input)
	<-asked
	time.AfterFunc(3*time.Second, let)

	second := fleetOutput(t, s.fleet(t, input)) // which looks again after 30 s

	assert.Equal(t, fleetOutput(t, s.follow(t, first)).Outcomes, second.Outcomes)
	assert.Equal(t, map[contractfleet.Status]int{contractfleet.StatusSucceeded: 1}, second.Summary.ByStatus)
	assert.Equal(t, 1, s.started(t))
}

// Whoever may start executions of the workflow can work out the names of a fleet's.
func TestAFleetTakesNoExecutionWithAnotherInputForItsOwn(t *testing.T) {
	t.Parallel()
	nothing := func(s *scenario, t *testing.T, target contract.Target) {
		t.Helper()
		text, err := json.Marshal(map[string]any{"clusterName": target.ClusterName, "region": target.Region, "roleArn": "", "labelSelector": "app=none"})
		require.NoError(t, err)
		name := executionName(t, "weekly", target)
		_, err = s.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &s.machine, Name: &name, Input: aws.String(string(text))})
		require.NoError(t, err)
	}
	one := func(t *testing.T, output contractfleet.Output, of contract.Target) contractfleet.Outcome {
		t.Helper()
		at := slices.IndexFunc(output.Outcomes, func(o contractfleet.Outcome) bool { return o.Target == of })
		require.GreaterOrEqual(t, at, 0)
		return output.Outcomes[at]
	}
	t.Run("which runs still", func(t *testing.T) {
		t.Parallel()
		s := newFleet(t)
		where, asked, let := held(t)
		target := contract.Target{ClusterName: world.ClusterName, Region: where}
		nothing(s, t, target)
		<-asked

		started := s.begin(t, map[string]any{"workflow": "pod-inventory", "name": "weekly", "clusters": []any{target}})
		assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, 2, s.started(t)) }, time.Minute, 250*time.Millisecond, "it is not waited for")
		output := fleetOutput(t, s.follow(t, started))
		let()

		assert.True(t, one(t, output, target).Own)
		assert.Positive(t, output.Summary.Totals["pods"])
	})
	t.Run("which has ended since the fleet began", func(t *testing.T) {
		t.Parallel()
		s := newFleet(t)
		where, asked, let := held(t)
		slow, taken := contract.Target{ClusterName: world.ClusterName, Region: where}, contract.Target{ClusterName: world.ClusterName, Region: world.Region}
		started := s.begin(t, map[string]any{"workflow": "pod-inventory", "name": "weekly", "clusters": []any{slow, taken}, "concurrency": 1})
		<-asked
		nothing(s, t, taken)
		s.reaches(t, strings.Replace(s.machine, ":stateMachine:", ":execution:", 1)+":"+executionName(t, "weekly", taken), types.ExecutionStatusSucceeded)
		let()
		output := fleetOutput(t, s.follow(t, started))

		assert.False(t, one(t, output, slow).Own)
		assert.True(t, one(t, output, taken).Own)
		assert.Positive(t, one(t, output, taken).Totals["pods"])
		assert.Equal(t, 3, s.started(t))
	})
}
