package input_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
)

// request has a field of every kind.
type request struct {
	Target contract.Target
	Colour string
	Count  int
	Deep   bool
	List   []string
	Output contract.Destination
}

var defaults = request{Target: contract.Target{Region: "eu-west-1"}, Colour: "red", Count: 7, List: []string{"a"}}

func read(raw string) (request, error) {
	r := defaults
	f := input.Read(json.RawMessage(raw), `{"clusterName": "demo"}`)
	r.Target = input.Target(f, r.Target)
	f.String("colour", &r.Colour)
	f.Int("count", &r.Count)
	f.Bool("deep", &r.Deep)
	f.Strings("list", &r.List)
	r.Output = input.Destination(f, "output")
	return r, f.Err()
}

func TestAnInputIsCompleted(t *testing.T) {
	with := func(change func(*request)) request {
		r := defaults
		r.Target.ClusterName = "demo"
		change(&r)
		return r
	}
	same := with(func(*request) {})
	for sentence, c := range map[string]struct {
		raw  string
		want request
	}{
		"the cluster's name alone is enough":  {`{"clusterName":"demo"}`, same},
		"null counts as left out":             {`{"clusterName":"demo","region":null,"list":null,"count":null,"output":null}`, same},
		"what Step Functions adds is ignored": {`{"clusterName":"demo","AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn"}`, same},
		"every member is read": {`{"clusterName":"demo","roleArn":"arn:aws-us-gov:iam::111122223333:role/a/path/name","colour":"blue","count":0,"deep":true,"list":[]}`, with(func(r *request) {
			*r = request{Target: contract.Target{ClusterName: "demo", Region: "eu-west-1", RoleARN: "arn:aws-us-gov:iam::111122223333:role/a/path/name"}, Colour: "blue", Deep: true, List: []string{}}
		})},
		"a nested object is read":                        {`{"clusterName":"demo","output":{"bucket":"inventories","prefix":"a/..b/"}}`, with(func(r *request) { r.Output = contract.Destination{Bucket: "inventories", Prefix: "a/..b/"} })},
		"an output without a bucket is none":             {`{"clusterName":"demo","output":{"bucket":"","prefix":""}}`, same},
		"a Region of the European sovereign cloud":       {`{"clusterName":"demo","region":"eusc-de-east-1"}`, with(func(r *request) { r.Target.Region = "eusc-de-east-1" })},
		"a Region of an isolated partition":              {`{"clusterName":"demo","region":"us-isob-east-1"}`, with(func(r *request) { r.Target.Region = "us-isob-east-1" })},
		"a whole number may be written with a fraction":  {`{"clusterName":"demo","count":100.0}`, with(func(r *request) { r.Count = 100 })},
		"a whole number may be written with an exponent": {`{"clusterName":"demo","count":-1.5e2}`, with(func(r *request) { r.Count = -150 })},
		"a cluster's name may have 100 characters":       {fmt.Sprintf(`{"clusterName":%q}`, strings.Repeat("c", 100)), with(func(r *request) { r.Target.ClusterName = strings.Repeat("c", 100) })},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := read(c.raw)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestTheDefaultsOfTheStackCompleteNoInputAtAll(t *testing.T) {
	f := input.Read(nil, "")
	stack := contract.Target{ClusterName: "demo", Region: "eu-west-1"}
	assert.Equal(t, stack, input.Target(f, stack))
	assert.NoError(t, f.Err())
}

func TestAnInvalidInputIsRefusedWithItsFieldAndWhatIsExpected(t *testing.T) {
	for sentence, c := range map[string]struct{ raw, field, text string }{
		"no cluster":                            {`{}`, "clusterName", "missing"},
		"an empty cluster name":                 {`{"clusterName":""}`, "clusterName", "missing"},
		"a cluster name of another type":        {`{"clusterName":7}`, "clusterName", "expected a string, not a number"},
		"a cluster name with a slash":           {`{"clusterName":"a/b"}`, "clusterName", `"a/b" is not a valid EKS cluster name`},
		"a cluster name that is too long":       {fmt.Sprintf(`{"clusterName":%q}`, strings.Repeat("c", 101)), "clusterName", "(101 bytes)"},
		"a cluster name that ends in a newline": {`{"clusterName":"demo\n"}`, "clusterName", `"demo\n" is not a valid EKS cluster name`},
		"a Region by its other name":            {`{"clusterName":"demo","region":"Ireland"}`, "region", `"Ireland" is not a valid AWS Region`},
		"an empty Region":                       {`{"clusterName":"demo","region":""}`, "region", `"" is not a valid AWS Region`},
		"a prefix that is too long":             {`{"clusterName":"demo","output":{"bucket":"abc","prefix":"` + strings.Repeat("p", 513) + `"}}`, "output.prefix", "at most 512"},
		"the ARN of a role that is too long":    {`{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:role/` + strings.Repeat("p", 2048) + `/x"}`, "roleArn", "is not a valid ARN of an IAM role"},
		"the ARN of a role with a command":      {`{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:role/$(id)/x"}`, "roleArn", "with no characters but letters, digits and any of +=,.@_/-"},
		"the ARN of a role with two ARNs":       {`{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:role/a:role/x"}`, "roleArn", "is not a valid ARN of an IAM role"},
		"the ARN of a role with quotes":         {`{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:role/a';id;'/x"}`, "roleArn", "is not a valid ARN of an IAM role"},
		"the ARN of a user":                     {`{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:user/x"}`, "roleArn", "is not a valid ARN of an IAM role"},
		"the ARN of an assumed role":            {`{"clusterName":"demo","roleArn":"arn:aws:sts::111122223333:assumed-role/x/y"}`, "roleArn", "is not a valid ARN of an IAM role"},
		"a list as a string":                    {`{"clusterName":"demo","list":"shop"}`, "list", "expected an array of strings, not a string"},
		"a number in the list":                  {`{"clusterName":"demo","list":["a",1]}`, "list", "not an array with a number at [1]"},
		"null in the list":                      {`{"clusterName":"demo","list":[null]}`, "list", "not an array with null at [0]"},
		"half an item":                          {`{"clusterName":"demo","count":0.5}`, "count", "expected a whole number, not 0.5"},
		"a number that is too large":            {`{"clusterName":"demo","count":1e300}`, "count", "expected a whole number, not 1e300"},
		"a number that no float64 has":          {`{"clusterName":"demo","count":1e999}`, "count", "expected a whole number, not 1e999"},
		"a number in a string":                  {`{"clusterName":"demo","count":"7"}`, "count", "expected a whole number, not a string"},
		"a number of many digits":               {`{"clusterName":"demo","count":0.` + strings.Repeat("5", 50) + `}`, "count", "expected a whole number, not a number"},
		"a truth as a string":                   {`{"clusterName":"demo","deep":"yes"}`, "deep", "expected true or false, not a string"},
		"a bucket in capitals":                  {`{"clusterName":"demo","output":{"bucket":"A_b"}}`, "output.bucket", `"A_b" is not a valid S3 bucket name`},
		"a bucket of another type":              {`{"clusterName":"demo","output":{"bucket":7}}`, "output.bucket", "expected a string, not a number"},
		"a prefix alone":                        {`{"clusterName":"demo","output":{"prefix":"a"}}`, "output.bucket", "missing"},
		"a prefix with a space":                 {`{"clusterName":"demo","output":{"bucket":"abc","prefix":"a b"}}`, "output.prefix", "is not a valid key prefix"},
		"a prefix that climbs":                  {`{"clusterName":"demo","output":{"bucket":"abc","prefix":"a/../b"}}`, "output.prefix", "expected no segment . or .."},
		"a mistyped key of a nested object":     {`{"clusterName":"demo","output":{"buckett":"abc"}}`, `output."buckett"`, `unknown key: expected "bucket"?`},
		"an object as a string":                 {`{"clusterName":"demo","output":"s3://abc"}`, "output", "expected an object such as"},
		"a mistyped key":                        {`{"clusterName":"demo","lists":["shop"]}`, `"lists"`, `unknown key: expected "list"?`},
		"a key in another case":                 {`{"clusterName":"demo","rolearn":""}`, `"rolearn"`, `expected "roleArn"?`},
		"a key unlike any other":                {`{"clusterName":"demo","temperature":"hot"}`, `"temperature"`, "expected one of clusterName, region"},
		"an array":                              {`[]`, "input", `expected a JSON object such as {"clusterName": "demo"}, not an array`},
		"null":                                  {`null`, "input", "not null"},
		"half an object":                        {`{"clusterName":`, "input", "not text that is not JSON"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := read(c.raw)

			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.InvalidInput, named.Name)
			var problem input.Problem
			require.ErrorAs(t, err, &problem)
			assert.Contains(t, named.Message, "1 problem. "+problem.Error(), "one problem and no second")
			assert.Equal(t, c.field, problem.Field)
			assert.Contains(t, problem.Text, c.text)
		})
	}
}

