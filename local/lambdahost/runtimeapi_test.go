package lambdahost

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const invocations = "/2018-06-01/runtime/invocation/"

func TestTheRuntimeAPIEnforcesItsProtocol(t *testing.T) {
	a := startAPI(t)
	a.hand(event{id: "1", payload: []byte(`{"a":1}`), deadline: time.UnixMilli(1700000000123)})

	status, body, header := a.call(t, http.MethodGet, invocations+"next", "")
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, `{"a":1}`, body)
	assert.Equal(t, "1", header.Get("Lambda-Runtime-Aws-Request-Id"))
	assert.Equal(t, "1700000000123", header.Get("Lambda-Runtime-Deadline-Ms"))
	assert.Equal(t, "the:arn", header.Get("Lambda-Runtime-Invoked-Function-Arn"))
	assert.Nil(t, a.answered())

	a.hand(event{id: "2"})
	for _, step := range []struct {
		what, method, path, body string
		status                   int
	}{
		{"the event is fetched", http.MethodGet, "next", "", http.StatusOK},
		{"the next one is asked for before this one has an answer", http.MethodGet, "next", "", http.StatusForbidden},
		{"another one is answered", http.MethodPost, "1/response", "x", http.StatusBadRequest},
		{"it is answered", http.MethodPost, "2/response", `"y"`, http.StatusAccepted},
		{"it is answered again", http.MethodPost, "2/error", `"z"`, http.StatusBadRequest},
		{"something else is asked for", http.MethodGet, "2/response", "", http.StatusMethodNotAllowed},
	} {
		status, _, _ := a.call(t, step.method, invocations+step.path, step.body)
		assert.Equal(t, step.status, status, step.what)
	}
	assert.Equal(t, &answer{payload: []byte(`"y"`)}, a.answered())
}

func startAPI(t *testing.T) *runtimeAPI {
	t.Helper()
	a, err := listen("the:arn")
	require.NoError(t, err)
	t.Cleanup(a.close)
	return a
}

func (a *runtimeAPI) call(t *testing.T, method, path, body string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.address+path, strings.NewReader(body))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content), response.Header
}
