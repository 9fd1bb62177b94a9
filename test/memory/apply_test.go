//go:build linux

package memory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// manifests of as many ConfigMaps.
func configMaps(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%05d}\ndata: {a: b}\n", i)
	}
	return b.String()
}

// cluster answers by what is asked. What is nil answers as an API server does.
type cluster struct {
	kinds, patched, got, reviewed func(w http.ResponseWriter)
}

const (
	small     = `{"metadata":{"namespace":"shop","resourceVersion":"7"},"data":{"a":"b"}}`
	kindsOfV1 = `{"kind":"APIResourceList","resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true},{"name":"secrets","kind":"Secret","namespaced":true}`
)

func (c cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(w http.ResponseWriter) { _, _ = io.WriteString(w, small) }
	special := c.got
	switch {
	case r.Method == http.MethodPost:
		answer = func(w http.ResponseWriter) { // as it was asked, and allowed
			var review map[string]any
			_ = json.NewDecoder(r.Body).Decode(&review)
			spec, _ := review["spec"].(map[string]any)
			asked, _ := spec["resourceAttributes"].(map[string]any)
			// By name only, so that it is asked for.
			review["status"] = map[string]any{"allowed": asked["verb"] != "create" || asked["name"] != nil}
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(review)
		}
		special = c.reviewed
	case strings.Count(r.URL.Path, "/") <= 3:
		answer, special = func(w http.ResponseWriter) { _, _ = io.WriteString(w, kindsOfV1+"]}") }, c.kinds
	case r.Method == http.MethodPatch:
		_, _ = io.Copy(io.Discard, r.Body)
		special = c.patched
	}
	w.Header().Set("Content-Type", "application/json")
	if special != nil {
		answer = special
	}
	answer(identified{w, r})
}

// identified makes the answer the object that was asked for: another one is not read to its end.
type identified struct {
	http.ResponseWriter
	of *http.Request
}

func (i identified) Write(p []byte) (int, error) {
	kind := "ConfigMap"
	if strings.Contains(i.of.URL.Path, "/secrets/") {
		kind = "Secret"
	}
	if strings.Contains(i.of.Header.Get("Accept"), "as=PartialObjectMetadata") {
		kind = "PartialObjectMetadata"
	}
	identity := fmt.Sprintf(`{"apiVersion":"v1","kind":%q,"metadata":{"name":%q,`, kind, path.Base(i.of.URL.Path))
	if _, err := i.ResponseWriter.Write(bytes.Replace(p, []byte(`{"metadata":{`), []byte(identity), 1)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// manifestsSession is one with a cluster that answers so, and manifests in S3.
func manifestsSession(t *testing.T, c http.HandlerFunc, manifests string) (in applymanifests.Session, b *bucket, endpoint string) {
	t.Helper()
	b, endpoint = s3(t, map[string]string{"m.yaml": manifests})
	sum := sha256.Sum256([]byte(manifests))
	in = applymanifests.Session{
		Session: session(t, c),
		Request: applymanifests.Request{
			Source: applymanifests.Source{Bucket: "b", Key: "m.yaml"}, Namespace: "shop", Mode: applymanifests.ModeApply,
			Wait: applymanifests.Wait{TimeoutSeconds: 60}, Output: contract.Destination{Bucket: "b"},
		},
		Manifests: applymanifests.LoadedManifests{SHA256: hex.EncodeToString(sum[:]), Objects: strings.Count(manifests, "\nkind:")},
	}
	return in, b, endpoint
}

// Of 1.5 MiB, as etcd takes them.
var (
	manyKeys   = counted(`,"k%06d":""`, 128_000)
	manyFields = counted(`,"f:k%06d":{}`, 96_000)
	manyNames  = counted(`,{"name":"%06d"}`, 87_000)
)

// objects are answers to a request for one object.
var objects = map[string]func(w http.ResponseWriter){
	"of 16 MiB": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8"},"a":"`, "x", 16*megabyte, `"}`)
	},
	"of all that is read": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8"},"a":"`, `\u003c`, 10*megabyte-200<<10, `"}`)
	},
	"of as many values as are decoded": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8"},"a":[{}`, `,{}`, 1450<<10, `]}`)
	},
	"of more values": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8"},"a":[{}`, `,{}`, 9*megabyte, `]}`)
	},
	"of as many keys": func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, `{"metadata":{"resourceVersion":"8"},"data":{"a":""`+manyKeys+`}}`)
	},
	"of as many names": func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, `{"metadata":{"resourceVersion":"8"},"data":[{"name":""}`+manyNames+`]}`)
	},
	"of huge managedFields": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8","managedFields":[{"manager":"kubestep","operation":"Apply","fieldsV1":{"f:data":[{}`, `,{}`, 1400<<10, `]}}]}}`)
	},
	"of fields that others own": func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, `{"metadata":{"resourceVersion":"8","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"},"managedFields":[`+
			`{"manager":"kubectl-client-side-apply","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}`+manyFields+`}}}]},"data":{"a":""`+manyKeys+`}}`)
	},
	"of many owners": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8","managedFields":[{}`, `,{"manager":"kubectl-client-side-apply","operation":"Update","fieldsV1":{"f:data":{"f:a":{}}}}`, 1400<<10, `]}}`)
	},
	"with many finalizers, that is being deleted": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a"`, `,"example.com/finalizer"`, 1400<<10, `]}}`)
	},
	"with many warnings": func(w http.ResponseWriter) {
		for i := range 55 {
			w.Header().Add("Warning", fmt.Sprintf(`299 - "%d%s"`, i, strings.Repeat("w", 1000)))
		}
		_, _ = io.WriteString(w, small)
	},
	"nested 9,000 levels with long keys": func(w http.ResponseWriter) {
		write(w, `{"metadata":{"resourceVersion":"8"},"a":`, `{"`+strings.Repeat("k", 1000)+`":`, 9000*1005, `1`+strings.Repeat("}", 9100))
	},
	"nested a million levels": func(w http.ResponseWriter) { write(w, `{"a":`, `[`, megabyte, ``) },
	"in a long refusal": func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":422,"reason":"Invalid","message":"`, `\u003c`, 100<<10, `","details":{"causes":[{}`+strings.Repeat(`,{}`, 30_000)+`]}}`)
	},
	"in a refusal that does not end": func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusInternalServerError)
		write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"message":"`, `x`, 100*megabyte, ``)
	},
	"in a long list of conflicts": func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusConflict)
		write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":409,"reason":"Conflict","details":{"causes":[{"reason":"FieldManagerConflict","message":"","field":""}`,
			`,{"reason":"FieldManagerConflict","message":"conflict with \u003c","field":".data.\u003c"}`, 200<<10, `]}}`)
	},
}

