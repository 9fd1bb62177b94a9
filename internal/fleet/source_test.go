package fleet_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// source returns the clusters of an object in S3.
func source(t *testing.T, key, text string) ([]contract.Target, error) {
	t.Helper()
	found, err := find(t, finder(nil, &fakeS3{objects: map[string]string{"lists/" + key: text}}), `{"workflow":"pod-inventory","source":{"bucket":"lists","key":"`+key+`"}}`)
	return targets(found), err
}

// wide returns text in UTF-16 with a byte order mark, as Excel writes it.
func wide(text string) string {
	out := []byte{0xFF, 0xFE}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

func TestASourceLosesNoCluster(t *testing.T) {
	const role = "arn:aws:iam::444455556666:role/kubestep-member"
	us := contract.Target{ClusterName: "shop", Region: "us-east-1"}
	member := contract.Target{ClusterName: "shop", Region: "us-east-1", RoleARN: role}
	for sentence, c := range map[string]struct {
		key, text string
		want      []contract.Target
	}{
		"lines of JSON":                        {"a.jsonl", `"demo"` + "\n" + `{"clusterName":"shop","region":"us-east-1"}` + "\n", []contract.Target{demo, us}},
		"an ARN on a line":                     {"a.jsonl", `"arn:aws:eks:us-east-1:111122223333:cluster/shop"`, []contract.Target{us}},
		"null and empty members":               {"a.jsonl", `{"clusterName":"demo","region":null,"roleArn":""}`, []contract.Target{demo}},
		"records":                              {"a.csv", "clusterName,region,roleArn\ndemo,,\nshop,us-east-1," + role + "\n", []contract.Target{demo, member}},
		"a key in capitals":                    {"A.CSV", "clusterName\ndemo\n", []contract.Target{demo}},
		"records in UTF-16":                    {"a.csv", wide("clusterName,region\r\ndemo,\r\nshop,us-east-1\r\n"), []contract.Target{demo, us}},
		"an ARN with its Region beside it":     {"a.csv", "clusterName,region\narn:aws:eks:us-east-1:111122223333:cluster/shop,us-east-1\n", []contract.Target{us}},
		"an ARN of the account of the role":    {"a.csv", "clusterName,roleArn\narn:aws:eks:us-east-1:444455556666:cluster/shop," + role + "\n", []contract.Target{member}},
		"the same name in two Regions":         {"a.csv", "clusterName,region\nshop,eu-west-1\nshop,us-east-1\n", []contract.Target{{ClusterName: "shop", Region: "eu-west-1"}, us}},
		"the list of those that failed before": {"failed.jsonl", `{"clusterName":"shop","region":"us-east-1","roleArn":"` + role + `"}` + "\n", []contract.Target{member}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := source(t, c.key, c.text)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestASourceIsRefusedWithTheLineOfEachProblem(t *testing.T) {
	for sentence, c := range map[string]struct {
		key, text string
		want      []string
	}{
		"a name without quotes":              {"a.jsonl", "demo\n\"ok\"\n{\"clusterName\":\"a b\"}\n", []string{"2 problems", "source line 1: is not JSON: expected a name or an ARN in quotes", "source line 3: clusterName: the value is not a valid EKS cluster name"}},
		"an unknown key":                     {"a.jsonl", `{"clusterName":"demo","team":"web"}`, []string{"1 problem. source line 1: a key: is unknown: expected one of clusterName, region, roleArn"}},
		"a key that is spelled differently":  {"a.jsonl", `{"clusterName":"demo","RoleArn":"x"}`, []string{`source line 1: a key: is unknown: expected "roleArn"?`}},
		"an array of clusters":               {"a.jsonl", `["demo","shop"]`, []string{"source line 1: expected a name, an ARN, or an object", "not an array"}},
		"an object of several lines":         {"a.jsonl", "{\n\"clusterName\": \"demo\"\n}\n", []string{"3 problems", "source line 1: is not JSON", "source line 3: is not JSON"}},
		"a cluster twice":                    {"a.jsonl", "\"demo\"\n\n{\"clusterName\":\"demo\",\"region\":\"eu-west-1\"}\n", []string{"1 problem. source line 3: repeats the cluster of line 1"}},
		"Latin-1":                            {"a.jsonl", "\"demo\"\n\"caf\xe9\"\n", []string{"source line 2: is not text in UTF-8"}},
		"no name":                            {"a.jsonl", "{}\n", []string{"1 problem. source line 1: clusterName: missing: expected the name of an EKS cluster"}},
		"another type":                       {"a.jsonl", "7\nnull\n", []string{"2 problems", "source line 1: expected a name", "not a number", "source line 2: expected a name", "not null"}},
		"an ARN of another partition":        {"a.jsonl", `"arn:aws-cn:eks:cn-north-1:111122223333:cluster/demo"`, []string{"1 problem. source line 1: the value is in another partition than this stack, which is in aws"}},
		"an ARN of another account":          {"a.jsonl", `"arn:aws:eks:eu-west-1:444455556666:cluster/demo"`, []string{"1 problem. source line 1: the value is in account the value and this stack in 111122223333"}},
		"a header that is spelled otherwise": {"a.csv", "clusterName,Region,RoleArn\ndemo,us-east-1,\n", []string{"1 problem. source line 1: column 2: did you mean region?, column 3: did you mean roleArn?: expected the header clusterName,region,roleArn"}},
		"a quote that does not end":          {"a.csv", "clusterName,region\ndemo,\"eu-west-1\nshop,us-east-1\n", []string{"1 problem. source line 2: extraneous or missing"}},
		"a record without a name":            {"a.csv", "clusterName,region\n,us-east-1\n", []string{"1 problem. source line 2: clusterName: missing"}},
		"a record twice":                     {"a.csv", "clusterName,region\ndemo,\n\ndemo,eu-west-1\n", []string{"1 problem. source line 4: repeats the cluster of line 2"}},
		"a line twice, as another role":      {"a.jsonl", "\"demo\"\n" + `{"clusterName":"demo","roleArn":"arn:aws:iam::111122223333:role/own"}`, []string{"1 problem. source line 2: repeats the cluster of line 1"}},
		"a record twice, as another role":    {"a.csv", "clusterName,roleArn\nshop,arn:aws:iam::444455556666:role/a\narn:aws:eks:eu-west-1:444455556666:cluster/shop,arn:aws:iam::444455556666:role/b\n", []string{"1 problem. source line 3: repeats the cluster of line 2"}},
		"another Region than the ARN has":    {"a.csv", "clusterName,region\narn:aws:eks:us-east-1:111122223333:cluster/shop,eu-west-1\n", []string{"1 problem. source line 2: has another Region in the ARN"}},
		"an ARN of neither account":          {"a.csv", "clusterName,roleArn\narn:aws:eks:us-east-1:777788889999:cluster/shop,arn:aws:iam::444455556666:role/a\n", []string{"source line 2: has an ARN of another account in the column roleArn"}},
		"a role of another partition":        {"a.csv", "clusterName,roleArn\nshop,arn:aws-cn:iam::444455556666:role/a\n", []string{"1 problem. source line 2: the value is in another partition"}},
		"a file of nothing":                  {"a.csv", "", []string{"1 problem. clusters: none was found: s3://lists/a.csv names none"}},
		"a header alone":                     {"a.csv", "clusterName\n", []string{"1 problem. clusters: none was found: s3://lists/a.csv names none"}},
		"empty lines alone":                  {"a.jsonl", "\n\n", []string{"1 problem. clusters: none was found: s3://lists/a.jsonl names none"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := source(t, c.key, c.text)
			named(t, err, contract.InvalidInput, c.want...)
		})
	}
	_, err := find(t, finder(nil, &fakeS3{}), `{"workflow":"pod-inventory","source":{"bucket":"lists","key":"none.csv"}}`)
	named(t, err, contract.InvalidInput, "source: there is no object s3://lists/none.csv")
}

// Whoever may start a fleet may name any object of the stack's bucket as its source.
func TestASourceTellsNothingOfWhatItHolds(t *testing.T) {
	for _, text := range []string{
		"aws_secret_access_key=hunter2\n", "\"hunter 2\"\n", `{"hunter2":"hunter2"}`, `{"clusterName":"hunter 2","region":"hunter2","roleArn":"hunter2"}`, `"arn:aws:eks:hunter2:hunter2:cluster/hunter2"`, `"arn:hunter2"`,
		`{"clusterName":"hunter2","clusterName":"hunter2"}`, `{"clusterName":{"hunter2":1}}`, `["hunter2"]`, "\"hunter2\" \"hunter2\"", "hunter2 \xff",
		"clusterName,hunter2\nhunter2,hunter2\n", "clusterName,region,roleArn\nhunter 2,hunter2,hunter2\n", "clusterName\nhun\"ter2\n", "clusterName\n\"hunter2\"x\n", "clusterName\narn:aws:eks:hunter2:hunter2:cluster/hunter2\n", "clusterName,roleArn\nhunter-2,arn:hunter2\n",
	} {
		for _, key := range []string{"a.csv", "a.jsonl"} {
			for _, text := range []string{text, wide(text)} {
				_, err := source(t, key, text)
				named(t, err, contract.InvalidInput)
				assert.NotContains(t, err.Error(), "unter", "%s: %q", key, text)
			}
		}
	}
}

// What a source holds is read as encoding/json and encoding/csv read it, or is refused.
func FuzzASourceIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		"\"demo\"\n{\"clusterName\":\"shop\"}\n", "clusterName,region\ndemo,eu-west-1\nshop,\n", wide("clusterName\ndemo\n"), "\xef\xbb\xbfclusterName\r\ndemo\r\n", "clusterName,,\n\"de\nmo\",,\n,,\n", "{\"clusterName\":\"a\",\"clusterName\":\"b\"}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		if lines, err := source(t, "a.jsonl", text); err == nil {
			n := 0
			for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
				if strings.TrimSpace(line) != "" {
					n++
					require.True(t, json.Valid([]byte(strings.TrimSpace(line))))
				}
			}
			assert.Len(t, lines, n, "each line is a cluster")
		}
		if records, err := source(t, "a.csv", text); err == nil {
			reader := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
			reader.FieldsPerRecord, reader.TrimLeadingSpace = -1, true
			all, err := reader.ReadAll()
			require.NoError(t, err)
			var cells, want []string
			for _, record := range all[1:] {
				for _, cell := range record {
					if cell = strings.TrimSpace(cell); cell != "" {
						want = append(want, cell)
					}
				}
			}
			for _, target := range records {
				cells = append(cells, target.ClusterName, target.Region, target.RoleARN)
			}
			for _, cell := range want {
				assert.Contains(t, fmt.Sprint(cells), cell[strings.LastIndexAny(cell, "/")+1:], "no cell is lost")
			}
		}
	})
}

// test/memory reads them in the function's memory.
func TestASourceThatIsTooLargeIsRefusedBeforeItTakesTheMemory(t *testing.T) {
	lines := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	for sentence, c := range map[string]struct{ key, text, want string }{
		"more clusters than a fleet has":       {"all.jsonl", lines(10_007, "\"c%d\"\n"), "clusters: 10007 clusters: expected at most 10000"},
		"more records":                         {"all.csv", "clusterName\n" + lines(10_007, "c%d\n"), "clusters: 10007 clusters: expected at most 10000"},
		"more columns than anybody gives them": {"all.csv", "clusterName" + strings.Repeat(",", 100) + "\nc\n", "source line 1: has 101 columns: expected at most 100"},
		"a row of many fields":                 {"all.csv", "clusterName\nc" + strings.Repeat(",", 1_000_001), "source: it has 1000001 commas: expected at most 1000000"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := source(t, c.key, c.text)
			require.ErrorContains(t, err, c.want)
		})
	}
}
