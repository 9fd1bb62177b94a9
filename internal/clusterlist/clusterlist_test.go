package clusterlist_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/clusterlist"
)

var (
	lines = clusterlist.Format{}
	bare  = clusterlist.Format{Bare: true}
	table = clusterlist.Format{CSV: true}
)

// read returns each cluster as LINE JSON, with its wave, and each problem as its text.
func read(f clusterlist.Format, content string) (clusters, problems []string) {
	text, wrong := clusterlist.Text([]byte(content))
	if wrong != nil {
		return nil, []string{wrong.Error()}
	}
	for c, wrong := range f.Clusters(text) {
		if wrong != nil {
			problems = append(problems, wrong.Error())
			continue
		}
		said := fmt.Sprintf("%d %s", c.Line, c.JSON)
		if c.Wave != "" {
			said += " in " + c.Wave
		}
		clusters = append(clusters, said)
	}
	return clusters, problems
}

// wide returns text in UTF-16 with a byte order mark, as Excel writes it.
func wide(text string) string {
	out := []byte{0xFF, 0xFE}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

// bigEndian returns the same in the other order of bytes.
func bigEndian(text string) string {
	out := []byte(wide(text))
	for i := 0; i < len(out); i += 2 {
		out[i], out[i+1] = out[i+1], out[i]
	}
	return string(out)
}

const (
	arn  = "arn:aws:eks:us-east-1:444455556666:cluster/shop"
	role = "arn:aws:iam::444455556666:role/kubestep-member"
)

func TestAListLosesNoCluster(t *testing.T) {
	const (
		demo   = `"demo"`
		us     = `{"clusterName":"shop","region":"us-east-1"}`
		member = `{"clusterName":"shop","region":"us-east-1","roleArn":"` + role + `"}`
		name   = `{"clusterName":"demo"}`
	)
	long := strings.Repeat("x", 3<<20)
	for sentence, c := range map[string]struct {
		format clusterlist.Format
		text   string
		want   []string
	}{
		"nothing":                              {lines, "", nil},
		"lines of JSON":                        {lines, demo + "\n" + us + "\n", []string{"1 " + demo, "2 " + us}},
		"empty lines and spaces between them":  {lines, "\n  \n  " + demo + "  \n\n\t" + us + "\n\n", []string{"3 " + demo, "5 " + us}},
		"a last line without its end":          {lines, demo + "\n" + us, []string{"1 " + demo, "2 " + us}},
		"lines that end as Windows does":       {lines, demo + "\r\n" + us + "\r\n", []string{"1 " + demo, "2 " + us}},
		"lines of JSON after a mark":           {lines, "\xef\xbb\xbf" + demo, []string{"1 " + demo}},
		"lines of JSON in UTF-16":              {lines, wide(demo + "\r\n" + us), []string{"1 " + demo, "2 " + us}},
		"lines in UTF-16, the other way round": {lines, bigEndian(demo + "\n" + us), []string{"1 " + demo, "2 " + us}},
		"a line that is long":                  {lines, `"` + long + "\"\n" + demo, []string{`1 "` + long + `"`, "2 " + demo}},
		"what is no cluster, for its reader":   {lines, "7\nnull\n[\"a\"]", []string{"1 7", "2 null", `3 ["a"]`}},
		"a wave in an object":                  {lines, `{"clusterName":"demo","wave":"rest"}`, []string{`1 {"clusterName":"demo","wave":"rest"}`}},
		"names without quotes":                 {bare, "demo\n# not this\n\n  prod \r\n2026\nnull\n", []string{"1 " + demo, `4 "prod"`, `5 "2026"`, `6 "null"`}},
		"an ARN without quotes":                {bare, arn, []string{`1 "` + arn + `"`}},
		"lines of JSON among names":            {bare, "demo\n" + us + "\n\"prod\"\n", []string{"1 " + demo, "2 " + us, `3 "prod"`}},
		"a name that is long":                  {bare, long, []string{`1 "` + long + `"`}},
		"records":                              {table, "clusterName,region,roleArn\ndemo,,\nshop,us-east-1," + role + "\n", []string{"2 " + name, "3 " + member}},
		"columns in another order":             {table, "roleArn,clusterName,region\n,demo,\n" + role + ",shop,us-east-1\n", []string{"2 " + name, "3 " + member}},
		"a file of one column":                 {table, "clusterName\ndemo", []string{"2 " + name}},
		"quotes and spaces":                    {table, `"clusterName", "region"` + "\n" + `"demo",` + "\n" + ` shop , "us-east-1"`, []string{"2 " + name, "3 " + us}},
		"a cell of two lines":                  {table, "clusterName,wave\ndemo,\"a\nb\"\nshop,c\n", []string{"2 " + name + " in a\nb", `4 {"clusterName":"shop"} in c`}},
		"records as Excel writes them":         {table, "\xef\xbb\xbfclusterName,region\r\ndemo,\r\nshop,us-east-1\r\n", []string{"2 " + name, "3 " + us}},
		"records in UTF-16":                    {table, wide("clusterName,region\r\ndemo,\r\nshop,us-east-1\r\n"), []string{"2 " + name, "3 " + us}},
		"empty lines between records":          {table, "\n\nclusterName,region\n\ndemo,\n\n \nshop,us-east-1\n\n", []string{"5 " + name, "8 " + us}},
		"commas at the ends of lines":          {table, "clusterName,region,,\ndemo,,,\nshop,us-east-1,,\n,,,\n,,,\n", []string{"2 " + name, "3 " + us}},
		"commas at the end of a record":        {table, "clusterName,region\ndemo,,\nshop,us-east-1,,,\n", []string{"2 " + name, "3 " + us}},
		"a record that is long":                {table, "clusterName\n" + long + "\n", []string{`2 {"clusterName":"` + long + `"}`}},
		"waves":                                {table, "clusterName,wave\ndemo,canary\n" + arn + ",rest\n", []string{"2 " + name + " in canary", `3 "` + arn + `" in rest`}},
		"an ARN in a record":                   {table, "clusterName\n" + arn + "\n", []string{`2 "` + arn + `"`}},
		"an ARN with its Region beside it":     {table, "clusterName,region\n" + arn + ",us-east-1\n", []string{`2 "` + arn + `"`}},
		"an ARN with a role of its account":    {table, "clusterName,roleArn\n" + arn + "," + role + "\n", []string{"2 " + member}},
		"an ARN of something else":             {table, "clusterName\narn:aws:s3:::shop\n", []string{`2 "arn:aws:s3:::shop"`}},
		"a role that is none, for its reader":  {table, "clusterName,roleArn\n" + arn + ",member\n", []string{`2 {"clusterName":"shop","region":"us-east-1","roleArn":"member"}`}},
		"a record without a name":              {table, "clusterName,region\n,us-east-1\n", []string{`2 {"region":"us-east-1"}`}},
		"a header alone":                       {table, "clusterName\n", nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, problems := read(c.format, c.text)
			assert.Empty(t, problems)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestWhatCannotBeReadIsToldByItsLine(t *testing.T) {
	const header = ": expected the header clusterName,region,roleArn,wave, of which clusterName is needed"
	for sentence, c := range map[string]struct {
		format clusterlist.Format
		text   string
		want   []string
	}{
		"a name without quotes":               {lines, "demo\n\"ok\"\n", []string{`line 1: is not JSON: expected a name or an ARN in quotes, or an object such as {"clusterName": "demo", "region": "eu-west-1"}`}},
		"a comment, where there are none":     {lines, "# a\n", []string{`line 1: is not JSON: expected a name or an ARN in quotes, or an object such as {"clusterName": "demo", "region": "eu-west-1"}`}},
		"a key twice":                         {lines, "\"demo\"\n{\"clusterName\":\"shop\",\"clusterName\":\"other\"}", []string{"line 2: has a key twice: expected each of clusterName, region, roleArn, wave once"}},
		"several words":                       {bare, "demo\n- prod\na, b\nc;d\n", []string{"line 2", "line 3", "line 4"}},
		"half an object":                      {bare, "demo\n{x\n", []string{`line 2: is not JSON: expected a name, an ARN, or an object such as`}},
		"a mark within the file":              {lines, "\"demo\"\n\xef\xbb\xbf\"shop\"\n", []string{"line 2: is not JSON"}},
		"lines without line feeds":            {lines, "\"demo\"\r\"shop\"\r", []string{"line 1: is not JSON"}},
		"Latin-1":                             {lines, "\"demo\"\n\"caf\xe9\"\n", []string{"line 2: is not text in UTF-8"}},
		"half a character of UTF-16":          {lines, wide(`"demo"`) + "x", []string{"it ends within a character of UTF-16"}},
		"half a pair of UTF-16":               {lines, "\xff\xfe\n\x00\x00\xd8", []string{"line 2: is not text in UTF-16"}},
		"a pair of UTF-16 that is none":       {lines, "\xff\xfe\n\x00\x00\xd8a\x00", []string{"line 2: is not text in UTF-16"}},
		"UTF-16 without a mark":               {table, strings.TrimPrefix(wide("clusterName\ndemo\n"), "\xff\xfe"), []string{"line 1: column 1"}},
		"a header that is spelled otherwise":  {table, "clusterName,Region,RoleArn\ndemo,us-east-1,\n", []string{"line 1: column 2: did you mean region?, column 3: did you mean roleArn?" + header}},
		"a header with spaces and lines":      {table, "Cluster Name,role-arn\ndemo,\n", []string{"column 1: did you mean clusterName?, column 2: did you mean roleArn?"}},
		"an unknown column":                   {table, "team,clusterName\nweb,demo\n", []string{"line 1: column 1 is unknown" + header}},
		"a column twice":                      {table, "\nclusterName,region,region\ndemo,eu-west-1,us-east-1\n", []string{"line 2: has the column region twice" + header}},
		"a column twice, of which one is odd": {table, "clusterName,region,Region\n", []string{"line 1: column 3: did you mean region?"}},
		"no column of names":                  {table, "region\neu-west-1\n", []string{"line 1: it has no column clusterName" + header}},
		"no header":                           {table, "demo,eu-west-1\nshop,us-east-1\n", []string{"line 1: column 1 is unknown, column 2 is unknown, it has no column clusterName" + header}},
		"many unknown columns":                {table, "a,b,c,d,e,f,clusterName\n", []string{"column 5 is unknown, and 1 more" + header}},
		"semicolons":                          {table, "clusterName;region\ndemo;eu-west-1\n", []string{"line 1: the columns are not separated by commas" + header}},
		"too few fields":                      {table, "clusterName,region\ndemo,\nshop\n", []string{"line 3: has another number of fields than the header: expected 2, not 1"}},
		"too many fields":                     {table, "clusterName,region\n\ndemo,eu-west-1,us-east-1\n", []string{"line 3: has another number of fields than the header: expected 2, not 3"}},
		"a field below no column":             {table, "clusterName,,\ndemo,,\nshop,,us-east-1\n", []string{"line 3: field 3 has no column"}},
		"a quote that does not end":           {table, "clusterName,region\ndemo,\"eu-west-1\nshop,us-east-1\n", []string{"line 2: extraneous or missing"}},
		"records without line feeds":          {table, "clusterName\rdemo\rshop\r", []string{"line 1: column 1 is unknown"}},
		"each fault of several":               {table, "clusterName,region\nshop\n" + arn + ",eu-west-1\n", []string{"line 2: has another number", "line 3: has another Region in the ARN than in the column region"}},
		"a role of another account":           {table, "clusterName,roleArn\n" + arn + ",arn:aws:iam::111122223333:role/a\n", []string{"line 2: has an ARN of another account in the column roleArn"}},
		"a role of another partition":         {table, "clusterName,roleArn\n" + arn + ",arn:aws-cn:iam::444455556666:role/a\n", []string{"line 2: has an ARN of another partition in the column roleArn"}},
		"a role, and an ARN of no cluster":    {table, "clusterName,roleArn\narn:aws:s3:::shop," + role + "\n", []string{"line 2: has an ARN of no EKS cluster in the column clusterName"}},
		"more columns than anybody gives":     {table, "clusterName" + strings.Repeat(",", 100) + "\nc\n", []string{"line 1: has 101 columns: expected at most 100"}},
		"more commas than there may be":       {table, "clusterName\nc" + strings.Repeat(",", 1_000_001), []string{"it has 1000001 commas: expected at most 1000000"}},
		"more bytes than there may be":        {bare, strings.Repeat("demo\n", 2<<20), []string{"it has 10485760 bytes: expected at most 8388608"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, problems := read(c.format, c.text)
			require.Len(t, problems, len(c.want), "%q", problems)
			for i, want := range c.want {
				assert.Contains(t, problems[i], want)
			}
		})
	}
}

// Whoever names a list may not be allowed to read it.
func TestAProblemTellsNothingOfTheText(t *testing.T) {
	for _, text := range []string{
		"aws_secret_access_key=hunter2\n", "\"hunter 2\"\n", `{"hunter2":"hunter2"}`, `{"clusterName":"hunter2","clusterName":"hunter2"}`, "\"hunter2\" \"hunter2\"", "hunter2 \xff", "hunter2,hunter2\n",
		"clusterName,hunter2\nhunter2,hunter2\n", "clusterName\nhun\"ter2\n", "clusterName\n\"hunter2\"x\n", "clusterName,region\narn:aws:eks:hunter2:hunter2:cluster/hunter2,hunter3\n", "clusterName,roleArn\narn:hunter2,arn:hunter2\n", "clusterName,roleArn\n" + arn + ",arn:aws:iam::hunter2:hunter2\n",
	} {
		for _, format := range []clusterlist.Format{lines, bare, table} {
			for _, text := range []string{text, wide(text)} {
				_, problems := read(format, text)
				assert.NotContains(t, strings.Join(problems, "\n"), "unter", "%q", text)
			}
		}
	}
}

func TestWhatIsPastTheLargestFleetIsOnlyCounted(t *testing.T) {
	for _, c := range []struct {
		format clusterlist.Format
		text   string
	}{{lines, strings.Repeat("\"a\"\n", 10_000) + "{\n\n{\n"}, {bare, strings.Repeat("a\n", 10_000) + "# b\nb c\nd\n"}, {table, "clusterName\n" + strings.Repeat("a\n", 10_000) + "arn:b\nc\n"}} {
		read, counted := 0, 0
		for cluster, wrong := range c.format.Clusters([]byte(c.text)) {
			require.Nil(t, wrong)
			if cluster.JSON == nil {
				counted++
				continue
			}
			read++
		}
		assert.Equal(t, 10_000, read)
		assert.Equal(t, 2, counted)
	}
}

func TestAReaderThatHasEnoughIsGivenNoMore(t *testing.T) {
	for _, c := range []struct {
		format clusterlist.Format
		text   string
	}{{lines, "\"a\"\n\"b\"\n"}, {bare, "a b\nb\n"}, {table, "clusterName\na\nb\n"}, {table, "region\n"}, {table, "clusterName,region\na\nb,\n"}} {
		n := 0
		for range c.format.Clusters([]byte(c.text)) {
			n++
			break
		}
		assert.Equal(t, 1, n, "%q", c.text)
	}
}

// What a list holds is read as encoding/json and encoding/csv read it, or is refused by a line of its own.
func FuzzAListIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		"\"demo\"\n{\"clusterName\":\"shop\"}\n", "clusterName,region\ndemo,eu-west-1\nshop,\n", wide("clusterName\ndemo\n"), "\xef\xbb\xbfclusterName\r\ndemo\r\n", "clusterName,,\n\"de\nmo\",,\n,,\n", "{\"clusterName\":\"a\",\"clusterName\":\"b\"}",
		"demo\n# a\n" + arn + "\n", "clusterName,roleArn,wave\n" + arn + "," + role + ",a\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text, wrong := clusterlist.Text(content)
		if wrong != nil {
			assert.LessOrEqual(t, wrong.Line, 1+bytes.Count(content, []byte("\n")))
			return
		}
		elements := 0
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" {
				elements++
			}
		}
		for _, format := range []clusterlist.Format{lines, bare, table} {
			last, yielded, problems, values := 0, 0, 0, ""
			for c, wrong := range format.Clusters(text) {
				yielded++
				if wrong != nil {
					problems++
					assert.Less(t, len(wrong.Text), 1000)
					c.Line = wrong.Line
				} else if c.JSON != nil {
					require.True(t, json.Valid(c.JSON))
					values += string(c.JSON) + c.Wave
				}
				if c.Line > 0 {
					require.Greater(t, c.Line, last, "each line has one cluster or problem")
					last = c.Line
				}
			}
			assert.LessOrEqual(t, last, 1+bytes.Count(text, []byte("\n")))
			switch {
			case format == lines:
				assert.Equal(t, elements, yielded, "no line is left out")
			case format == bare:
				assert.LessOrEqual(t, yielded, elements)
			case problems == 0 && yielded <= 10_000:
				for _, cell := range cells(t, text) {
					encoded, err := json.Marshal(cell[strings.LastIndex(cell, "/")+1:])
					require.NoError(t, err)
					var unescaped string
					require.NoError(t, json.Unmarshal(encoded, &unescaped))
					assert.Contains(t, unquoted(values), unescaped, "no cell is lost")
				}
			}
		}
	})
}

// unquoted is a text in which the escapes of JSON are the characters themselves.
func unquoted(text string) string {
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(text)
}

// cells are those of the records below the header.
func cells(t *testing.T, text []byte) []string {
	t.Helper()
	reader := csv.NewReader(bytes.NewReader(text))
	reader.FieldsPerRecord, reader.TrimLeadingSpace = -1, true
	all, err := reader.ReadAll()
	require.NoError(t, err)
	var found []string
	for i, record := range all {
		for _, cell := range record {
			if cell = strings.TrimSpace(cell); cell != "" && i > 0 && printable(cell) {
				found = append(found, cell)
			}
		}
	}
	return found
}

// printable reports whether JSON has no other escape for a cell.
func printable(cell string) bool {
	return !strings.ContainsFunc(cell, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x2028 || r == 0x2029 || r == 0x7f
	})
}