func TestAnObjectOfAHostileServer(t *testing.T) {
	for sentence, answer := range objects {
		t.Run(sentence, func(t *testing.T) {
			for _, c := range []struct {
				function, sentence string
				cluster            cluster
				payload            func(applymanifests.Session) any
			}{
				{"plan-manifests", "planned, of the dry run", cluster{patched: answer}, planned},
				{"plan-manifests", "planned, of that and the live object", cluster{got: answer, patched: func(w http.ResponseWriter) { answer(spaced{w}) }}, planned},
				{"apply-manifests", "applied", cluster{patched: answer}, applied},
				{"check-readiness", "checked", cluster{got: answer}, checked},
				{"verify-apply", "verified", cluster{got: answer}, verified},
			} {
				t.Run(c.sentence, func(t *testing.T) {
					t.Parallel()
					in, _, endpoint := manifestsSession(t, c.cluster.ServeHTTP, configMaps(9))
					invoke(t, c.function, c.payload(in), endpoint)
				})
			}
		})
	}
}

// spaced writes the same JSON in other bytes.
type spaced struct{ http.ResponseWriter }

func (s spaced) Write(p []byte) (int, error) {
	_, err := io.WriteString(s.ResponseWriter, strings.Replace(string(p), `"8"`, `"9"`, 1))
	return len(p), err
}

func planned(in applymanifests.Session) any  { return applymanifests.PlanManifests{Session: in} }
func verified(in applymanifests.Session) any { return applymanifests.VerifyApply{Session: in} }
func applied(in applymanifests.Session) any {
	return applymanifests.ApplyManifests{Session: in, Plan: applymanifests.Plan{Actions: strings.Repeat("m", in.Manifests.Objects)}}
}
func checked(in applymanifests.Session) any {
	names := make([]string, in.Manifests.Objects)
	for i := range names {
		names[i] = fmt.Sprintf("c%05d", i)
	}
	return applymanifests.CheckReadiness{Session: in.Session, Wait: in.Request.Wait, WaitFor: []applymanifests.Reference{{Kind: "ConfigMap", Namespace: "shop", Path: "/api/v1/namespaces/shop/configmaps", Names: names}}}
}

