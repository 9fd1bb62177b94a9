package main

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const secretValue = "correct-horse"

const aSecret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: " + secretValue + "}\n"

// inJSON is a text as JSON has it.
func inJSON(t *testing.T, text string) string {
	t.Helper()
	encoded, err := json.Marshal(text)
	require.NoError(t, err)
	return string(encoded)
}

// started runs the command, and returns its exit status and the execution input that it started.
func started(t *testing.T, args ...string) (status int, input, stderr string) {
	t.Helper()
	s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `{}`})
	status, _, stderr = kubestep(t.Context(), append(args, "--state-machine-arn", podMachine)...)
	for _, c := range s.called("StartExecution") {
		input += c.body["input"].(string)
	}
	return status, input, stderr
}

func TestWhatTheFunctionsRefuseIsNotStarted(t *testing.T) {
	secret := inJSON(t, aSecret)
	for sentence, args := range map[string][]string{
		"manifests beside the request":                {"fleet", "-i", `{"workflow":"apply-manifests","clusters":["demo"],"manifests":` + secret + `}`},
		"a request in a string":                       {"fleet", "-i", `{"workflow":"apply-manifests","clusters":["demo"],"request":` + inJSON(t, `{"manifests":`+secret+`}`) + `}`},
		"a request in an array":                       {"fleet", "-i", `{"workflow":"apply-manifests","clusters":["demo"],"request":[{"manifests":` + secret + `}]}`},
		"manifests with another name":                 {"fleet", "demo", "--workflow", "apply-manifests", "--request", `{"manifest":` + secret + `}`},
		"a request with another name":                 {"fleet", "-i", `{"workflow":"apply-manifests","clusters":["demo"],"requests":{"manifests":` + secret + `}}`},
		"a request in a request":                      {"fleet", "demo", "--workflow", "apply-manifests", "--request", `{"request":{"manifests":` + secret + `}}`},
		"manifests in a cluster":                      {"fleet", "-i", `{"workflow":"apply-manifests","clusters":[{"clusterName":"demo","manifests":` + secret + `}]}`},
		"a request in capitals beside another":        {"fleet", "-i", `{"workflow":"apply-manifests","clusters":["demo"],"request":{"source":{"bucket":"abc","key":"k"}},"Request":{"manifests":` + secret + `}}`},
		"manifests for the pods of a fleet":           {"fleet", "demo", "--request", `{"manifests":` + secret + `}`},
		"a workflow that there is not":                {"fleet", "demo", "--workflow", "apply", "--request", `{"manifests":` + secret + `}`},
		"another name for apply":                      {"apply", "-i", `{"clusterName":"demo","manifest":` + secret + `}`},
		"a request for apply":                         {"apply", "-i", `{"clusterName":"demo","request":{"manifests":` + secret + `}}`},
		"manifests in source":                         {"apply", "-i", `{"clusterName":"demo","source":{"manifests":` + secret + `}}`},
		"the input in an array":                       {"apply", "-i", `[{"clusterName":"demo","manifests":` + secret + `}]`},
		"the Secret as the input":                     {"apply", "-i", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db"},"stringData":{"password":"` + secretValue + `"}}`},
		"the Secret as manifests":                     {"apply", "-i", `{"manifests":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db"},"stringData":{"password":"` + secretValue + `"}}}`},
		"manifests for the pods":                      {"inventory", "demo", "-i", `{"manifests":` + secret + `}`},
		"manifests twice, the last one without":       {"apply", "-i", `{"manifests":` + secret + `,"manifests":"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}"}`},
		"manifests twice, of which a flag is another": {"apply", "-i", `{"source":` + secret + `,"source":null}`, "--source", "s3://abc/k"},
		"manifests twice in the request of a fleet":   {"fleet", "demo", "--workflow", "apply-manifests", "--request", `{"manifests":` + secret + `,"manifests":"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}"}`},
		"another mode later":                          {"apply", "-i", `{"mode":"plan","source":{"bucket":"abc","key":"k"},"mode":"apply"}`},
		"a Region of a cluster twice":                 {"fleet", "-i", `{"clusters":[{"clusterName":"demo","region":"us-east-1","region":"eu-central-1"}]}`},
		"a tag twice":                                 {"fleet", "-i", `{"regions":["eu-west-1"],"tags":{"env":"prod","env":"test"}}`},
		"a number as the input":                       {"apply", "-i", "3"},
		"no clusters":                                 {"fleet"},
		"none at once":                                {"fleet", "demo", "--concurrency", "0"},
		"more than all may fail":                      {"fleet", "demo", "--tolerate", "101%"},
		"a namespace in capitals":                     {"inventory", "demo", "-n", "Shop"},
		"a cluster with a space":                      {"inventory", "de mo"},
	} {
		t.Run(sentence, func(t *testing.T) {
			status, input, stderr := started(t, args...)
			assert.Equal(t, misused, status, stderr)
			assert.Empty(t, input)
			assert.Contains(t, stderr, "Nothing was started.")
			assert.NotContains(t, stderr, secretValue)
		})
	}
}

// The command does not know the parameters of the stack, so what depends on them is theirs to refuse.
func TestWhatDependsOnTheStackIsStarted(t *testing.T) {
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\n"
	for sentence, args := range map[string][]string{
		"a default cluster":                         {"inventory"},
		"a kind that is to be allowed":              {"apply", "-i", `{"manifests":` + inJSON(t, role) + `}`},
		"a kind that is to be allowed to fleets":    {"fleet", "demo", "--workflow", "apply-manifests", "--request", `{"manifests":` + inJSON(t, role) + `}`},
		"a workflow that fleets are to be allowed":  {"fleet", "demo", "--workflow", "apply-manifests", "--request", `{"source":{"bucket":"abc","key":"k"}}`},
		"the ARN of a cluster in the stack's place": {"fleet", "arn:aws:eks:us-east-1:123456789012:cluster/demo"},
		"what Step Functions adds":                  {"inventory", "demo", "-i", `{"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			status, input, stderr := started(t, args...)
			assert.NotEqual(t, misused, status, stderr)
			assert.NotEmpty(t, input)
		})
	}
}

// Wherever the manifests of a Secret are, and whatever is around them.
func TestNoValueOfASecretIsInAnInputThatIsStarted(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 3))
	secret := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "db"}, "stringData": map[string]any{"password": secretValue}}
	value := func() any {
		switch r.IntN(4) {
		case 0:
			return aSecret
		case 1:
			return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n# " + strings.ReplaceAll(aSecret, "\n", "\n# ")
		case 2:
			return []any{secret}
		default:
			return secret
		}
	}
	for range 200 {
		input := map[string]any{"source": map[string]any{"bucket": "abc", "key": "k"}}
		verb := []string{"apply", "inventory", "fleet"}[r.IntN(3)]
		if verb == "fleet" {
			input = map[string]any{"clusters": []any{map[string]any{"clusterName": "a"}}, "workflow": []string{"apply-manifests", "pod-inventory"}[r.IntN(2)], "request": input}
		}
		at := input
		for depth := r.IntN(3); depth > 0; depth-- {
			for _, key := range slices.Sorted(maps.Keys(at)) {
				if nested, ok := at[key].(map[string]any); ok {
					at = nested
				}
			}
		}
		key := []string{"manifests", "Manifests", "manifest", "request", "source", "clusterName", "name", "tags", "output", "", "namespaces"}[r.IntN(11)]
		if delete(at, "source"); key != "source" {
			at[key] = value()
		} else {
			at[key] = map[string]any{"bucket": "abc", "key": "k", "manifests": value()}
		}
		text, err := json.Marshal(input)
		require.NoError(t, err)
		status, begun, stderr := started(t, verb, "-i", string(text))
		assert.NotContains(t, begun, secretValue, "%s -i %s", verb, text)
		assert.Equal(t, begun == "", status == misused, stderr)
	}
}

func TestCommentsAreNotSent(t *testing.T) {
	commented := "# a note\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  script: \"#!/bin/sh\"\n---\n# " + strings.ReplaceAll(strings.TrimSpace(aSecret), "\n", "\n# ") + "\n"
	file := filepath.Join(t.TempDir(), "commented.yaml")
	require.NoError(t, os.WriteFile(file, []byte(commented), 0o600))
	text := inJSON(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"script":"#!/bin/sh"}}`+"\n")
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"of a file":      {[]string{"apply", "-f", file}, `{"manifests":` + text + `,"mode":"apply"}`},
		"of an input":    {[]string{"apply", "demo", "-i", `{"manifests":` + inJSON(t, commented) + `}`}, `{"clusterName":"demo","manifests":` + text + `}`},
		"of a fleet":     {[]string{"fleet", "demo", "--workflow", "apply-manifests", "--request", `{"manifests":` + inJSON(t, commented) + `}`}, `{"workflow":"apply-manifests","clusters":["demo"],"request":{"manifests":` + text + `}}`},
		"that are none":  {[]string{"apply", "-i", `{ "manifests": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}" }`}, `{"manifests":"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"}`},
		"in a directive": {[]string{"apply", "-i", `{"manifests":"%YAML 1.1 # x\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"}`}, `{"manifests":"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, input, stderr := started(t, c.args...)
			require.NotEmpty(t, input, stderr)
			assert.JSONEq(t, c.want, input)
		})
	}
}

// Whoever scripts the command starts again after 2, and looks after 1.
func TestNothingIsStartedIfNoConnectionWasMade(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	for sentence, c := range map[string]struct {
		variables map[string]string
		want      string
	}{
		"an endpoint without a scheme":          {map[string]string{"AWS_ENDPOINT_URL": "localhost:4566"}, "the endpoint of AWS is not a URL such as http://localhost:4566. Check AWS_ENDPOINT_URL"},
		"an endpoint that is a word":            {map[string]string{"AWS_ENDPOINT_URL": "garbage"}, "the endpoint of AWS is not a URL"},
		"https to a port that speaks http":      {map[string]string{"AWS_ENDPOINT_URL": strings.Replace(plain.URL, "http:", "https:", 1)}, "does not answer (http: server gave HTTP response to HTTPS client)"},
		"a certificate that nobody signed":      {map[string]string{"AWS_ENDPOINT_URL": untrusted.URL}, "does not answer (tls: failed to verify certificate"},
		"a proxy that is not there":             {map[string]string{"AWS_ENDPOINT_URL": "https://states.eu-west-1.amazonaws.com", "HTTPS_PROXY": "http://127.0.0.1:1"}, "does not answer (proxyconnect tcp: "},
		"a name that does not exist":            {map[string]string{"AWS_ENDPOINT_URL": "https://nowhere.invalid"}, "does not answer ("},
		"a proxy whose address is not an URL":   {map[string]string{"AWS_ENDPOINT_URL": "https://states.eu-west-1.amazonaws.com", "HTTPS_PROXY": "::"}, ""},
		"a proxy that opens no way to anywhere": {map[string]string{"AWS_ENDPOINT_URL": "https://states.eu-west-1.amazonaws.com", "HTTPS_PROXY": plain.URL}, "does not answer (Not Found)"},
	} {
		t.Run(sentence, func(t *testing.T) {
			newStepFunctions(t, nil)
			// The proxies of the environment are read once in a process.
			cmd := exec.CommandContext(t.Context(), os.Args[0], "inventory", "--state-machine-arn", podMachine)
			cmd.Env = append(os.Environ(), asCommand+"=1", "AWS_MAX_ATTEMPTS=1")
			for name, value := range c.variables {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			output, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, misused, exit.ExitCode())
			assert.Contains(t, string(output), c.want)
			assert.Contains(t, string(output), "Nothing was started.")
		})
	}
}

// asCommand is the variable that makes this test's program the command itself.
const asCommand = "KUBESTEP_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestTheResultDoesNotDependOnWhoReadsTheProgress(t *testing.T) {
	newStepFunctions(t, pods(t))
	run := func(t *testing.T, deaf func(cmd *exec.Cmd, w *os.File)) (stdout, stderr *strings.Builder, err error) {
		t.Helper()
		r, w, pipeErr := os.Pipe()
		require.NoError(t, pipeErr)
		require.NoError(t, r.Close())
		t.Cleanup(func() { _ = w.Close() })
		cmd := exec.CommandContext(t.Context(), os.Args[0], "inventory", "-o", "json", "--state-machine-arn", podMachine)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		stdout, stderr = &strings.Builder{}, &strings.Builder{}
		cmd.Stdout, cmd.Stderr = stdout, stderr
		deaf(cmd, w)
		return stdout, stderr, cmd.Run()
	}
	t.Run("nor on whether anybody does", func(t *testing.T) {
		stdout, _, err := run(t, func(cmd *exec.Cmd, w *os.File) { cmd.Stderr = w })
		require.NoError(t, err)
		assert.Contains(t, stdout.String(), `"byStatus"`)
	})
	t.Run("and who has read enough of it is told nothing", func(t *testing.T) {
		_, stderr, err := run(t, func(cmd *exec.Cmd, w *os.File) { cmd.Stdout = w })
		require.NoError(t, err, "the execution succeeded")
		assert.NotContains(t, stderr.String(), "broken pipe")
	})
}
