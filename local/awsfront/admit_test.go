package awsfront

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyHoldersOfTheCredentialsRunPrograms(t *testing.T) {
	w := newWorld(t)
	good := w.credentials()
	forged := good
	forged.SecretAccessKey = "wrong" + good.SecretAccessKey[5:]
	old, err := w.authority.Issue(callerRole, "test", w.now)
	require.NoError(t, err)
	invoke := func(change func(*http.Request), signer aws.Credentials) int {
		request := httptest.NewRequest(http.MethodPost, w.url+functions+"list-pods/invocations", strings.NewReader("{}"))
		w.sign(request, "{}", signer, "lambda")
		change(request)
		answer := httptest.NewRecorder()
		w.front.ServeHTTP(answer, request)
		return answer.Code
	}
	asItIs := func(*http.Request) {}
	require.Equal(t, http.StatusOK, invoke(asItIs, good))
	<-w.host.invoked
	for sentence, c := range map[string]struct {
		change func(*http.Request)
		signer aws.Credentials
	}{
		"no signature":                       {func(r *http.Request) { r.Header.Del("Authorization") }, good},
		"a key that is not known":            {asItIs, aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"}},
		"another secret":                     {asItIs, forged},
		"credentials that have expired":      {asItIs, old},
		"another body than the signed one":   {func(r *http.Request) { setBody(r, []byte(`{"more":1}`)) }, good},
		"another function than that":         {func(r *http.Request) { r.URL.Path = functions + "other/invocations" }, good},
		"a signature of an hour ago":         {func(*http.Request) { w.now = w.now.Add(16 * time.Minute) }, good},
		"a name that resolves to loopback":   {func(r *http.Request) { r.Host = "rebound.example:4566" }, good},
		"a name that begins with the others": {func(r *http.Request) { r.Host = "localhost.example" }, good},
	} {
		t.Run(sentence, func(t *testing.T) {
			now := w.now
			assert.Equal(t, http.StatusForbidden, invoke(c.change, c.signer))
			w.now = now
			assert.Empty(t, w.host.invoked)
		})
	}
}

func TestOnlyHoldersOfTheCredentialsDeploy(t *testing.T) {
	w := newWorld(t)
	form := url.Values{"Action": {"CreateChangeSet"}, "StackName": {"s"}, "ChangeSetName": {"c"}, "TemplateBody": {"{}"}}
	create := func(sign bool) int {
		request := httptest.NewRequest(http.MethodPost, w.url+"/", strings.NewReader(form.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=ak/20261123/eu-west-1/cloudformation/aws4_request, SignedHeaders=host, Signature=00")
		if sign {
			w.sign(request, form.Encode(), w.credentials(), "cloudformation")
		}
		answer := httptest.NewRecorder()
		w.front.ServeHTTP(answer, request)
		return answer.Code
	}
	assert.Equal(t, http.StatusForbidden, create(false))
	assert.Equal(t, http.StatusOK, create(true))
	for _, name := range []string{"../s", "a/b", "", ".", "-s"} {
		form.Set("StackName", name)
		assert.Equal(t, http.StatusBadRequest, create(true), name)
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:4566": true, "localhost:4566": true, "[::1]:4566": true, "bucket.localhost": true, "127.0.0.1": true,
		"example.com": false, "localhost.example.com": false, "192.0.2.1:4566": false, "": false, "127.0.0.1.example:80": false,
	} {
		assert.Equal(t, want, loopback(host), host)
	}
}

// Web pages must not reach services that need no signature here either.
func TestAPageWhoseNameIsReboundReachesNoService(t *testing.T) {
	w := newWorld(t)
	list := func(host string) int {
		request := httptest.NewRequest(http.MethodPost, w.url+"/", strings.NewReader("{}"))
		request.Header.Set("X-Amz-Target", "AWSStepFunctions.ListStateMachines")
		request.Host = host
		answer := httptest.NewRecorder()
		w.front.ServeHTTP(answer, request)
		return answer.Code
	}
	for _, host := range []string{"127.0.0.1:4566", "[::1]:4566", "localhost:4566", "s3.localhost"} {
		assert.NotEqual(t, http.StatusForbidden, list(host), host)
	}
	for _, host := range []string{"rebound.example:4566", "localhost.example", "", "10.0.0.1"} {
		assert.Equal(t, http.StatusForbidden, list(host), host)
	}
}
