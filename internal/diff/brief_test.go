package diff

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheValuesOfAChangeFitOnALine(t *testing.T) {
	long := strings.Repeat("registry.example.com/", 4)
	for sentence, c := range map[string]struct {
		live, next, before, after string
	}{
		"a number":                           {"spec: {replicas: 3}", "spec: {replicas: 1}", "3", "1"},
		"a text":                             {"data: {a: info}", "data: {a: debug}", `"info"`, `"debug"`},
		"a text that looks like a number":    {`data: {a: "1"}`, "data: {a: 1}", `"1"`, "1"},
		"a new field":                        {"data: {}", "data: {a: x}", "", `"x"`},
		"a field that goes":                  {"data: {a: x, b: y}", "data: {b: y}", `"x"`, ""},
		"a map":                              {"a: {}", "a: {b: {d: [1, true], c: x}}", "", `{"c":"x","d":[1,true]}`},
		"another type":                       {"a: {b: c}", "a: [b]", `{"b":"c"}`, `["b"]`},
		"lines":                              {"data: {a: \"x\\ny\"}", "data: {a: \"x\\nz\"}", `"x\ny"`, `"x\nz"`},
		"what a terminal would obey":         {"data: {a: x}", `data: {a: "\e[2J"}`, `"x"`, `"\u001b[2J"`},
		"long texts differ where it is seen": {"i: " + long + "web:1", "i: " + long + "web:2", `"…example.com/web:1"`, `"…example.com/web:2"`},
		"texts that differ at the beginning": {"i: a" + long, "i: b" + long, `"a` + long[:62] + `…`, `"b` + long[:62] + `…`},
		"a long list is cut":                 {"b: 1", "b: 1\na: [" + strings.Repeat("1, ", 100) + "1]", "", "[" + strings.Repeat("1,", 31) + "1…"},
	} {
		t.Run(sentence, func(t *testing.T) {
			changes := Compare(object(t, c.live), object(t, c.next), Rules{})
			require.NotEmpty(t, changes)
			before, after := changes[0].Values()
			assert.Equal(t, []string{c.before, c.after}, []string{before, after})
			assert.LessOrEqual(t, max(len(before), len(after)), MaxBrief+len("…"))
		})
	}
}

func TestWhatMustNotBeShownHasNoValues(t *testing.T) {
	for sentence, c := range map[string]struct{ live, next string }{
		"a Secret's":                             {"data: {pin: hunter2}", "data: {pin: hunter3}"},
		"the copy that kubectl keeps":            {annotated, "metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter3}}"},
		"a variable named as a password":         {"env: [{name: DB_PASSWORD, value: hunter2}]", "env: [{name: DB_PASSWORD, value: hunter3}]"},
		"a new variable named as a password":     {"env: [{name: A}]", "env: [{name: A}, {name: DB_PASSWORD, value: hunter2}]"},
		"a container with a password in its env": {"c: [{name: a}]", "c: [{name: a}, {name: b, env: [{name: API_KEY, value: hunter2}]}]"},
		"a short name":                           {"env: [{name: DB_PASS, value: hunter2}]", "env: [{name: DB_PASS, value: hunter3}]"},
		"a name that is there twice":             {"env: [{name: DB_PASSWORD, value: hunter2}, {name: DB_PASSWORD}]", "env: [{name: DB_PASSWORD, value: hunter3}, {name: DB_PASSWORD}]"},
		"a pair of key and value":                {"tags: [{key: DB_PASSWORD, value: hunter2}]", "tags: [{key: DB_PASSWORD, value: hunter3}]"},
		"what follows a flag":                    {"args: [--password, hunter2]", "args: [--password, hunter3]"},
		"a password in a URL":                    {"data: {DB: 'postgres://app:hunter2@db/x'}", "data: {DB: 'postgres://app:hunter3@db/x'}"},
		"a user in a URL":                        {"data: {REPO: 'https://hunter2@git.example.com/x'}", "data: {REPO: 'https://hunter3@git.example.com/x'}"},
		"a data source name":                     {"data: {DB: 'app:hunter2@tcp(db:3306)/x'}", "data: {DB: 'app:hunter3@tcp(db:3306)/x'}"},
		"a header":                               {"data: {h: 'Authorization: Basic hunter2'}", "data: {h: 'Authorization: Basic hunter3'}"},
		"a key":                                  {`data: {pem: "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6hunter2"}`, `data: {pem: "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6hunter3"}`},
		"a shorter name":                         {"env: [{name: DB_PW, value: hunter2}]", "env: [{name: DB_PW, value: hunter3}]"},
		"a key of an application":                {"env: [{name: DD_APP_KEY, value: hunter2}]", "env: [{name: DD_APP_KEY, value: hunter3}]"},
		"a user and a password of a proxy":       {"spec: {basicAuth: 'app:hunter2'}", "spec: {basicAuth: 'app:hunter3'}"},
		"a JWT":                                  {"data: {a: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter2}", "data: {a: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter3}"},
		"what a registry takes, in base64":       {"data: {a: eyJhdXRocyI6eyJxdWF5LmlvIjp7fX19}", "data: {a: eyJhdXRocyI6eyJxdWF5LmlvIjp7fX18}"},
		"a hash of a password":                   {"data: {users: 'ada:$2y$05$abc'}", "data: {users: 'ada:$2y$05$abd'}"},
		"what a service gave":                    {"data: {git: ghp_hunter2}", "data: {git: ghp_hunter3}"},
		"a name before what is shown":            {"data: {c: 'log: info, level: 1, format: json, db.password: correct-horse-battery-staple-hunter2'}", "data: {c: 'log: info, level: 1, format: json, db.password: correct-horse-battery-staple-hunter3'}"},
		"a name after what is shown":             {"a: {}", "a: {b: {default: hunter2" + strings.Repeat("x", 64) + ", name: db-password}}"},
		"the copy that kapp keeps":               {kept("hunter2"), kept("hunter3")},
	} {
		t.Run(sentence, func(t *testing.T) {
			changes := Compare(object(t, c.live), object(t, c.next), Rules{Secret: sentence == "a Secret's"})
			require.NotEmpty(t, changes)
			before, after := changes[0].Values()
			assert.Empty(t, before+after)
		})
	}
}

