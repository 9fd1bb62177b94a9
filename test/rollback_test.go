package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
)

// twoVersions puts two versions of manifests into S3, one after the other, and returns where they
// are, and the id of the first.
func (a *applier) twoVersions(t *testing.T, former, manifests string) (source map[string]any, first string) {
	t.Helper()
	manifestBucket := a.scenario.bucket() + "-manifests"
	for _, bucket := range []string{a.scenario.bucket(), manifestBucket} {
		require.NoError(t, local.CreateBucket(t.Context(), bucket))
	}
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket(), "ManifestBucket": manifestBucket})
	developer, err := local.Developer()
	require.NoError(t, err)
	client := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &manifestBucket, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	})
	require.NoError(t, err)
	for _, text := range []string{former, manifests} {
		out, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &manifestBucket, Key: aws.String("base.yaml"), Body: strings.NewReader(text)})
		require.NoError(t, err)
		if first == "" {
			first = *out.VersionId
		}
	}
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &manifestBucket, Key: aws.String("never.yaml"), Body: strings.NewReader(never)})
	require.NoError(t, err)
	return map[string]any{"bucket": manifestBucket, "key": "base.yaml"}, first
}

// listed is a round of a fleet whose lists are in S3.
var listed = path("WhereClustersAre", "RunListedClusters", "Summarize", "Verdict")

func TestARolloutThatFailsIsRolledBackWhereItChangedSomething(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	source, first := a.twoVersions(t, configMap("of-a-rollback", "1"), configMap("of-a-rollback", "2")+configMap("added", "2"))
	clusters := a.clusters(t, 2)
	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": append(clusters, "retired"), "output": map[string]string{"bucket": a.scenario.bucket()},
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "source": source}, "onFailure": "rollback", "rollback": map[string]any{"versionId": first},
		"waves": []any{map[string]any{"name": "canary", "clusters": clusters[:1]}, map[string]any{"name": "rest", "percentage": 100}},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "Wave rest stopped the rollout: 1 of its 2 clusters failed, and none may fail: 1 ClusterNotFound. Nothing is changed any more, but for objects that only the new version has: they stay, because the request has no set and prune: 1 cluster was rolled back.")
	assert.Equal(t, path("FindClusters", listed, listed, "RollBack", listed, "RolloutFailed"), e.Path)
	assert.Equal(t, 4, a.started(t), "three of the rollout, and the canary's rollback: the second one found nothing to change")
	for name, want := range map[string]string{"of-a-rollback": "1", "added": "2"} {
		live, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, want, live.Data["a"], name)
	}
	assert.Contains(t, a.object(t, folder(e)+"report.html"), "Rolled back: 1 cluster. None of them is changed any more.")
	assert.Contains(t, a.object(t, folder(e)+"report.csv"), ",rollback,rollbackError")

	again := a.redrive(t, e.ARN)
	assert.Equal(t, fleet.RolloutFailed, again.Error)
	assert.Equal(t, 4, a.started(t), "a redrive repeats nothing")
}

