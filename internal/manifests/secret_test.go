package manifests_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/task"
)

// values are kinds of values that a Secret may have. Two of a kind differ in nothing but
// their random part.
var values = map[string]func(random func(n int, of string) string) string{
	"a letter":   func(random func(int, string) string) string { return random(1, "abcdehklmnz") },
	"a number":   func(random func(int, string) string) string { return "1" + random(3, "0123456789") },
	"a word":     func(random func(int, string) string) string { return random(5, letters) },
	"a password": func(random func(int, string) string) string { return random(16, letters+"0123456789") },
	"quotes": func(random func(int, string) string) string {
		return `"` + random(12, letters) + `\'` + random(12, letters) + "`"
	},
	"YAML": func(random func(int, string) string) string {
		return "{a: [" + random(12, letters) + ", *" + random(12, letters) + "]} # !!x"
	},
	"lines": func(random func(int, string) string) string {
		return random(20, letters) + "\n" + random(3, letters) + "\r\n\t" + random(20, letters) + "\n"
	},
	"HTML": func(random func(int, string) string) string {
		return "<" + random(12, letters) + "&>" + random(12, letters)
	},
	"a URL": func(random func(int, string) string) string {
		return "postgres://u:" + random(12, letters) + "%2F@db/" + random(9, letters)
	},
	"other letters": func(random func(int, string) string) string {
		return "ü" + random(12, "äöüßéñłđ漢字😀") + "\u2028\u0085"
	},
	"bytes":            func(random func(int, string) string) string { return "\x00\x01\xff" + random(20, letters) + "\x7f\xfe" },
	"only punctuation": func(random func(int, string) string) string { return random(12, "!$%*?-_=+") },
	"sixteen times d":  nil,
}

// plain are the values that mean nothing in YAML.
var plain = map[string]bool{"a letter": true, "a word": true, "a password": true, "a number": true, "sixteen times d": true}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// drawn are two Secrets with the same keys whose values are of the same kind.
func drawn(kind string, r *rand.Rand) [2]map[string]string {
	random := func(n int, of string) string {
		runes := []rune(of)
		drawn := make([]rune, n)
		for i := range drawn {
			drawn[i] = runes[r.IntN(len(runes))]
		}
		return string(drawn)
	}
	var secrets [2]map[string]string
	for i := range secrets {
		secrets[i] = map[string]string{}
		if kind == "sixteen times d" {
			for n := range 16 {
				secrets[i][fmt.Sprintf("key-%d", n)] = string("dq"[i])
			}
			continue
		}
		for _, key := range []string{"key-1", ".key-2"} {
			secrets[i][key] = values[kind](random)
		}
	}
	return secrets
}

// secretManifest is a Secret with each value in data and in stringData, and in the copy
// that kubectl keeps.
func secretManifest(t *testing.T, values map[string]string) string {
	t.Helper()
	data, texts := map[string]string{}, map[string]string{}
	for key, value := range values {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
		if utf8.ValidString(value) {
			texts["text-of"+key] = value
		}
	}
	object := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "db"}, "data": data, "stringData": texts}
	copied, err := json.Marshal(object)
	require.NoError(t, err)
	object["metadata"].(map[string]any)["annotations"] = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(copied)}
	text, err := yaml.Marshal(object)
	require.NoError(t, err)
	return string(text)
}

// echo is a way in which a server says a value. body is the request.
type echo func(w http.ResponseWriter, value string, body []byte)

func refusal(code int32, reason metav1.StatusReason, message string) echo {
	return func(w http.ResponseWriter, value string, _ []byte) {
		says(code, reason, fmt.Sprintf(message, value))(w, nil)
	}
}

func invalid(of func(path *field.Path, value string) *field.Error) echo {
	return func(w http.ResponseWriter, value string, _ []byte) {
		err := apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "db", field.ErrorList{of(field.NewPath("data").Key("key-1"), value), of(field.NewPath("stringData").Key(value), value)})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(err.ErrStatus.Code))
		status := err.ErrStatus
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		_ = json.NewEncoder(w).Encode(status)
	}
}

const webhook = `admission webhook "policy.example.com" denied the request: `

