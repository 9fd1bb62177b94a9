//go:build linux

package memory

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

const (
	megabyte = 1 << 20
	columns  = `"columnDefinitions":[{"name":"Name"},{"name":"Ready"},{"name":"Status"},{"name":"Restarts"},{"name":"Age"},{"name":"IP"},{"name":"Node"}]`
	list     = `{"kind":"Table","metadata":{},` + columns + `,"rows":[`
)

// Four namespaces are listed at once.
func TestATableOfPods(t *testing.T) {
	for sentence, c := range map[string]struct {
		answer func(io.Writer)
		name   contract.ErrorName
		text   string
	}{
		"with 15 MiB of column definitions": {func(w io.Writer) {
			write(w, `{"kind":"Table","columnDefinitions":[{"name":"Name"},{"name":"Status"}`, ",{}", 15*megabyte, `],"rows":[]}`)
		}, contract.ClusterUnreachable, "the table beside its rows has more than 65536 bytes"},
		"with 15 MiB of metadata": {func(w io.Writer) {
			write(w, `{"kind":"Table","metadata":{"managedFields":[{}`, ",{}", 15*megabyte, `]},`+columns+`,"rows":[]}`)
		}, contract.ClusterUnreachable, "the table beside its rows has more than 65536 bytes"},
		"with a continue token of 10 MiB": {func(w io.Writer) {
			write(w, `{"kind":"Table","metadata":{"continue":"`, "x", 10*megabyte, `"},`+columns+`,"rows":[]}`)
		}, contract.ClusterUnreachable, "the table beside its rows has more than 65536 bytes"},
		"with a key of 10 MiB": {func(w io.Writer) { write(w, `{"`, "x", 10*megabyte, `":1,`+columns+`,"rows":[]}`) },
			contract.ClusterUnreachable, "the table beside its rows has more than 65536 bytes"},
		"that goes on after its rows": {func(w io.Writer) { write(w, list+`],"other":"`, "x", 10*megabyte, `"}`) },
			contract.ClusterUnreachable, "the table beside its rows has more than 65536 bytes"},
		"with a cell of 15 MiB": {func(w io.Writer) { write(w, list+`{"cells":["`, "x", 15*megabyte, `"]}]}`) },
			contract.ClusterUnreachable, "a row of the table has more than 2097152 bytes"},
		"with many cells in a row": {func(w io.Writer) { write(w, list+`{"cells":["a"`, `,"a"`, 15*megabyte, `]}]}`) },
			contract.ClusterUnreachable, "a row of the table has more than 2097152 bytes"},
		"with a nested cell":  {func(w io.Writer) { write(w, list+`{"cells":["a","1/1",`, `[`, 15*megabyte, "") }, contract.ClusterUnreachable, "max depth"},
		"with a nested value": {func(w io.Writer) { write(w, `{"kind":"Table","other":`, `{"a":`, 15*megabyte, "") }, contract.ClusterUnreachable, "max depth"},
		"with more than 16 MiB": {func(w io.Writer) {
			write(w, list+`{"cells":["a","","s"]}`, `,{"cells":["a","","s"]}`, 17*megabyte, "]}")
		}, contract.ClusterUnreachable, "it is larger than 16777216 bytes"},
		"with rows of 1,000 KiB": {func(w io.Writer) {
			write(w, list+`{}`, `,{"cells":["`+strings.Repeat(`\u003c`, 170<<10)+`","","s"]}`, 14*megabyte, "]}")
		}, "", ""},
		"with 400,000 rows of as many statuses": {func(w io.Writer) {
			_, _ = io.WriteString(w, list+"{}")
			for i := range 400_000 {
				_, _ = io.WriteString(w, `,{"cells":["a","",`+digits(i)+`]}`)
			}
			_, _ = io.WriteString(w, "]}")
		}, "", ""},
		"that is refused with 16 MiB": {nil, contract.ClusterUnreachable, "(500)"},
	} {
		t.Run(sentence, func(t *testing.T) {
			in := podinventory.ListPods{Session: session(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if c.answer == nil {
					w.WriteHeader(http.StatusInternalServerError)
					write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"`, "x", 16*megabyte, `"}`)
					return
				}
				c.answer(w)
			}), Namespaces: []string{"a", "b", "c", "d"}, MaxItems: 100}
			t.Parallel()
			o := invoke(t, "list-pods", in)
			ends(t, o, c.name, c.text)
		})
	}
}

func digits(i int) string {
	text := []byte(`"000000"`)
	for at := 6; at > 0; at-- {
		text[at] += byte(i % 10)
		i /= 10
	}
	return string(text)
}

func TestAListOfNamespaces(t *testing.T) {
	for sentence, answer := range map[string]func(io.Writer){
		"of 300,000": func(w io.Writer) {
			_, _ = io.WriteString(w, list+`{"cells":["a"]}`)
			for i := range 300_000 {
				_, _ = io.WriteString(w, `,{"cells":[`+digits(i)+`,"","Active"]}`)
			}
			_, _ = io.WriteString(w, "]}")
		},
		"of which each has a long name": func(w io.Writer) {
			write(w, list+`{"cells":["a"]}`, `,{"cells":["`+strings.Repeat("n", 2000)+`"]}`, 15*megabyte, "]}")
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := podinventory.ListPods{Session: session(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/pods") {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":403}`)
					return
				}
				answer(w)
			}), Namespaces: []string{contract.AllNamespaces}}
			ends(t, invoke(t, "list-pods", in), contract.Forbidden, "")
		})
	}
}

func TestTheAnswerToAReview(t *testing.T) {
	for sentence, c := range map[string]struct {
		status int
		answer func(io.Writer)
		name   contract.ErrorName
	}{
		"that does not end":      {201, func(w io.Writer) { write(w, `{"status":{"reason":"`, "x", 100*megabyte, "") }, contract.ClusterUnreachable},
		"with a MiB of groups":   {201, func(w io.Writer) { write(w, `{"spec":{"groups":[""`, `,""`, megabyte-100, `]}}`) }, contract.ClusterUnreachable},
		"with many other fields": {201, func(w io.Writer) { write(w, `{"a":[1`, `,{}`, megabyte-100, `]}`) }, contract.ClusterUnreachable},
		"nested deep":            {201, func(w io.Writer) { write(w, `{"a":`, `[`, megabyte-100, ``) }, contract.ClusterUnreachable},
		"that is a long refusal": {403, func(w io.Writer) {
			write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":403,"details":{"causes":[{}`, `,{}`, 100*megabyte, `]}}`)
		}, contract.Forbidden},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := contract.VerifyRBAC{Session: session(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				c.answer(w)
			})}
			for i := range 100 {
				in.Checks = append(in.Checks, contract.Check{Verb: "list", Resource: "pods", Namespace: "n" + strings.Trim(digits(i), `"`)})
			}
			ends(t, invoke(t, "verify-rbac", in), c.name, "")
		})
	}
}
