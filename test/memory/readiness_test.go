//go:build linux

package memory

import (
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// Eight objects are looked at at once.
func TestObjectsThatAreWaitedFor(t *testing.T) {
	const (
		pod   = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME"},"status":`
		other = `{"apiVersion":"a/v1","kind":"A","metadata":{"name":"NAME","generation":2},"status":`
	)
	for sentence, answer := range map[string]func(io.Writer){
		"with conditions that are empty": func(w io.Writer) {
			write(w, other+`{"conditions":[{}`, ",{}", 9*megabyte, `]}}`)
		},
		"with many conditions": func(w io.Writer) {
			write(w, other+`{"conditions":[{}`, `,{"type":"Ready","observedGeneration":1}`, 4*megabyte, `]}}`)
		},
		"with many small conditions": func(w io.Writer) {
			write(w, other+`{"conditions":[{}`, `,{"type":"a"}`, 3*megabyte, `]}}`)
		},
		"with a status of many fields": func(w io.Writer) {
			write(w, other+`{"a":[[]`, ",[]", 3*megabyte, `]}}`)
		},
		"with many containers in trouble": func(w io.Writer) {
			write(w, pod+`{"phase":"Failed","containerStatuses":[{}`, `,{"name":"c","state":{"terminated":{"exitCode":1}}}`, 4*megabyte, `]}}`)
		},
		"with long messages": func(w io.Writer) {
			write(w, pod+`{"phase":"Failed","message":"`, `\u001b`, 9*megabyte, `"}}`)
		},
		"with more than etcd takes": func(w io.Writer) { write(w, pod+`{"message":"`, "x", 15*megabyte, `"}}`) },
	} {
		t.Run(sentence, func(t *testing.T) {
			kind := "A"
			if strings.Contains(sentence, "containers") || strings.Contains(sentence, "messages") || strings.Contains(sentence, "etcd") {
				kind = "Pod"
			}
			in := applymanifests.CheckReadiness{
				Session: session(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					switch {
					case r.URL.Path == "/readyz":
						_, _ = io.WriteString(w, "ok")
					case strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/"):
						answer(renamed{w, path.Base(r.URL.Path)})
					default:
						write(w, `{"resources":[{}`, `,{"name":"a"}`, 15*megabyte, `]}`)
					}
				}),
				Wait:    applymanifests.Wait{TimeoutSeconds: 60},
				WaitFor: []applymanifests.Reference{{Kind: kind, Namespace: "shop", Path: "/api/v1/namespaces/shop/as", Names: strings.Split("a b c d e f g h", " ")}},
			}
			t.Parallel()
			o := invoke(t, "check-readiness", in)
			if o.failure.ErrorType != "" {
				ends(t, o, contract.NotReady, "8 of 8 objects")
			}
		})
	}
}

// renamed gives an object the name that it was asked for by: another one is not looked at.
type renamed struct {
	io.Writer
	name string
}

func (r renamed) Write(p []byte) (int, error) {
	if _, err := io.WriteString(r.Writer, strings.Replace(string(p), "NAME", r.name, 1)); err != nil {
		return 0, err
	}
	return len(p), nil
}