func TestARollbackOfASetDeletesWhatTheNewVersionAddedAndBringsBackWhatItRemoved(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	source, first := a.twoVersions(t, configMap("kept", "1")+configMap("removed", "1"), configMap("kept", "2")+configMap("added", "2"))
	clusters := a.clusters(t, 2)
	former := map[string]any{"bucket": source["bucket"], "key": source["key"], "versionId": first}
	request := func(source map[string]any) map[string]any {
		return map[string]any{"mode": "apply", "namespace": a.namespace, "set": "base", "prune": true, "source": source}
	}
	fleetOutput(t, a.fleet(t, map[string]any{"workflow": "apply-manifests", "clusters": clusters[:1], "request": request(former)}))

	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": append(clusters, "retired"), "output": map[string]string{"bucket": a.scenario.bucket()},
		"request": request(source), "onFailure": "rollback", "rollback": map[string]any{"versionId": first},
		"waves": []any{map[string]any{"name": "canary", "clusters": clusters[:1]}, map[string]any{"name": "rest", "percentage": 100}},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "Wave rest stopped the rollout: 1 of its 2 clusters failed, and none may fail: 1 ClusterNotFound. Nothing is changed any more: 1 cluster was rolled back.")
	assert.Equal(t, path("FindClusters", listed, listed, "RollBack", listed, "RolloutFailed"), e.Path)
	assert.Equal(t, 1+3+1, a.started(t))
	var report struct {
		Outcomes []fleet.Outcome `json:"outcomes"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.object(t, folder(e)+"report.json")), &report))
	changed := 0
	for _, o := range report.Outcomes {
		if o.Rollback == nil {
			continue
		}
		changed++
		assert.Equal(t, map[string]int{"created": 1, "configured": 1, "pruned": 1, "applied": 2}, map[string]int{"created": o.Totals["created"], "configured": o.Totals["configured"], "pruned": o.Totals["pruned"], "applied": o.Totals["applied"]}, "the canary had the new version")
		assert.Equal(t, fleet.StatusSucceeded, o.Rollback.Status)
	}
	assert.Equal(t, 1, changed)
	for _, name := range []string{"kept", "removed"} {
		live, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err, name)
		assert.Equal(t, "1", live.Data["a"], name)
	}
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "added", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
}

func TestARollbackThatFailsHasAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	source, _ := a.twoVersions(t, configMap("of-a-rollback", "1"), configMap("of-a-rollback", "2"))
	clusters := a.clusters(t, 1)
	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": append(clusters, "retired"), "output": map[string]string{"bucket": a.scenario.bucket()}, "concurrency": 2,
		"request":   map[string]any{"mode": "apply", "namespace": a.namespace, "source": source, "wait": map[string]int{"timeoutSeconds": 2}},
		"onFailure": "rollback", "rollback": map[string]any{"source": map[string]any{"bucket": source["bucket"], "key": "never.yaml"}},
		"waves": []any{map[string]any{"name": "all", "percentage": 100}},
	})

	assert.Equal(t, fleet.RollbackFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "These clusters are changed, or may be: demo (NotReady). s3://"+a.scenario.bucket()+"/"+folder(e)+"changed.jsonl lists them. 0 of 1 were rolled back.")
	assert.Equal(t, path("FindClusters", listed, "RollBack", listed, "RollbackFailed"), e.Path)
	assert.Contains(t, a.object(t, folder(e)+"changed.jsonl"), `"clusterName":"demo"`)
	var report struct {
		Report fleet.Report `json:"report"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.object(t, folder(e)+"report.json")), &report))
	assert.Contains(t, report.Report.RollBack, "never.yaml")
}

func TestAClusterThatWasChangedSinceThePlanIsLeftOut(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	clusters := a.clusters(t, 1)
	run := func(more map[string]any) follow.Execution {
		request := map[string]any{"namespace": a.namespace, "manifests": configMap("of-a-plan", "1")}
		for key, value := range more {
			request[key] = value
		}
		return a.fleet(t, map[string]any{"workflow": "apply-manifests", "clusters": clusters, "request": request, "output": map[string]string{"bucket": a.scenario.bucket()}, "requireSamePlan": more["effect"] != nil})
	}
	effect := fleetOutput(t, run(nil)).Summary.Effects[0].Digest
	mine := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "of-a-plan"}, Data: map[string]string{"b": "of somebody else"}}
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Create(t.Context(), mine, metav1.CreateOptions{})
	require.NoError(t, err)

	e := run(map[string]any{"mode": "apply", "effect": effect})

	output := fleetOutput(t, e)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusLeftOut: 1}, output.Summary.ByStatus)
	assert.Equal(t, "PlanChanged", output.Outcomes[0].Error)
	assert.Contains(t, output.Outcomes[0].Cause, "the effect "+effect+" that the request allows")
	assert.Contains(t, a.object(t, output.Summary.Report.Differs), `"clusterName":"demo"`)
	assert.Contains(t, a.object(t, output.Summary.Report.HTML), "0 of 1 cluster succeeded, 1 left out")
	live, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "of-a-plan", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"b": "of somebody else"}, live.Data, "nothing was applied")

	now := fleetOutput(t, run(nil)).Summary.Effects[0].Digest
	assert.NotEqual(t, effect, now)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 1}, fleetOutput(t, run(map[string]any{"mode": "apply", "effect": now})).Summary.ByStatus)
	live, err = admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "of-a-plan", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "1", "b": "of somebody else"}, live.Data)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 1}, fleetOutput(t, run(map[string]any{"mode": "apply", "effect": effect})).Summary.ByStatus, "nothing is left to do")
}