func TestTheKindsOfAHostileServer(t *testing.T) {
	for sentence, answer := range map[string]func(w http.ResponseWriter){
		"of 100 MiB": func(w http.ResponseWriter) { write(w, kindsOfV1, `,{}`, 100*megabyte, `]}`) },
		"of all that is read, each of which is another kind": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, kindsOfV1)
			for i := range 40_000 {
				_, _ = io.WriteString(w, `,{"kind":`+digits(i)+`}`)
			}
			_, _ = io.WriteString(w, `]}`)
		},
		"that are empty":  func(w http.ResponseWriter) { write(w, kindsOfV1, `,{}`, 1000<<10, `]}`) },
		"that are nested": func(w http.ResponseWriter) { write(w, `{"resources":`, `[`, 1000<<10, ``) },
		"in an endless refusal": func(w http.ResponseWriter) {
			w.WriteHeader(404)
			write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"message":"`, `x`, 100*megabyte, ``)
		},
		"in headers without end": func(w http.ResponseWriter) {
			for i := range 10_000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
			}
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			// As many groups as there can be: each is asked for its kinds.
			var b strings.Builder
			for i := range 24 {
				fmt.Fprintf(&b, "---\napiVersion: g%d.example.com/v1\nkind: ConfigMap\nmetadata: {name: c}\n", i)
			}
			for _, c := range []struct {
				function string
				payload  func(applymanifests.Session) any
			}{{"plan-manifests", planned}, {"apply-manifests", applied}, {"verify-apply", verified}} {
				in, _, endpoint := manifestsSession(t, cluster{kinds: answer}.ServeHTTP, b.String())
				invoke(t, c.function, c.payload(in), endpoint)
			}
		})
	}
}

// The largest that load-manifests accepts. What it refuses is in TestManifests.
func TestManifestsThatAreLarge(t *testing.T) {
	const header = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
	for sentence, text := range map[string]string{
		"a dense object of 3 MiB":   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":[` + strings.Repeat("{},", (3<<20-100)/3) + `{}]}`,
		"many keys":                 `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":""` + counted(`,"k%d":""`, 230_000) + `}}`,
		"one text":                  header + "data: {a: '" + strings.Repeat("x", 2<<20) + "'}\n",
		"control characters":        header + "data: {a: \"" + strings.Repeat(`\x01`, 400<<10) + "\"}\n",
		"a thousand objects":        configMaps(1000),
		"a thousand kinds":          counted("---\napiVersion: g%[1]d.example.com/v1\nkind: ConfigMap\nmetadata: {name: c}\n", 1000),
		"a thousand objects of 9 K": counted("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {a: '"+strings.Repeat("x", 9000)+"'}\n", 1000),
		"a thousand Secrets":        counted("---\napiVersion: v1\nkind: Secret\nmetadata: {name: c%d}\nstringData: {a: '"+strings.Repeat("x", 9000)+"'}\n", 1000),
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in, _, endpoint := manifestsSession(t, cluster{}.ServeHTTP, text)
			in.Request.Wait = applymanifests.Wait{} // for which their names would be too many
			o := invoke(t, "load-manifests", applymanifests.LoadManifests{Execution: in.Execution, Cluster: in.Cluster, Request: in.Request}, endpoint)
			ends(t, o, "", "")
			for _, c := range []struct {
				function string
				payload  func(applymanifests.Session) any
			}{{"verify-apply", verified}, {"plan-manifests", planned}, {"apply-manifests", applied}} {
				ends(t, invoke(t, c.function, c.payload(in), endpoint), "", "")
			}
		})
	}
	t.Run("a thousand Secrets, of which each is refused", func(t *testing.T) {
		refused := func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			write(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":403,"message":"admission webhook \"a\" denied the request: `, "x", 100<<10, `"}`)
		}
		in, _, endpoint := manifestsSession(t, cluster{patched: refused}.ServeHTTP, counted("---\napiVersion: v1\nkind: Secret\nmetadata: {name: c%d}\nstringData: {a: '"+strings.Repeat("x", 9000)+"'}\n", 1000))
		ends(t, invoke(t, "plan-manifests", planned(in), endpoint), contract.Forbidden, "is left out")
		ends(t, invoke(t, "apply-manifests", applied(in), endpoint), contract.Forbidden, "is left out")
	})
}

func counted(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// The whole difference of many objects is written in rounds.
func TestADifferenceThatIsLargerThanTheMemory(t *testing.T) {
	long := func(letter string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			write(w, `{"metadata":{"resourceVersion":"8"},"data":{"a":"`, letter, megabyte, `"}}`)
		}
	}
	in, b, endpoint := manifestsSession(t, cluster{got: long("a"), patched: long("b")}.ServeHTTP, configMaps(500))
	invoke(t, "plan-manifests", planned(in), endpoint)
	assert.NotEmpty(t, b.held)
}
