package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/test/asl"
	"github.com/kubestep/kubestep/test/rollouts"
)

// standIn lets executions of a workflow of the stack end as is their fate.
func (a *applier) standIn(t *testing.T, workflow string, r rollouts.Rollout, kinds ...rollouts.Kind) {
	t.Helper()
	definition, err := r.StandIn(kinds...)
	require.NoError(t, err)
	_, err = a.client.UpdateStateMachine(t.Context(), &sfn.UpdateStateMachineInput{StateMachineArn: aws.String(a.stack.StateMachineARN(workflow)), Definition: &definition})
	require.NoError(t, err)
}

// alarms makes the alarms of the gates, whose names no other scenario has.
func (a *applier) alarms(t *testing.T, r rollouts.Rollout) {
	t.Helper()
	shell := newShell(t, local.ControlPlane.Kubeconfig)
	for n, w := range r.Waves {
		for i := range w.Gate.Alarms {
			alarm := &w.Gate.Alarms[i]
			alarm.Name = fmt.Sprintf("%s-%s-%d-%d", alarm.Name, a.stack.Name, r.Seed, n)
			if alarm.State == "" {
				continue
			}
			_, _, err := shell.run(t, nil, "aws", "cloudwatch", "put-metric-alarm", "--alarm-name", alarm.Name, "--namespace", "shop", "--metric-name", "Errors",
				"--statistic", "Sum", "--period", "60", "--evaluation-periods", "1", "--threshold", "1", "--comparison-operator", "GreaterThanThreshold")
			require.NoError(t, err)
			_, _, err = shell.run(t, nil, "aws", "cloudwatch", "set-alarm-state", "--alarm-name", alarm.Name, "--state-value", alarm.State, "--state-reason", "a test")
			require.NoError(t, err)
		}
	}
}

// newest is the version of the manifests that a rollout applies.
func (a *applier) newest(t *testing.T, bucket string) string {
	t.Helper()
	developer, err := local.Developer()
	require.NoError(t, err)
	client := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	out, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("base.yaml")})
	require.NoError(t, err)
	return *out.VersionId
}

// decides answers each approval that an execution asks for, until it has ended.
func (a *applier) decides(t *testing.T, execution string, r rollouts.Rollout) follow.Execution {
	t.Helper()
	asked := map[string]bool{}
	for {
		described, err := a.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution})
		require.NoError(t, err)
		if described.Status != types.ExecutionStatusRunning {
			return a.ended(t, execution)
		}
		waits, err := approval.Find(t.Context(), a.client, execution)
		require.NoError(t, err)
		if waits == nil || asked[waits.Digest()] {
			time.Sleep(250 * time.Millisecond)
			continue
		}
		asked[waits.Digest()] = true
		answer := r.First
		for _, w := range r.Waves {
			if w.Name == waits.Rollout.Wave {
				answer = w.Gate.Approval
			}
		}
		in := applymanifests.ApprovePlan{Execution: execution, Digest: waits.Digest(), By: "ada"}
		switch {
		case answer.Answer == rollouts.Forges:
			forged, err := json.Marshal(contract.Decision{Digest: waits.Digest(), By: "eve", Approved: true, Seal: "Zm9yZ2Vk"})
			require.NoError(t, err)
			_, err = a.client.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: &waits.Token, Output: aws.String(string(forged))})
			require.NoError(t, err)
			continue
		case answer.Answer == rollouts.Rejects:
			in.Reject, in.Reason = true, "not on a Friday"
		}
		require.Empty(t, a.decide(t, in))
	}
}

// The same rollouts, and the same fate of each cluster, on the engine that we did not write, with the functions as they are deployed, and in
// the proof of test/rollouts.
func TestBothEnginesTellTheSameOfARollout(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	source, former := a.twoVersions(t, "{}", "kind: List")
	a.set(t, map[string]string{"EnableJobs": "true", "FleetWorkflows": "pod-inventory,apply-manifests,run-job", "JobsKubernetesGroup": "runners-" + a.stack.Name})
	text, err := os.ReadFile(filepath.Join(repository, "statemachine", "fleet.asl.json"))
	require.NoError(t, err)
	machine, err := asl.Read(text)
	require.NoError(t, err)
	ends := map[string]int{}
	seeds := []uint64{0, 2, 6, 7, 9, 11, 12, 14, 15, 17, 19, 20}
	for _, seed := range seeds {
		r := rollouts.Small(seed)
		r.Reports, r.Sources = a.scenario.bucket(), fmt.Sprint(source["bucket"])
		r.Former, r.Newest = former, a.newest(t, r.Sources)
		a.alarms(t, r)
		a.standIn(t, "apply-manifests", r, rollouts.Change, rollouts.Rollback)
		a.standIn(t, "run-job", r, rollouts.Job)
		var proof *rollouts.World
		synctest.Test(t, func(t *testing.T) {
			proof, err = rollouts.NewWorld(machine, r)
			require.NoError(t, err)
			proof.Run(t.Context())
		})
		require.Empty(t, rollouts.Judge(proof))
		want, err := proof.Tell()
		require.NoError(t, err)

		e := a.decides(t, a.begin(t, r.Input()), r)

		fleet := contract.ExecutionARN(e.ARN).Name()
		names := map[string][]string{}
		for _, workflow := range []string{"apply-manifests", "run-job"} {
			for pages := sfn.NewListExecutionsPaginator(a.client, &sfn.ListExecutionsInput{StateMachineArn: aws.String(a.stack.StateMachineARN(workflow))}); pages.HasMorePages(); {
				page, err := pages.NextPage(t.Context())
				require.NoError(t, err)
				for _, one := range page.Executions {
					if strings.HasPrefix(*one.Name, fleet[:24]) {
						names[workflow] = append(names[workflow], *one.Name)
					}
				}
			}
		}
		got, err := rollouts.Tell(e.Error, []byte(a.object(t, "rollouts/"+folder(e)+"report.json")), names)
		require.NoError(t, err)
		assert.Equal(t, want, got, "seed %d: %s", seed, e.Cause)
		ends[e.Error]++
	}
	t.Logf("%d rollouts ended the same in both: %v", len(seeds), ends)
	assert.Len(t, ends, 3, "well, as RolloutFailed, and as RollbackFailed")
}
