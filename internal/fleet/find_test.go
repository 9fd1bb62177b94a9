package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

const (
	execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly"
	folder    = "111122223333/eu-west-1/kubestep-fleet/nightly/"
	theirs    = "arn:aws:iam::444455556666:role/kubestep-member"
)

// fakeEKS has clusters, with their tags, by "REGION ROLE".
type fakeEKS struct {
	mu       sync.Mutex
	clusters map[string]map[string]map[string]string
	errs     map[string]error // by "REGION ROLE"
	calls    []string
}

// place is a Region that is called with a role.
type place struct {
	*fakeEKS
	at string
}

func (p place) call(operation string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, operation+" "+p.at)
	return p.errs[p.at]
}

// ListClusters has pages of two.
func (p place) ListClusters(_ context.Context, in *eks.ListClustersInput, _ ...func(*eks.Options)) (*eks.ListClustersOutput, error) {
	if err := p.call("list"); err != nil {
		return nil, err
	}
	names := sorted(p.clusters[p.at])
	from := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &from)
	}
	to := min(from+2, len(names))
	out := &eks.ListClustersOutput{Clusters: names[from:to]}
	if to < len(names) {
		out.NextToken = aws.String(fmt.Sprint(to))
	}
	return out, nil
}

func (p place) DescribeCluster(_ context.Context, in *eks.DescribeClusterInput, _ ...func(*eks.Options)) (*eks.DescribeClusterOutput, error) {
	if err := p.call("describe"); err != nil {
		return nil, err
	}
	tags := p.clusters[p.at][*in.Name]
	if tags["gone"] != "" {
		return nil, &types.ResourceNotFoundException{}
	}
	return &eks.DescribeClusterOutput{Cluster: &types.Cluster{Tags: tags}}, nil
}

// ask reads a request with one field, as a workflow does.
func ask(f *input.Fields) (any, []contract.Check) {
	request := struct {
		Namespaces []string `json:"namespaces"`
	}{[]string{"default"}}
	f.Strings("namespaces", &request.Namespaces)
	if len(request.Namespaces) == 0 {
		f.Problem("namespaces", "empty")
	}
	return request, nil
}

func finder(eksAPI *fakeEKS, s3 *fakeS3) fleet.Finder {
	return fleet.Finder{
		Now: func() time.Time { return start },
		EKS: func(region, roleARN, by string) fleet.EKS {
			if by != execution {
				panic("the role is assumed for another execution")
			}
			return place{eksAPI, region + " " + roleARN}
		},
		Store: fleet.Store{S3: s3}, Defaults: contract.Target{Region: "eu-west-1"},
		Workflows: map[string]fleet.Workflow{
			"pod-inventory":   {Read: ask, StateMachineARN: "arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-pod-inventory:live"},
			"apply-manifests": {Read: ask, Workflow: workflow.Workflow{FleetParameters: "FleetWorkflows=all"}},
		},
	}
}

func find(t *testing.T, d fleet.Finder, text string) (contractfleet.FoundClusters, error) {
	t.Helper()
	return d.Find(t.Context(), contractfleet.FindClusters{Execution: execution, StartedAt: start, Input: json.RawMessage(text)})
}

func targets(found contractfleet.FoundClusters) []contract.Target {
	var all []contract.Target
	for _, c := range found.Run.Clusters {
		all = append(all, c.Target)
	}
	return all
}

func TestAFleetHasWhatTheStatesNeed(t *testing.T) {
	got, err := find(t, finder(nil, nil), `{"workflow":"pod-inventory","clusters":["demo"],"request":{"namespaces":["shop"]},"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"above"}`)

	require.NoError(t, err)
	require.Len(t, got.Fleet.Digest, 12)
	require.Len(t, got.Fleet.Own, 12)
	require.Len(t, got.Fleet.Frozen, 24)
	assert.Equal(t, contractfleet.Fleet{
		Digest: got.Fleet.Digest, Own: got.Fleet.Own, Frozen: got.Fleet.Frozen,
		Name: "nightly", Execution: execution, StartedAt: start, Workflow: "pod-inventory",
		StateMachineARN: "arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-pod-inventory:live",
		Executions:      "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory",
		Clusters:        1, Concurrency: 40, OnFailure: contractfleet.OnFailureStop,
	}, got.Fleet)
	assert.JSONEq(t, `{"namespaces":["shop"],"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"`+execution+`"}`, string(got.Request), "as it was given, and tied to the fleet in the console")
	assert.Equal(t, 1, got.Run.Attempt)
	assert.Equal(t, []contractfleet.Cluster{{Target: demo, Attempt: 1, Execution: fleet.ExecutionName(got.Fleet, demo, 1)}}, got.Run.Clusters)

	named, err := find(t, finder(nil, nil), `{"workflow":"pod-inventory","clusters":["demo"],"name":"weekly"}`)
	require.NoError(t, err)
	again, err := finder(nil, nil).Find(t.Context(), contractfleet.FindClusters{
		Execution: execution + "-2", StartedAt: start, Input: json.RawMessage(`{"name":"weekly","clusters":["demo"],"request":{},"workflow":"pod-inventory"}`),
	})
	require.NoError(t, err)
	assert.Equal(t, named.Run.Clusters, again.Run.Clusters, "the same name and request have the same executions")
	assert.NotEqual(t, named.Fleet.Own, again.Fleet.Own)
}

