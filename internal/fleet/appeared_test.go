package fleet_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
)

// listed is a rollout to the clusters of a Region that have a tag.
const listed = `{"workflow":"apply-manifests","output":{"bucket":"reports"},"regions":["eu-west-1"],"tags":{"stage":"prod"},"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100}]}`

func tagged(names ...string) map[string]map[string]string {
	all := map[string]map[string]string{"other": {"stage": "test"}}
	for _, name := range names {
		all[name] = map[string]string{"stage": "prod"}
	}
	return all
}

// lookAgain returns what find-clusters returns of a fleet that ends.
func lookAgain(t *testing.T, eksAPI *fakeEKS, s3 *fakeS3, input string, f contractfleet.Fleet, run contractfleet.Run) contractfleet.Run {
	t.Helper()
	found, err := rollout(eksAPI, s3).Find(t.Context(), contractfleet.FindClusters{Execution: execution, StartedAt: start, Input: json.RawMessage(input), Fleet: f, Run: run})
	require.NoError(t, err)
	assert.Equal(t, f, found.Fleet, "it is what it was, however many clusters there are now")
	return found.Run
}

func TestAClusterThatAppearedDuringARolloutIsNamed(t *testing.T) {
	for sentence, c := range map[string]struct {
		later    *fakeEKS
		appeared contractfleet.Appeared
	}{
		"by name, with the tags of the fleet": {&fakeEKS{clusters: map[string]map[string]map[string]string{"eu-west-1 ": tagged("a", "b", "new")}}, contractfleet.Appeared{Clusters: 1, Names: []string{"new"}}},
		"the first of many":                   {&fakeEKS{clusters: map[string]map[string]map[string]string{"eu-west-1 ": tagged("a", "b", "n1", "n2", "n3", "n4", "n5", "n6", "n7")}}, contractfleet.Appeared{Clusters: 7, Names: []string{"n1", "n2", "n3", "n4", "n5"}}},
		"none, if one has gone":               {&fakeEKS{clusters: map[string]map[string]map[string]string{"eu-west-1 ": tagged("a")}}, contractfleet.Appeared{Names: []string{}}},
		"or it is told why nobody knows":      {&fakeEKS{errs: map[string]error{"eu-west-1 ": apiError("AccessDeniedException")}}, contractfleet.Appeared{Names: []string{}, Failure: "eks:ListClusters in eu-west-1"}},
	} {
		for _, stops := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stopped %t", sentence, stops), func(t *testing.T) {
				s3 := &fakeS3{}
				found, err := find(t, rollout(&fakeEKS{clusters: map[string]map[string]map[string]string{"eu-west-1 ": tagged("a", "b")}}, s3), listed)
				require.NoError(t, err)
				require.True(t, found.Fleet.Lists)
				last := ran(found.Run)
				if stops {
					last.Clusters[0].Status, last.Clusters[0].Error = contractfleet.StatusFailed, "NotReady"
				} else {
					last = ran(summarize(t, s3, found.Fleet, last, time.Minute))
				}

				ending := summarize(t, s3, found.Fleet, last, 2*time.Minute)
				require.Equal(t, contractfleet.VerdictLookAgain, ending.Verdict)
				assert.NotContains(t, s3.objects, "reports/"+folder+"report.html", "the report comes after")
				again := lookAgain(t, c.later, s3, listed, found.Fleet, ending)
				ended := ran(again)
				ended.Ending = again.Ending
				done := summarize(t, s3, found.Fleet, ended, 3*time.Minute)

				appeared := *done.Summary.Appeared
				if c.appeared.Failure != "" {
					assert.Contains(t, appeared.Failure, c.appeared.Failure)
					appeared.Failure = c.appeared.Failure
				}
				assert.Equal(t, c.appeared, appeared)
				page := s3.objects["reports/"+folder+"report.html"]
				assert.Equal(t, c.appeared.Clusters > 0 || c.appeared.Failure != "", strings.Contains(page, "since the fleet began"))
				if stops {
					assert.Equal(t, contractfleet.VerdictRolloutFailed, done.Verdict)
					assert.Contains(t, done.Cause, "Wave canary stopped the rollout: 1 of its 1 cluster failed, and none may fail: 1 NotReady. 1 cluster is changed, or may be: a. 1 cluster was not started")
					return
				}
				assert.Equal(t, contractfleet.VerdictTolerable, done.Verdict)
				assert.Len(t, done.Outcomes, 2)
			})
		}
	}
}

func TestOnlyARolloutThatListedItsClustersLooksAgain(t *testing.T) {
	eksAPI := &fakeEKS{clusters: map[string]map[string]map[string]string{"eu-west-1 ": tagged("a", "b")}}
	withoutWaves, _, _ := strings.Cut(listed, `,"waves"`)
	for sentence, input := range map[string]string{
		"a list is what it is":      strings.Replace(listed, `"regions":["eu-west-1"],"tags":{"stage":"prod"}`, `"clusters":["a","b"]`, 1),
		"a plan changes nothing":    strings.Replace(listed, "apply-manifests", "pod-inventory", 1),
		"a fleet has no waves":      withoutWaves + "}",
		"there is no report for it": strings.Replace(listed, `"output":{"bucket":"reports"},`, "", 1),
	} {
		t.Run(sentence, func(t *testing.T) {
			found, err := find(t, rollout(eksAPI, &fakeS3{}), input)
			require.NoError(t, err)
			assert.False(t, found.Fleet.Lists)
		})
	}
}

func TestALargeRolloutThatLooksAgainKeepsItsOutcomes(t *testing.T) {
	s3 := &fakeS3{}
	role := "arn:aws:iam::444455556666:role/" + strings.Repeat("path/", 60) + "name"
	eksAPI := &fakeEKS{clusters: map[string]map[string]map[string]string{"eu-west-1 " + role: tagged("a", "b", "c")}}
	input := strings.Replace(listed, `"regions":["eu-west-1"]`, `"regions":["eu-west-1"],"roleArns":["`+role+`"]`, 1)
	found, err := find(t, rollout(eksAPI, s3), input)
	require.NoError(t, err)
	require.True(t, found.Fleet.InS3)
	for i, c := range clusters(t, s3, folder+"clusters.json") {
		if i == 2 {
			continue // it has not begun
		}
		o := well(c.Target.ClusterName, 1)
		o.Target, o.Wave = c.Target, c.Wave
		if i == 1 { // and was not tried again, because too little time is left
			o.Status, o.Error = contractfleet.StatusFailed, "Throttled"
		}
		put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", o)
	}
	put(t, s3, "reports/"+folder+"clusters-2.json", clusters(t, s3, folder+"clusters.json")[1:2])
	last := contractfleet.Ran{Round: 2, Attempt: 1, Size: 1, List: folder + "clusters-2.json", Begun: 2, Waves: found.Run.Waves, Wave: 2}

	ending := summarize(t, s3, found.Fleet, last, 23*time.Hour)
	require.Equal(t, contractfleet.VerdictLookAgain, ending.Verdict)
	ended := ran(ending)
	ended.Ending = ending.Ending
	done := summarize(t, s3, found.Fleet, ended, 23*time.Hour)

	assert.Equal(t, map[contractfleet.Status]int{"SUCCEEDED": 1, "FAILED": 1, "NOT_STARTED": 1}, done.Summary.ByStatus)
	assert.Equal(t, "Throttled", done.Summary.Failures[0].Error)
}