func TestAValueOfAnotherTypeIsOneProblemAndItsMembersAreNone(t *testing.T) {
	f := input.Read([]byte(`{"wait":10,"clusters":[7]}`), "{}")
	wait, given := f.Object("wait", `{"timeoutSeconds": 300}`)
	seconds := 0
	wait.Int("timeoutSeconds", &seconds)
	wait.Problem("timeoutSeconds", "%d: expected 1 to 3600", seconds)
	input.Target(f.Element("clusters[0]", f.Elements("clusters", "an array")[0], "a cluster"), contract.Target{Region: "eu-west-1"})

	assert.True(t, given)
	err := f.Err()
	assert.ErrorContains(t, err, `2 problems. wait: expected an object such as {"timeoutSeconds": 300}, not a number. clusters[0]: expected a cluster, not a number`)
	assert.NotContains(t, err.Error(), "timeoutSeconds: 0", "which is not in the input")
}

func TestAListHasNoDefaultCluster(t *testing.T) {
	f := input.Read([]byte(`{"clusters":[{}]}`), "{}")
	input.Target(f.Element("clusters[0]", f.Elements("clusters", "an array")[0], "a cluster"), contract.Target{Region: "eu-west-1"})
	assert.ErrorContains(t, f.Err(), "1 problem. clusters[0].clusterName: missing: expected the name of an EKS cluster")
	assert.NotContains(t, f.Err().Error(), "default cluster")
}