func TestTheClustersOfAList(t *testing.T) {
	s3 := &fakeS3{objects: map[string]string{
		"lists/all.jsonl": `"demo"` + "\n\n" + `{"clusterName":"shop","region":"us-east-1","roleArn":"` + theirs + `"}` + "\n",
		"lists/all.csv":   "\xef\xbb\xbfregion,clusterName,roleArn\n,demo,\nus-east-1, shop ," + theirs + "\n",
	}}
	want := []contract.Target{demo, {ClusterName: "shop", Region: "us-east-1", RoleARN: theirs}}
	for sentence, text := range map[string]string{
		"are names and objects":    `"clusters":["demo",{"clusterName":"shop","region":"us-east-1","roleArn":"` + theirs + `"}]`,
		"are ARNs of this account": `"clusters":["arn:aws:eks:eu-west-1:111122223333:cluster/demo",{"clusterName":"shop","region":"us-east-1","roleArn":"` + theirs + `"}]`,
		"are lines of JSON in S3":  `"source":{"bucket":"lists","key":"all.jsonl"}`,
		"are a CSV file in S3":     `"source":{"bucket":"lists","key":"all.csv"}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := find(t, finder(nil, s3), `{"workflow":"pod-inventory",`+text+`}`)
			require.NoError(t, err)
			assert.Equal(t, want, targets(got))
		})
	}
}

func TestClustersOfOneNameInOtherAccountsAndRegionsAreOthers(t *testing.T) {
	got, err := find(t, finder(nil, nil), `{"workflow":"pod-inventory","clusters":["demo",{"clusterName":"demo","roleArn":"`+theirs+`"},{"clusterName":"demo","region":"us-east-1"},{"clusterName":"demo","roleArn":"arn:aws:iam::777788889999:role/kubestep-member"}]}`)
	require.NoError(t, err)
	assert.Len(t, got.Run.Clusters, 4)
}

func TestTheClustersThatThereAre(t *testing.T) {
	production := map[string]string{"environment": "production", "team": "web"}
	fake := &fakeEKS{clusters: map[string]map[string]map[string]string{
		"eu-west-1 ":          {"e": production, "d": nil, "c": {"environment": "test"}, "b": nil, "a": production},
		"us-east-1 ":          {"a": production},
		"eu-west-1 " + theirs: {"a": production, "z": {"gone": "since"}},
	}}
	for sentence, c := range map[string]struct {
		input string
		want  []string
	}{
		"are all, page by page":                 {`"regions":["eu-west-1"]`, []string{"a", "b", "c", "d", "e"}},
		"are those of each Region and role":     {`"regions":["eu-west-1","us-east-1"],"roleArns":["` + theirs + `"]`, []string{"a theirs", "z theirs"}},
		"are those of the function's Region":    {`"roleArns":["` + theirs + `"]`, []string{"a theirs", "z theirs"}},
		"are those with all the tags":           {`"tags":{"environment":"production","team":"web"}`, []string{"a", "e"}},
		"are not those that are gone meanwhile": {`"roleArns":["` + theirs + `"],"tags":{"team":"web"}`, []string{"a theirs"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := find(t, finder(fake, nil), `{"workflow":"pod-inventory",`+c.input+`}`)
			require.NoError(t, err)
			var names []string
			for _, target := range targets(got) {
				name := target.ClusterName
				if target.RoleARN != "" {
					name += " theirs"
				}
				names = append(names, name)
			}
			assert.Equal(t, c.want, names)
		})
	}

	_, err := find(t, finder(fake, nil), `{"workflow":"pod-inventory","regions":["ap-south-1","eu-west-1"],"tags":{"team":"none"}}`)
	named(t, err, contract.InvalidInput, "clusters: none was found: EKS has none in ap-south-1, eu-west-1 with those tags")
	fake.errs = map[string]error{"eu-west-1 " + theirs: apiError("AccessDeniedException")}
	_, err = find(t, finder(fake, nil), `{"workflow":"pod-inventory","roleArns":["`+theirs+`"]}`)
	named(t, err, contract.AccessDenied, "eks:ListClusters in eu-west-1 as "+theirs)
}

func TestEveryProblemIsNamedAtOnceAndNothingIsCalled(t *testing.T) {
	for sentence, c := range map[string]struct {
		input string
		want  []string
	}{
		"each with its field": {
			`{"workflow":"pod-inventory","clusters":["a b",{"clusterName":"c","regoin":"x"},7,"demo","demo","arn:aws:eks:eu-west-1:444455556666:cluster/theirs","arn:aws:s3:::b"],
			  "request":{"namespaces":[],"name":1},"name":"a/b","concurrency":0,"toleratedFailures":{"percentage":101},"output":{"prefix":"a"},"tolerate":1}`,
			[]string{
				"13 problems", `clusters[0]: "a b" is not a valid EKS cluster name`, `clusters[1]."regoin": unknown key: expected "region"?`, "clusters[2]: expected a name, an ARN, or an object", "clusters[4]: repeats clusters[3]",
				`clusters[5]: "arn:aws:eks:eu-west-1:444455556666:cluster/theirs" is in account "444455556666" and this stack in 111122223333: expected an object with the roleArn`, "clusters[6]: ",
				"request.namespaces: empty", `request."name": unknown key`, `name: "a/b" is not a valid name`, "concurrency: 0: expected 1 to 1000", "toleratedFailures.percentage: 101: expected 0 to 100", "output.bucket: missing", `"tolerate": unknown key`,
			},
		},
		"with what is missing":                  {`{}`, []string{"2 problems", "workflow: missing: expected apply-manifests or pod-inventory", "clusters: missing: expected clusters, source, or regions"}},
		"with the workflows there are":          {`{"workflow":"pods","clusters":["a"],"request":{"x":1}}`, []string{"1 problem. workflow: \"pods\": expected apply-manifests or pod-inventory"}},
		"with one that the stack does not have": {`{"workflow":"apply-manifests","clusters":["a"],"request":{"x":1}}`, []string{"1 problem. workflow: the fleets of this stack may not start apply-manifests: deploy the stack with FleetWorkflows=all"}},
		"with two ways to say which":            {`{"workflow":"pod-inventory","clusters":["a"],"tags":{"a":"b"}}`, []string{"clusters: give only one of these: clusters, or regions and roleArns"}},
		"with an empty list":                    {`{"workflow":"pod-inventory","clusters":[]}`, []string{"clusters: empty"}},
		"with Regions and roles":                {`{"workflow":"pod-inventory","regions":["Ireland"],"roleArns":["me"],"tags":{"a":1}}`, []string{"3 problems", "regions[0]: ", "roleArns[0]: ", "tags: expected an object of strings"}},
		"with both kinds of tolerance":          {`{"workflow":"pod-inventory","clusters":["a"],"toleratedFailures":{"percentage":1,"count":1}}`, []string{"toleratedFailures.count: expected percentage or count, not both"}},
		"with a source that is not a file":      {`{"workflow":"pod-inventory","source":{"bucket":"B"}}`, []string{"2 problems", `source.bucket: "B" is not a valid S3 bucket name`, "source.key: "}},
		"with more than the state can carry and no place for it": {
			`{"workflow":"pod-inventory","clusters":[` + strings.TrimSuffix(list(501), ",") + `]}`,
			[]string{"1 problem. output: missing: 501 clusters are more than an execution can carry, so their outcomes need an S3 bucket"},
		},
		"with a role too long for the state and no place for it": {
			`{"workflow":"pod-inventory","clusters":[{"clusterName":"demo","roleArn":"arn:aws:iam::444455556666:role/` + strings.Repeat("path/", 60) + `name"}]}`,
			[]string{"1 problem. output: missing: their roles have longer ARNs than an execution can carry, so their outcomes need an S3 bucket"},
		},
		"with a role of another partition": {`{"workflow":"pod-inventory","clusters":[{"clusterName":"demo","roleArn":"arn:aws-cn:iam::444455556666:role/a"},"arn:aws-us-gov:eks:us-gov-west-1:111122223333:cluster/demo"]}`, []string{"2 problems", `clusters[0]: "arn:aws-cn:iam::444455556666:role/a" is in another partition than this stack, which is in aws`, "clusters[1]: "}},
		"with two roles of one account":    {`{"workflow":"pod-inventory","roleArns":["` + theirs + `","arn:aws:iam::444455556666:role/other"]}`, []string{"1 problem. roleArns[1]: is in the account of roleArns[0]: expected one role for each account"}},
		"with a cluster twice, as another role of its account": {
			`{"workflow":"pod-inventory","clusters":["demo",{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:role/own"},{"clusterName":"shop","roleArn":"` + theirs + `"},{"clusterName":"shop","roleArn":"arn:aws:iam::444455556666:role/a/path/other"},
			  "arn:aws:eks:us-east-1:111122223333:cluster/far",{"clusterName":"far","region":"us-east-1","roleArn":"arn:aws:iam::111122223333:role/own"}]}`,
			[]string{"3 problems", "clusters[1]: repeats clusters[0]", "clusters[3]: repeats clusters[2]", "clusters[5]: repeats clusters[4]"},
		},
		"with a tag that is null":                {`{"workflow":"pod-inventory","tags":{"env":null}}`, []string{`1 problem. tags: expected an object of strings, such as {"environment": "production"}`}},
		"with tags that are no object":           {`{"workflow":"pod-inventory","tags":["env"]}`, []string{"1 problem. tags: expected an object of strings"}},
		"with a tolerance that is not an object": {`{"workflow":"pod-inventory","clusters":["a"],"toleratedFailures":5}`, []string{"1 problem. toleratedFailures: expected an object"}},
		"with a cluster that has no name":        {`{"workflow":"pod-inventory","clusters":[{}]}`, []string{"1 problem. clusters[0].clusterName: missing: expected the name of an EKS cluster"}},
		"with more than there may be":            {`{"workflow":"pod-inventory","output":{"bucket":"reports"},"clusters":[` + strings.TrimSuffix(list(10_001), ",") + `]}`, []string{"1 problem. clusters: 10001 clusters: expected at most 10000"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := find(t, finder(nil, nil), c.input)
			named(t, err, contract.InvalidInput, c.want...)
		})
	}
}

func list(n int) string {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, `"cluster-%d",`, i)
	}
	return all.String()
}

func TestABucketThatIsNotThereIsFoundOutBeforeAnythingIsStarted(t *testing.T) {
	s3 := &fakeS3{refuse: map[string]error{"PutObject": apiError("NoSuchBucket")}}
	_, err := find(t, finder(nil, s3), `{"workflow":"pod-inventory","output":{"bucket":"reports"},"clusters":["demo"]}`)
	named(t, err, contract.InvalidInput, "output.bucket: there is no S3 bucket reports")

	_, err = find(t, finder(nil, s3), `{"workflow":"pod-inventory","clusters":["demo"]}`)
	require.NoError(t, err, "nothing is written without an output")

	s3 = &fakeS3{}
	got, err := find(t, finder(nil, s3), `{"workflow":"pod-inventory","output":{"bucket":"reports"},"clusters":["demo"]}`)
	require.NoError(t, err)
	assert.Len(t, got.Run.Clusters, 1, "a small fleet is in the state")
	assert.Contains(t, s3.objects, "reports/"+folder+"clusters.json")
}

func TestALargeFleetsListIsInS3(t *testing.T) {
	for sentence, clusters := range map[string]string{
		"more than 500 clusters":       strings.TrimSuffix(list(501), ","),
		"a cluster with a long role's": `{"clusterName":"demo","roleArn":"arn:aws:iam::444455556666:role/` + strings.Repeat("path/", 60) + `name"}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{}
			got, err := find(t, finder(nil, s3), `{"workflow":"pod-inventory","output":{"bucket":"reports","prefix":"fleets/"},"toleratedFailures":{"percentage":10},"clusters":[`+clusters+`]}`)
			require.NoError(t, err)
			assert.True(t, got.Fleet.InS3)
			assert.Equal(t, got.Fleet.Clusters/10, got.Fleet.Tolerated)
			assert.Equal(t, "fleets/"+folder+"clusters.json", got.Run.List)
			assert.Empty(t, got.Run.Clusters, "the state carries none")
			var listed []contractfleet.Cluster
			require.NoError(t, json.Unmarshal([]byte(s3.objects["reports/fleets/"+folder+"clusters.json"]), &listed))
			assert.Len(t, listed, got.Fleet.Clusters)
		})
	}
}