var echoes = map[string]echo{
	"an invalid value":     invalid(func(p *field.Path, v string) *field.Error { return field.Invalid(p, v, "must be something else") }),
	"an unsupported value": invalid(func(p *field.Path, v string) *field.Error { return field.NotSupported(p, v, []string{"other " + v}) }),
	"a forbidden value":    invalid(func(p *field.Path, v string) *field.Error { return field.Forbidden(p, v+": field is immutable") }),
	"a value twice":        invalid(func(p *field.Path, v string) *field.Error { return field.Duplicate(p, v) }),
	"an error of its own": invalid(func(p *field.Path, v string) *field.Error {
		return field.InternalError(p, fmt.Errorf("because of %q", v))
	}),
	"a webhook":                  refusal(403, metav1.StatusReasonForbidden, webhook+"%s"),
	"a webhook that quotes":      refusal(422, metav1.StatusReasonInvalid, webhook+"the value %q is weak"),
	"a webhook that quotes more": refusal(400, metav1.StatusReasonBadRequest, webhook+"the value %+q is weak"),
	"a webhook with bytes":       refusal(403, metav1.StatusReasonForbidden, webhook+"%v is weak"),
	"a webhook with base64": func(w http.ResponseWriter, value string, _ []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+base64.StdEncoding.EncodeToString([]byte(value)))(w, nil)
	},
	"a webhook with base64 of something larger": func(w http.ResponseWriter, value string, _ []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+base64.URLEncoding.EncodeToString([]byte(`{"a":"`+value+`"}`)))(w, nil)
	},
	"a webhook with hexadecimal digits": func(w http.ResponseWriter, value string, _ []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+strings.ToUpper(hex.EncodeToString([]byte(value))))(w, nil)
	},
	"a webhook with a URL": func(w http.ResponseWriter, value string, _ []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+"https://example.com/?q="+url.QueryEscape(value))(w, nil)
	},
	"a webhook with HTML": func(w http.ResponseWriter, value string, _ []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+html.EscapeString(value))(w, nil)
	},
	"a webhook with the end of it": func(w http.ResponseWriter, value string, _ []byte) {
		runes := []rune(value)
		says(403, metav1.StatusReasonForbidden, webhook+"it ends with "+string(runes[max(0, len(runes)-12):]))(w, nil)
	},
	"a webhook with the object": func(w http.ResponseWriter, _ string, body []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+string(body))(w, nil)
	},
	"a webhook with the object in JSON in JSON": func(w http.ResponseWriter, _ string, body []byte) {
		once, _ := json.Marshal(string(body))
		twice, _ := json.Marshal(string(once))
		says(403, metav1.StatusReasonForbidden, webhook+string(twice))(w, nil)
	},
	"a webhook with the object in YAML": func(w http.ResponseWriter, _ string, body []byte) {
		text, _ := yaml.JSONToYAML(body)
		says(403, metav1.StatusReasonForbidden, webhook+string(text))(w, nil)
	},
	"a webhook that fails":     refusal(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "policy.example.com": received %s`),
	"an object of other types": refusal(500, "", `failed to create typed patch object (shop/db; /v1, Kind=Secret): .data.key-1: expected string, got &value.valueUnstructured{Value:%q}`),
	"what is stored":           refusal(500, "", `failed to create typed live object (shop/db; /v1, Kind=Secret): .data.key-1: expected string, got &value.valueUnstructured{Value:%v}`),
	"a permission":             refusal(403, metav1.StatusReasonForbidden, `secrets "db" is forbidden: User "%s" cannot patch resource "secrets"`),
	"a verb":                   refusal(403, metav1.StatusReasonForbidden, `secrets "db" is forbidden: User "u" cannot %s resource "secrets"`),
	"a quota":                  refusal(403, metav1.StatusReasonForbidden, `exceeded quota: %s, requested: secrets=1`),
	"something missing":        refusal(404, metav1.StatusReasonNotFound, `keys %q not found`),
	"a conflict":               refusal(409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on %s`),
	"an overloaded server":     refusal(429, metav1.StatusReasonTooManyRequests, `%s`),
	"a server error":           refusal(503, metav1.StatusReasonServiceUnavailable, `%s`),
	"a size":                   refusal(413, metav1.StatusReasonRequestEntityTooLarge, `%s`),
	"an answer that is not JSON": func(w http.ResponseWriter, value string, _ []byte) {
		w.WriteHeader(502)
		_, _ = io.WriteString(w, value)
	},
	"an answer that is no object": func(w http.ResponseWriter, value string, _ []byte) {
		_, _ = io.WriteString(w, value)
	},
	"an answer that is cut": func(w http.ResponseWriter, _ string, body []byte) { _, _ = w.Write(body[:len(body)-3]) },
	"a long text": func(w http.ResponseWriter, value string, body []byte) {
		says(403, metav1.StatusReasonForbidden, webhook+strings.Repeat("word ", 400)+value+strings.Repeat(" word", 400)+string(body))(w, nil)
	},
	"a warning": func(w http.ResponseWriter, value string, body []byte) {
		w.Header().Add("Warning", fmt.Sprintf(`299 - "the value %s is weak"`, strings.Trim(fmt.Sprintf("%+q", value), `"`)))
		_, _ = w.Write(body)
	},
	"a conflict with an owner": func(w http.ResponseWriter, _ string, _ []byte) { conflict(w, &http.Request{URL: &url.URL{}}) },
}