func TestValuesAreWithheldFromThoseWhoMayNotReadThem(t *testing.T) {
	f := input.Read([]byte(`{"clusterName":"hunter two","region":"hunter2","roleArn":"hunter2","list":"hunter2","count":0.12345,"output":{"bucket":"Hunter2","prefix":"hunter 2"},"hunter2":1}`), "{}")
	f.Withhold()
	r := request{}
	r.Target = input.Target(f, r.Target)
	f.Strings("list", &r.List)
	f.Int("count", &r.Count)
	input.Destination(f, "output")

	err := f.Err()
	require.ErrorContains(t, err, "8 problems. clusterName: the value is not a valid EKS cluster name")
	assert.ErrorContains(t, err, "a key: is unknown: expected one of clusterName, region")
	for _, text := range []string{"unter", "12345"} {
		assert.NotContains(t, err.Error(), text)
	}
}

func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	_, err := read(`{"clusterName":"a b","region":1,"roleArn":"x","list":[1],"count":"x","output":{"bucket":"A","typo":1},"Typo":1}`)

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
	assert.Equal(t, []string{"region", "clusterName", "roleArn", "count", "list", "output.bucket", `"Typo"`, `output."typo"`}, fields)
	assert.Contains(t, err.Error(), "8 problems")
}

func TestAKeyThatIsReadTwiceIsSuggestedOnce(t *testing.T) {
	f := input.Read([]byte(`{"temperature":"hot"}`), "{}")
	var name string
	f.String("name", &name)
	f.Raw("name")
	f.Raw("tags")

	assert.ErrorContains(t, f.Err(), "expected one of name, tags")
}

func TestVeryManyProblemsAreCounted(t *testing.T) {
	var raw bytes.Buffer
	raw.WriteString(`{"clusterName":"demo"`)
	for i := range 20_000 {
		fmt.Fprintf(&raw, `,"unknown%05d":1`, i)
	}
	raw.WriteString("}")
	_, err := read(raw.String())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "20000 problems")
	assert.Contains(t, err.Error(), "And 19980 more")
	assert.Less(t, len(err.Error()), 8<<10)
}