func kept(value string) string {
	return `metadata: {annotations: {kapp.k14s.io/original: '{"kind":"Deployment","spec":{"env":[{"name":"DB_PASSWORD","value":"` + value + `"}]}}'}}`
}

func TestWhatIsNoCredentialIsShown(t *testing.T) {
	for sentence, c := range map[string]struct{ live, next string }{
		"an image with a digest":   {"image: web:1@sha256:aa", "image: web:2@sha256:aa"},
		"a URL with a port":        {"url: https://example.com:8080/a", "url: https://example.com:8080/b"},
		"who has a role":           {"subjects: []", "subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: a}]"},
		"an application, and keys": {"match: [{key: app, value: pwa}]", "match: [{key: app, value: basic-authors}]"},
		"a key of a map":           {"topologyKey: zone", "topologyKey: host"},
	} {
		t.Run(sentence, func(t *testing.T) {
			changes := Compare(object(t, c.live), object(t, c.next), Rules{})
			require.NotEmpty(t, changes)
			_, after := changes[0].Values()
			assert.NotEmpty(t, after)
		})
	}
}

func TestAValueIsJSONWhateverItHolds(t *testing.T) {
	for value, want := range map[string]string{
		"":                        `""`,
		"plain, \"quoted\" \\":    `"plain, \"quoted\" \\"`,
		"a\tb\r\nc":               `"a\tb\r\nc"`,
		"\x00\a\v\x1b[2J\x7f":     `"\u0000\u0007\u000b\u001b[2J\u007f"`,
		"läuft ✓ <b>&":            `"läuft ✓ <b>&"`,
		"\u202eright\u200b\u00a0": `"\u202eright\u200b\u00a0"`,
		"\U000e0001":              `"\udb40\udc01"`,
		"not UTF-8: \xff":         `"not UTF-8: \ufffd"`,
	} {
		_, after := Change{path: "a", new: value}.Values()
		assert.Equal(t, strings.Replace(want, `\ufffd`, "\ufffd", 1), after)
		var read string
		require.NoError(t, json.Unmarshal([]byte(after), &read), after)
		assert.Equal(t, strings.ToValidUTF8(value, "\ufffd"), read)
	}
	_, after := Change{path: "a", new: map[string]any{"k\x1b": []any{"\a", 1, nil}}}.Values()
	assert.Equal(t, `{"k\u001b":["\u0007",1,null]}`, after)
}

func TestAValueOfMegabytesIsNotWrittenWhole(t *testing.T) {
	large := map[string]any{}
	for range 8 {
		large = map[string]any{strings.Repeat("k", 1<<16): large, "v": []any{strings.Repeat("x", 1<<20)}}
	}
	allocated := testing.AllocsPerRun(1, func() {
		_, after := Change{path: "a", new: large}.Values()
		assert.LessOrEqual(t, len(after), MaxBrief+len("…"))
	})
	assert.Less(t, allocated, 100.0)
}