// said is all that comes of the Secret: plan, apply, difference, errors and log.
func said(t *testing.T, values map[string]string, tell echo, dryRun bool) (text string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := execution(t, secretManifest(t, values), func(r *applymanifests.Request) { r.Output = contract.Destination{Bucket: "b", Prefix: "diffs"} })
		const at = "/api/v1/namespaces/shop/secrets/db"
		f.objects[at] = map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "db", "resourceVersion": "6"}, "data": map[string]any{"key-1": "b2xk"}}
		if tell != nil {
			f.refuse[at] = func(w http.ResponseWriter, r *http.Request) bool {
				if dryRun != (r.URL.Query().Get("dryRun") == "All") {
					return false
				}
				body, _ := io.ReadAll(r.Body)
				tell(w, values[slices.Sorted(maps.Keys(values))[0]], body)
				return true
			}
		}
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "time" || a.Key == "_aws" || a.Key == "durationMs" || a.Key == "coldStart" {
				return slog.Attr{}
			}
			return a
		}}))
		answer := func(of any, err error) {
			text, _ := json.Marshal(of)
			fmt.Fprintf(&out, "%s\n%v\n", text, err)
		}
		ctx := within(t, time.Minute) // some answers are asked for again
		plan, err := task.Adapt(log, f.applier.Plan)(ctx, applymanifests.PlanManifests{Session: f.session})
		answer(plan, err)
		in := applymanifests.ApplyManifests{Session: f.session, Plan: applymanifests.Plan{Actions: "m"}}
		applied, err := task.Adapt(log, f.applier.Apply)(ctx, in)
		answer(applied, err)
		for key, text := range f.files {
			if strings.HasPrefix(key, "diffs/") {
				out.WriteString(text)
			}
		}
		text = strings.ReplaceAll(out.String(), f.cluster.Endpoint, "https://demo")
	})
	return text
}

// everyWay are the kinds of values that are told in every way, the others in some.
var everyWay = map[string]bool{"a letter": true, "a password": true, "lines": true}

// Whatever the values are, what is said is the same: then it tells nothing of them.
func TestNothingThatIsSaidOfASecretDependsOnItsValues(t *testing.T) {
	for kind := range values {
		t.Run(kind, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(len(kind)), 7))
			two := drawn(kind, r)
			require.NotEqual(t, two[0], two[1])
			assert.Equal(t, said(t, two[0], nil, true), said(t, two[1], nil, true))
			for i, sentence := range slices.Sorted(maps.Keys(echoes)) {
				tell := echoes[sentence]
				for _, dryRun := range []bool{true, false} {
					if !everyWay[kind] && (i+len(kind))%3 != 0 || dryRun == (i%2 == 0) {
						continue // each of them takes some milliseconds
					}
					assert.Equal(t, said(t, two[0], tell, dryRun), said(t, two[1], tell, dryRun), "%s, dry run: %t, of %q", sentence, dryRun, two)
				}
			}
		})
	}
}

