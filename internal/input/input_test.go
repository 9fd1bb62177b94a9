package input_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
)

var defaults = input.Defaults("eu-west-1", "")

func TestAnInputIsCompleted(t *testing.T) {
	complete := contract.Request{ClusterName: "demo", Region: "eu-west-1", Namespaces: []string{"default"}, MaxItems: 100, OnDenied: contract.Fail}
	with := func(change func(*contract.Request)) contract.Request {
		r := complete
		change(&r)
		return r
	}
	for sentence, c := range map[string]struct {
		raw      string
		defaults contract.Request
		want     contract.Request
	}{
		"the cluster's name alone is enough":           {`{"clusterName":"demo"}`, defaults, complete},
		"nothing is enough where the stack says which": {`{}`, input.Defaults("eu-west-1", "demo"), complete},
		"so is no input at all":                        {``, input.Defaults("eu-west-1", "demo"), complete},
		"null is nothing":                              {`{"clusterName":"demo","region":null,"namespaces":null}`, defaults, complete},
		"every key counts": {
			`{"clusterName":"demo","region":"us-gov-east-1","roleArn":"arn:aws-us-gov:iam::111122223333:role/a/path/name","namespaces":["shop","default"],"labelSelector":"app in (web, api),!canary","fieldSelector":"status.phase!=Running","onDenied":"skip","maxItems":0}`,
			defaults,
			contract.Request{ClusterName: "demo", Region: "us-gov-east-1", RoleARN: "arn:aws-us-gov:iam::111122223333:role/a/path/name", Namespaces: []string{"shop", "default"}, LabelSelector: "app in (web, api),!canary", FieldSelector: "status.phase!=Running", OnDenied: contract.Skip},
		},
		"every pod may go to a bucket":                {`{"clusterName":"demo","output":{"bucket":"inventories","prefix":"a/b/"}}`, defaults, with(func(r *contract.Request) { r.Output = contract.Destination{Bucket: "inventories", Prefix: "a/b/"} })},
		"an output to nowhere is none":                {`{"clusterName":"demo","output":{"bucket":"","prefix":""}}`, defaults, complete},
		"all namespaces are a star":                   {`{"clusterName":"demo","namespaces":["*"]}`, defaults, with(func(r *contract.Request) { r.Namespaces = []string{"*"} })},
		"what Step Functions adds passes":             {`{"clusterName":"demo","AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn"}`, defaults, complete},
		"the input passes over the stack's default":   {`{"clusterName":"demo"}`, input.Defaults("eu-west-1", "other"), complete},
		"a Region of the sovereign cloud is a Region": {`{"clusterName":"demo","region":"eusc-de-east-1"}`, defaults, with(func(r *contract.Request) { r.Region = "eusc-de-east-1" })},
		"a Region of an isolated partition too":       {`{"clusterName":"demo","region":"us-isob-east-1"}`, defaults, with(func(r *contract.Request) { r.Region = "us-isob-east-1" })},
		"the longest name of a cluster is one":        {fmt.Sprintf(`{"clusterName":%q}`, strings.Repeat("c", 100)), defaults, with(func(r *contract.Request) { r.ClusterName = strings.Repeat("c", 100) })},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := input.Parse(json.RawMessage(c.raw), c.defaults)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
	assert.Equal(t, []string{"default"}, defaults.Namespaces, "the defaults stay as they were")
}

func TestAWrongInputIsRefusedWithItsFieldAndWhatWasExpected(t *testing.T) {
	many := make([]string, contract.MaxNamespaces+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%d", i)
	}
	tooMany, err := json.Marshal(map[string]any{"clusterName": "demo", "namespaces": many})
	require.NoError(t, err)

	for sentence, c := range map[string]struct{ raw, field, text string }{
		"no cluster":                            {`{}`, "clusterName", "missing"},
		"an empty cluster name":                 {`{"clusterName":""}`, "clusterName", "missing"},
		"a cluster name of another type":        {`{"clusterName":7}`, "clusterName", "expected a string, not a number"},
		"a cluster name with a slash":           {`{"clusterName":"a/b"}`, "clusterName", `"a/b" is no name`},
		"a cluster name that is too long":       {fmt.Sprintf(`{"clusterName":%q}`, strings.Repeat("c", 101)), "clusterName", "(101 bytes)"},
		"a cluster name that ends in a newline": {`{"clusterName":"demo\n"}`, "clusterName", `"demo\n" is no name`},
		"a Region that is none":                 {`{"clusterName":"demo","region":"Ireland"}`, "region", `"Ireland" is no AWS Region`},
		"an empty Region":                       {`{"clusterName":"demo","region":""}`, "region", `"" is no AWS Region`},
		"an ARN of a user":                      {`{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:user/x"}`, "roleArn", "is no ARN of an IAM role"},
		"an ARN of an assumed role":             {`{"clusterName":"demo","roleArn":"arn:aws:sts::111122223333:assumed-role/x/y"}`, "roleArn", "is no ARN of an IAM role"},
		"one namespace as a string":             {`{"clusterName":"demo","namespaces":"shop"}`, "namespaces", "expected an array of strings, not a string"},
		"a number among the namespaces":         {`{"clusterName":"demo","namespaces":["a",1]}`, "namespaces", "an array with a number at [1]"},
		"no namespaces":                         {`{"clusterName":"demo","namespaces":[]}`, "namespaces", "at least one"},
		"too many namespaces":                   {string(tooMany), "namespaces", "at most 200"},
		"a namespace in capitals":               {`{"clusterName":"demo","namespaces":["ok","Shop"]}`, "namespaces[1]", `"Shop" is no namespace`},
		"all namespaces and one more":           {`{"clusterName":"demo","namespaces":["*","a"]}`, "namespaces", `"*" stands for all namespaces`},
		"an empty namespace":                    {`{"clusterName":"demo","namespaces":[""]}`, "namespaces[0]", `"" is no namespace`},
		"a namespace twice":                     {`{"clusterName":"demo","namespaces":["a","b","a"]}`, "namespaces[2]", "stands at namespaces[0] already"},
		"a label selector that is none":         {`{"clusterName":"demo","labelSelector":"app in web"}`, "labelSelector", "is no selector"},
		"no way to take a denial":               {`{"clusterName":"demo","onDenied":"ignore"}`, "onDenied", `"ignore": expected "fail" or "skip"`},
		"a field selector that is none":         {`{"clusterName":"demo","fieldSelector":"status.phase"}`, "fieldSelector", "is no selector"},
		"a selector that is too long":           {fmt.Sprintf(`{"clusterName":"demo","labelSelector":%q}`, strings.Repeat("a", 4097)), "labelSelector", "at most 4096"},
		"fewer than no items":                   {`{"clusterName":"demo","maxItems":-1}`, "maxItems", "-1: expected 0 to 1000"},
		"too many items":                        {`{"clusterName":"demo","maxItems":1001}`, "maxItems", "1001: expected 0 to 1000"},
		"a bucket that is none":                 {`{"clusterName":"demo","output":{"bucket":"A_b"}}`, "output.bucket", `"A_b" is no name of an S3 bucket`},
		"a prefix alone":                        {`{"clusterName":"demo","output":{"prefix":"a"}}`, "output.bucket", "missing"},
		"a prefix that needs care":              {`{"clusterName":"demo","output":{"bucket":"abc","prefix":"a b"}}`, "output.prefix", "is no prefix"},
		"an output with a typo":                 {`{"clusterName":"demo","output":{"buckett":"abc"}}`, "output", "expected an object such as"},
		"an output as a string":                 {`{"clusterName":"demo","output":"s3://abc"}`, "output", "not a string"},
		"half an item":                          {`{"clusterName":"demo","maxItems":0.5}`, "maxItems", "expected a whole number, not a number"},
		"a typo":                                {`{"clusterName":"demo","namespace":["shop"]}`, `"namespace"`, `unknown key: expected "namespaces"?`},
		"another case":                          {`{"clusterName":"demo","rolearn":""}`, `"rolearn"`, `expected "roleArn"?`},
		"a key of no likeness":                  {`{"clusterName":"demo","colour":"red"}`, `"colour"`, "expected one of clusterName, region"},
		"an array":                              {`[]`, "input", "not an array"},
		"a string":                              {`"demo"`, "input", "not a string"},
		"null":                                  {`null`, "input", "not null"},
		"no JSON":                               {`{"clusterName":`, "input", "not something that is not JSON"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := input.Parse(json.RawMessage(c.raw), defaults)

			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.InvalidInput, named.Name)
			var problem input.Problem
			require.ErrorAs(t, err, &problem)
			assert.Equal(t, c.field, problem.Field)
			assert.Contains(t, problem.Text, c.text)
			assert.Contains(t, named.Message, "1 problem. "+problem.Error(), "one problem and no second")
		})
	}
}

func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	_, err := input.Parse(json.RawMessage(`{"clusterName":"a b","region":1,"roleArn":"x","namespaces":["Shop","ok","ok"],"labelSelector":"==","fieldSelector":"x","Namespace":1}`), defaults)

	require.Error(t, err)
	joined, ok := errors.Unwrap(err).(interface{ Unwrap() []error })
	require.True(t, ok)
	var fields []string
	for _, e := range joined.Unwrap() {
		var problem input.Problem
		require.ErrorAs(t, e, &problem)
		fields = append(fields, problem.Field)
		assert.Contains(t, err.Error(), problem.Error())
	}
	assert.Equal(t, []string{"region", `"Namespace"`, "clusterName", "roleArn", "namespaces[0]", "namespaces[2]", "labelSelector", "fieldSelector"}, fields)
	assert.Contains(t, err.Error(), "8 problems")
}