// describe-cluster has 128 MB of memory, and an input at most 256 KiB.
func TestWhatAnInputTakesIsAFewTimesItsSize(t *testing.T) {
	deep := strings.Repeat("[", 600) + strings.Repeat(`"x",`, 60_000) + `"x"` + strings.Repeat("]", 600)
	for sentence, raw := range map[string]string{
		"nested arrays around 240 KB":   `{"clusterName":` + deep + `,"list":` + deep[:1] + `1]}`,
		"nested arrays in a list":       `{"list":[` + deep + `]}`,
		"nested arrays instead of JSON": deep,
		"20,000 unknown keys":           `{` + strings.Repeat(`"k":1,`, 20_000) + `"k":1}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := read(raw)
			runtime.ReadMemStats(&after)
			assert.Error(t, err)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "allocated in all")
		})
	}
}

func TestTheElementsOfAnArrayAreReadOneByOne(t *testing.T) {
	f := input.Read([]byte(`{"clusters":["demo",{"clusterName":"shop","regoin":"x"},7],"regions":"eu-west-1"}`), "{}")

	elements := f.Elements("clusters", "an array of clusters")
	require.Len(t, elements, 3)
	var name string
	f.Element("clusters[1]", elements[1], "an object").String("clusterName", &name)
	f.Element("clusters[2]", elements[2], "an object").String("clusterName", &name)
	assert.Equal(t, "shop", name)
	assert.Nil(t, f.Elements("regions", "an array of names"))
	assert.Nil(t, f.Elements("missing", "an array"))

	err := f.Err()
	for _, want := range []string{"3 problems", "clusters[2]: expected an object, not a number", "regions: expected an array of names, not a string", `clusters[1]."regoin": unknown key`} {
		assert.ErrorContains(t, err, want)
	}
}

// Which of two values is acted on depends on the program that reads them, and the other one
// stays in the execution history.
func TestAKeyThatIsThereTwiceIsRefusedHoweverDeep(t *testing.T) {
	for raw, want := range map[string]string{
		`{"clusterName":"demo","clusterName":"other"}`:                      "clusterName: is there twice: expected each key once",
		`{"clusterName":"demo","colour":"red","colour":null}`:               "colour: is there twice: expected each key once",
		`{"clusterName":"demo","output":{"bucket":"abc","bucket":"abd"}}`:   "output.bucket: is there twice: expected each key once",
		`{"clusterName":"demo","list":["a",{"x":[0,{"y":1,"y":2}]}]}`:       "list[1].x[1].y: is there twice: expected each key once",
		`{"clusterName":"demo","colour":"red","col\u006fur":"blue"}`:        "colour: is there twice: expected each key once",
		`{"clusterName":"demo","AWS_STEP_FUNCTIONS_X":{"a\nb":1,"a\nb":2}}`: `AWS_STEP_FUNCTIONS_X."a\nb": is there twice: expected each key once`,
		`{"clusterName":"demo","output":{"":1,"":2}}`:                       `output."": is there twice: expected each key once`,
	} {
		t.Run(want, func(t *testing.T) {
			_, err := read(raw)
			var problem input.Problem
			require.ErrorAs(t, err, &problem)
			assert.Contains(t, err.Error(), want)
		})
	}
	for _, raw := range []string{
		`{"clusterName":"demo","list":["demo","demo"],"colour":"colour"}`,
		`{"clusterName":"demo","AWS_STEP_FUNCTIONS_X":[{"a":1},{"a":{"a":2}}]}`,
	} {
		_, err := read(raw)
		assert.NoError(t, err, raw)
	}
}

func TestManyKeysThatAreThereTwiceAreCounted(t *testing.T) {
	_, err := read(`{"clusterName":"demo"` + strings.Repeat(`,"x":[`, 9000) + "0" + strings.Repeat("]", 9000) + strings.Repeat(`,"x":0`, 9000) + "}")
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 16<<10)
}