func TestARolloutWhoseCanaryIsLeftOutBeginsNoOtherWave(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	clusters := a.clusters(t, 2)

	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": clusters, "output": map[string]string{"bucket": a.scenario.bucket()}, "requireSamePlan": true,
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-plan", "1"), "effect": "AAAAAAAAAAAA"},
		"waves":   []any{map[string]any{"name": "canary", "clusters": clusters[:1]}, map[string]any{"name": "rest", "percentage": 100}},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "Wave canary stopped the rollout: no cluster of wave canary succeeded, so it tested nothing: 1 cluster was left out, where the plan is another one than the effect of the request. No cluster is changed. 1 cluster was not started")
	assert.Contains(t, e.Cause, "plan again, and take the digest of now as the effect. Or put a cluster into wave canary that still has the plan.")
	assert.Equal(t, path("FindClusters", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "RolloutFailed"), e.Path)
	assert.Equal(t, 1, a.started(t))
	assert.Contains(t, a.object(t, folder(e)+"differs.jsonl"), `"wave":"canary"`)
}

// rolloutOfASet is a rollout of a set to clusters in a wave each, which soaks after the first two.
func (a *applier) rolloutOfASet(clusters []any, set string, soak int) map[string]any {
	var waves []any
	for i, cluster := range clusters {
		wave := map[string]any{"name": fmt.Sprintf("w%d", i), "clusters": []any{cluster}}
		if i < 2 {
			wave["gate"] = map[string]int{"soakSeconds": soak}
		}
		waves = append(waves, wave)
	}
	return map[string]any{
		"workflow": "apply-manifests", "clusters": clusters, "waves": waves,
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "set": set, "manifests": configMap("of-"+set, "1")},
	}
}

func TestASecondRolloutOfASetIsRefusedWhileOneRuns(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	clusters := a.clusters(t, 3)
	first := a.begin(t, a.rolloutOfASet(clusters[:2], "base", 90)) // longer than what follows takes
	a.reachesState(t, first, "Soak")

	refused := a.fleet(t, a.rolloutOfASet(clusters[2:], "base", 1))

	stopped(t, refused, contract.SetInUse, "Another rollout of set "+a.namespace+"/base runs, so nothing was started: "+first)
	assert.Equal(t, path("FindClusters", "Explain", "Failed"), refused.Path)
	assert.Equal(t, 1, a.started(t))
	fleetOutput(t, a.fleet(t, a.rolloutOfASet(clusters[2:], "other", 1)))

	_, err := a.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &first})
	require.NoError(t, err)
	a.reaches(t, first, types.ExecutionStatusAborted)
	fleetOutput(t, a.fleet(t, a.rolloutOfASet(clusters[2:], "base", 1)))
	assert.Equal(t, 3, a.started(t))

	again := a.redrive(t, first)
	assert.Equal(t, fleet.RolloutFailed, again.Error, again.Cause)
	assert.Contains(t, again.Cause, "Wave w0 stopped the rollout: another rollout of set "+a.namespace+"/base began before this one went on: ")
	assert.Equal(t, 3, a.started(t), "nothing began")
}

func TestARolloutThatIsRedrivenRepeatsNothing(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	started := a.begin(t, a.rolloutOfASet(a.clusters(t, 3), "base", 5))
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, 2, a.started(t)) }, time.Minute, 250*time.Millisecond)
	_, err := a.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &started})
	require.NoError(t, err)
	a.reaches(t, started, types.ExecutionStatusAborted)

	e := a.redrive(t, started)

	output := fleetOutput(t, e)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 3}, output.Summary.ByStatus, "the lock is still its own")
	assert.Equal(t, 3, a.started(t), "one for each cluster")
}

func TestARolloutThatContinuesTellsEachWaveThatFailed(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	clusters := a.clusters(t, 1)
	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": append(clusters, "retired"), "onFailure": "continue",
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves":   []any{map[string]any{"name": "canary", "clusters": []string{"retired"}}, map[string]any{"name": "rest", "percentage": 100}},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "The rollout went on although these failed: 1 of the 1 cluster of wave canary, of which none may fail: 1 ClusterNotFound. 1 cluster is changed, or may be: demo.")
	round := path("WhereClustersAre", "RunClusters", "Summarize", "Verdict")
	assert.Equal(t, path("FindClusters", round, round, "RolloutFailed"), e.Path)
	assert.Equal(t, 2, a.started(t), "one in each wave")
}