// The reader quotes nothing of what it cannot read.
func TestNothingOfASecretThatIsBrokenIsSaid(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for kind := range values {
		two := drawn(kind, r)
		for _, broken := range []string{
			"data:\n  a: {%s", "data: [%s", "data: {%s: %s", "data:\n  a: 'x\n%s", "data:\n  a: \"%s", "data:\n a: x\n%s", "data:\n  a: *%s", "data:\n  a: !%s x", "data:\n  <<: %s",
			"data: %s", "data: {a: [%s]}", "stringData: {a: {b: '%s'}}", "data:\n\t%s: a", "%%TAG %s\n---\na: b", "data: &%s", "stringData: {a: |9\n%s}", "data: {a: @%s}", "data: {a: `%s}",
			"data: {a: %s, a: %s}", "\"%s\": x", "{\"data\": {\"a\": \"%s", "{\"data\": {\"a\": %s}}", "metadata: {name: x\ndata: {a: %s}", "--- %s\n...\n%s",
		} {
			var errs [2]string
			for i, values := range two {
				value := values[slices.Sorted(maps.Keys(values))[0]]
				text := "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n" + strings.ReplaceAll(strings.ReplaceAll(broken, "%%", "%"), "%s", value) + "\n"
				if strings.HasPrefix(broken, "{") || strings.HasPrefix(broken, "%%") {
					text = strings.ReplaceAll(strings.ReplaceAll(broken, "%%", "%"), "%s", value)
				}
				if _, err := manifests.Read([]byte(text), manifests.Rules{}); err != nil {
					errs[i] = err.Error()
				}
			}
			if plain[kind] {
				assert.Equal(t, errs[0], errs[1], "%s of %q", broken, two)
				continue
			}
			for i, values := range two { // what is wrong depends on the value, and may not show it
				for _, value := range values {
					assert.NotContains(t, errs[i], value, broken)
					assert.NotContains(t, errs[i], strings.Trim(fmt.Sprintf("%q", value), `"`), broken)
				}
			}
		}
	}
}

func TestWhatIsWrongWithASecretIsSaidWithoutItsValues(t *testing.T) {
	long := map[string]string{"key-1": "correct horse battery staple"}
	for sentence, c := range map[string]struct {
		values map[string]string
		tell   echo
		want   string
	}{
		"by field and reason":                {long, echoes["an invalid value"], "does not accept Secret shop/db (document 1): data[key-1]: Invalid value, stringData: Invalid value"},
		"that it may not be changed":         {long, echoes["a forbidden value"], "data[key-1]: Forbidden: field is immutable, stringData: Forbidden: field is immutable"},
		"in the words of a webhook":          {long, refusal(403, "", webhook+"the label team is missing%.0s"), webhook + "the label team is missing. This is not about permissions"},
		"unless these hold a value":          {long, refusal(403, "", webhook+"%s is weak"), "does not admit Secret shop/db (document 1): admission webhook \"policy.example.com\" denied the request (why is left out, because it may hold a value of the Secret"},
		"or a part of one":                   {long, refusal(403, "", webhook+"\"battery\" is weak%.0s"), webhook},
		"or a longer one":                    {long, refusal(403, "", webhook+"horse battery is weak%.0s"), "denied the request (why is left out"},
		"or may, as a short one is anywhere": {map[string]string{"key-1": "d"}, refusal(403, "", webhook+"the label team is missing%.0s"), "denied the request (why is left out"},
		"which a sentence is not":            {map[string]string{"key-1": "d"}, refusal(403, "", "secrets \"db\" is forbidden: exceeded quota: q%.0s"), `"exceeded quota" (the rest is left out`},
		"which webhook failed":               {map[string]string{"key-1": "d"}, echoes["a webhook that fails"], `Admission webhook "policy.example.com" failed, so`},
		"that it is not allowed":             {map[string]string{"key-1": "d"}, refusal(403, "", `secrets "db" is forbidden: User "u" cannot patch resource "secrets"%.0s`), "does not let arn:aws:iam::111122223333:role/path/reader patch Secret shop/db"},
	} {
		t.Run(sentence, func(t *testing.T) {
			assert.Contains(t, strings.ReplaceAll(said(t, c.values, c.tell, true), `\`, ""), c.want)
		})
	}
}

// With values that were replaced one by one, this took the function's memory.
func TestATextAboutASecretIsReadOnce(t *testing.T) {
	values := map[string]string{}
	for i := range 1000 {
		values[fmt.Sprintf("key-%d", i)] = strings.Repeat("d", 1+i%40)
	}
	values["long"] = strings.Repeat("d", 1<<18)
	text := said(t, values, func(w http.ResponseWriter, _ string, _ []byte) {
		says(422, metav1.StatusReasonInvalid, strings.Repeat("d", 200<<10))(w, nil)
	}, true)
	assert.Contains(t, text, "(what it says is left out")
	assert.Less(t, len(text), 1<<20)
}
