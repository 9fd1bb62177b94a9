package awsfront

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/credentials"
	"github.com/kubestep/kubestep/local/lambdahost"
)

const (
	callerRole = "arn:aws:iam::111111111111:role/caller"
	otherRole  = "arn:aws:iam::222222222222:role/path/other"
	functions  = "/2015-03-31/functions/"
)

// world is a Front with everything that it answers from.
type world struct {
	t         *testing.T
	front     *Front
	url       string
	authority credentials.Authority
	now       time.Time
	host      *fakeHost
	engine    *fakeEngine
}

// fakeHost is a Lambda host with the function list-pods, which returns the result or the error.
type fakeHost struct {
	result  lambdahost.Result
	err     error
	invoked chan string
}

func (h *fakeHost) Invoke(_ context.Context, name string, payload []byte) (lambdahost.Result, error) {
	if name != "list-pods" {
		return lambdahost.Result{}, lambdahost.ErrNotFound
	}
	h.invoked <- name + " " + string(payload)
	return h.result, h.err
}

// fakeEngine records requests.
type fakeEngine struct {
	host, authorization, target, path, body string
	answer                                  string
	status                                  int // 200 if it is 0
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.host, e.authorization, e.target, e.path, e.body = r.Host, r.Header.Get("Authorization"), r.Header.Get("X-Amz-Target"), r.URL.EscapedPath(), string(body)
	w.Header().Set("X-Engine", "yes")
	if e.status != 0 {
		w.WriteHeader(e.status)
	}
	_, _ = io.WriteString(w, e.answer)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t:         t,
		authority: credentials.New([]byte("0123456789abcdef0123456789abcdef")),
		now:       time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		host: &fakeHost{
			result:  lambdahost.Result{RequestID: "the-id", Payload: []byte(`{"total":3}`)},
			invoked: make(chan string, 10),
		},
		engine: &fakeEngine{answer: "{}"},
	}
	engine := httptest.NewServer(w.engine)
	t.Cleanup(engine.Close)
	address, err := url.Parse(engine.URL)
	require.NoError(t, err)
	w.front = New(Options{
		Functions: w.host, Clusters: &Clusters{}, Roles: &Roles{}, Authority: w.authority, Faults: &Faults{}, Permissions: &Permissions{}, Engine: address,
		Now: func() time.Time { return w.now },
	})
	server := httptest.NewServer(w.front)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// config returns the configuration of an SDK client with credentials of a role.
func (w *world) config(roleARN string) aws.Config {
	w.t.Helper()
	issued, err := w.authority.Issue(roleARN, "test", w.now.Add(time.Hour))
	require.NoError(w.t, err)
	return aws.Config{
		Region:           "eu-west-1",
		BaseEndpoint:     aws.String(w.url),
		RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			issued.CanExpire = false // the SDK's clock is not this test's
			return issued, nil
		}),
	}
}

// credentials returns the caller's credentials.
func (w *world) credentials() aws.Credentials {
	issued, err := w.authority.Issue(callerRole, "test", w.now.Add(time.Hour))
	require.NoError(w.t, err)
	return issued
}

// sign signs a request with that body.
func (w *world) sign(r *http.Request, body string, signer aws.Credentials, service string) {
	hash := sha256.Sum256([]byte(body))
	require.NoError(w.t, v4.NewSigner().SignHTTP(w.t.Context(), signer, r, hex.EncodeToString(hash[:]), service, "eu-west-1", w.now))
}

func (w *world) send(method, path, body string, header ...string) (*http.Response, string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	if strings.HasPrefix(path, functions) {
		w.sign(request, body, w.credentials(), "lambda")
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	return response, string(content)
}

func assertError(t *testing.T, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, code, e.ErrorCode())
	assert.Equal(t, message, e.ErrorMessage())
}

func TestInvokeRunsAFunctionHoweverItIsNamed(t *testing.T) {
	for name, path := range map[string]string{
		"by name":                      "list-pods",
		"by name and version":          "list-pods:$LATEST",
		"by ARN":                       "arn:aws:lambda:eu-west-1:111111111111:function:list-pods",
		"by ARN with escaped colons":   "arn%3Aaws%3Alambda%3Aeu-west-1%3A111111111111%3Afunction%3Alist-pods",
		"by ARN and version":           "arn:aws:lambda:eu-west-1:111111111111:function:list-pods:$LATEST",
		"by part of an ARN":            "111111111111:function:list-pods",
		"by ARN and published version": "arn:aws:lambda:eu-west-1:111111111111:function:list-pods:3",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			response, body := w.send(http.MethodPost, functions+path+"/invocations", `{"a":1}`)

			assert.Equal(t, http.StatusOK, response.StatusCode)
			assert.Equal(t, `{"total":3}`, body)
			assert.Equal(t, `list-pods {"a":1}`, <-w.host.invoked)
			assert.Equal(t, "the-id", response.Header.Get("X-Amzn-Requestid"))
			assert.Equal(t, "$LATEST", response.Header.Get("X-Amz-Executed-Version"))
			assert.NotContains(t, response.Header, "X-Amz-Function-Error")
		})
	}
}

func TestInvokeHandsOverErrors(t *testing.T) {
	w := newWorld(t)
	w.host.result.Payload, w.host.result.FunctionError = []byte(`{"errorType":"Forbidden"}`), "Unhandled"

	response, body := w.send(http.MethodPost, functions+"list-pods/invocations", "")

	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "Unhandled", response.Header.Get("X-Amz-Function-Error"))
	assert.Equal(t, `{"errorType":"Forbidden"}`, body)
	assert.Equal(t, "list-pods {}", <-w.host.invoked, "no payload is an empty object")
}

func TestInvokeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		path, body string
		host       error
		status     int
		code       string
		message    string
	}{
		"a function that is not there": {"mint/invocations", "{}", nil, http.StatusNotFound, "ResourceNotFoundException", "Function not found: mint"},
		"an alias that is not there":   {"list-pods/invocations?Qualifier=live", "{}", nil, http.StatusNotFound, "ResourceNotFoundException", "Function not found: list-pods"},
		"a payload that is not JSON":   {"list-pods/invocations", "{", nil, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json"},
		"a payload above 6 MB": {
			"list-pods/invocations", `"` + strings.Repeat("x", maxRequest) + `"`, nil,
			http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
		},
		"more than the reserved concurrency": {"list-pods/invocations", "{}", lambdahost.ErrTooManyRequests, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."},
		"what the host cannot do":            {"list-pods/invocations", "{}", errors.New("no disk"), http.StatusInternalServerError, "ServiceException", "no disk"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.host.err = test.host

			response, body := w.send(http.MethodPost, functions+test.path, test.body)

			assert.Equal(t, test.status, response.StatusCode)
			assert.Equal(t, test.code, response.Header.Get("X-Amzn-Errortype"))
			assert.JSONEq(t, `{"message":"`+test.message+`"}`, body)
		})
	}
}

func TestInvokeHasNoOtherInvocationType(t *testing.T) {
	w := newWorld(t)
	response, body := w.send(http.MethodPost, functions+"list-pods/invocations", "[]", "X-Amz-Invocation-Type", "Event")
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	assert.Contains(t, body, "the local Lambda has no invocation type Event")
	assert.Empty(t, w.host.invoked)
}

func TestOtherOperationsOfLambdaDoNotReachTheEngine(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"", "list-pods", "list-pods/configuration"} {
		response, body := w.send(http.MethodGet, functions+path, "")
		assert.Equal(t, http.StatusNotImplemented, response.StatusCode)
		assert.Contains(t, body, "the local lambda has no operation for GET "+functions+path)
	}
	assert.Empty(t, w.engine.path)
}

func TestDescribeClusterAnswersAsEKSDoes(t *testing.T) {
	w := newWorld(t)
	const clusterARN = "arn:aws:eks:eu-west-1:111111111111:cluster/demo"
	require.NoError(t, w.front.Clusters.Put(Cluster{
		ARN: clusterARN, Version: "1.37", Endpoint: "https://demo", CertificateAuthority: []byte("two\nblocks?"),
		RoleARN: "arn:aws:iam::111111111111:role/cluster", AuthenticationMode: "API_AND_CONFIG_MAP",
		CreatedAt: time.UnixMilli(1700000000123), Tags: map[string]string{"a": "b"},
	}))
	client := eks.NewFromConfig(w.config(callerRole))

	output, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("demo")})

	require.NoError(t, err)
	cluster := output.Cluster
	assert.Equal(t, "demo", *cluster.Name)
	assert.Equal(t, clusterARN, *cluster.Arn)
	assert.Equal(t, "1.37", *cluster.Version)
	assert.Equal(t, "https://demo", *cluster.Endpoint)
	assert.Equal(t, base64.StdEncoding.EncodeToString([]byte("two\nblocks?")), *cluster.CertificateAuthority.Data)
	assert.Equal(t, "arn:aws:iam::111111111111:role/cluster", *cluster.RoleArn)
	assert.Equal(t, types.ClusterStatusActive, cluster.Status)
	assert.Equal(t, types.AuthenticationModeApiAndConfigMap, cluster.AccessConfig.AuthenticationMode)
	assert.Equal(t, int64(1700000000123), cluster.CreatedAt.UnixMilli())
	assert.Equal(t, map[string]string{"a": "b"}, cluster.Tags)
}

func TestAClusterThatIsBeingCreatedHasNoEndpoint(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.front.Clusters.Put(Cluster{ARN: "arn:aws:eks:eu-west-1:111111111111:cluster/new", Status: "CREATING"}))

	output, err := eks.NewFromConfig(w.config(callerRole)).DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("new")})

	require.NoError(t, err)
	assert.Equal(t, types.ClusterStatusCreating, output.Cluster.Status)
	assert.Nil(t, output.Cluster.Endpoint)
	assert.Nil(t, output.Cluster.CertificateAuthority.Data)
	assert.Equal(t, types.AuthenticationModeConfigMap, output.Cluster.AccessConfig.AuthenticationMode)
}

func TestClustersAreThoseOfTheCallersAccountAndRegion(t *testing.T) {
	w := newWorld(t)
	for _, clusterARN := range []string{
		"arn:aws:eks:eu-west-1:111111111111:cluster/zeta", "arn:aws:eks:eu-west-1:111111111111:cluster/alpha",
		"arn:aws:eks:us-east-1:111111111111:cluster/region", "arn:aws:eks:eu-west-1:222222222222:cluster/account",
	} {
		require.NoError(t, w.front.Clusters.Put(Cluster{ARN: clusterARN}))
	}
	list := func(roleARN, region string) []string {
		config := w.config(roleARN)
		config.Region = region
		output, err := eks.NewFromConfig(config).ListClusters(t.Context(), &eks.ListClustersInput{})
		require.NoError(t, err)
		return output.Clusters
	}
	assert.Equal(t, []string{"alpha", "zeta"}, list(callerRole, "eu-west-1"))
	assert.Equal(t, []string{"region"}, list(callerRole, "us-east-1"))
	assert.Equal(t, []string{"account"}, list(otherRole, "eu-west-1"))
	assert.Empty(t, list(otherRole, "us-east-1"))
}

func TestEKSRefuses(t *testing.T) {
	w := newWorld(t)
	describe := func(config aws.Config) error {
		_, err := eks.NewFromConfig(config).DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("demo")})
		return err
	}
	config := w.config(callerRole)

	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, describe(config), &notFound)
	assert.Equal(t, "No cluster found for name: demo.", *notFound.Message)

	w.now = w.now.Add(time.Hour)
	assertError(t, describe(config), "ExpiredTokenException", "The security token included in the request is expired")

	config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"}, nil
	})
	assertError(t, describe(config), "UnrecognizedClientException", "The security token included in the request is invalid.")

	for _, clusterARN := range []string{"", "demo", "arn:aws:eks:eu-west-1:111111111111:nodegroup/x", "arn:aws:eks::111111111111:cluster/x", callerRole} {
		require.ErrorContains(t, w.front.Clusters.Put(Cluster{ARN: clusterARN}), "is not the ARN of a cluster")
	}
}

func TestAssumeRoleIssuesCredentialsOfTheRole(t *testing.T) {
	w := newWorld(t)
	w.front.Roles.Put(Role{ARN: otherRole, Trusts: []string{callerRole}, ExternalID: "shared"})

	output, err := sts.NewFromConfig(w.config(callerRole)).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String(otherRole), RoleSessionName: aws.String("kubestep"), ExternalId: aws.String("shared"), DurationSeconds: aws.Int32(900),
	})

	require.NoError(t, err)
	assert.Equal(t, "arn:aws:sts::222222222222:assumed-role/other/kubestep", *output.AssumedRoleUser.Arn)
	assert.Equal(t, w.now.Add(15*time.Minute), *output.Credentials.Expiration)
	identity, secret, err := w.authority.Recognize(*output.Credentials.AccessKeyId, *output.Credentials.SessionToken, w.now)
	require.NoError(t, err)
	assert.Equal(t, otherRole, identity.RoleARN)
	assert.Equal(t, identity.UserID, *output.AssumedRoleUser.AssumedRoleId)
	assert.Equal(t, secret, *output.Credentials.SecretAccessKey)
}

func TestAssumeRoleRefuses(t *testing.T) {
	denied := "User: arn:aws:sts::111111111111:assumed-role/caller/test is not authorized to perform: sts:AssumeRole on resource: " + otherRole
	for name, test := range map[string]struct {
		role          *Role
		input         sts.AssumeRoleInput
		code, message string
	}{
		"a role that is not there":      {nil, sts.AssumeRoleInput{}, "AccessDenied", denied},
		"a role that trusts another":    {&Role{Trusts: []string{otherRole}}, sts.AssumeRoleInput{}, "AccessDenied", denied},
		"a caller without external id":  {&Role{Trusts: []string{"*"}, ExternalID: "x"}, sts.AssumeRoleInput{}, "AccessDenied", denied},
		"a caller with another one":     {&Role{Trusts: []string{"*"}, ExternalID: "x"}, sts.AssumeRoleInput{ExternalId: aws.String("y")}, "AccessDenied", denied},
		"sessions of more than an hour": {&Role{Trusts: []string{"*"}}, sts.AssumeRoleInput{DurationSeconds: aws.Int32(7200)}, "ValidationError", "DurationSeconds is 7200, and must be from 900 to 3600"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.role != nil {
				test.role.ARN = otherRole
				w.front.Roles.Put(*test.role)
			}
			test.input.RoleArn, test.input.RoleSessionName = aws.String(otherRole), aws.String("kubestep")

			_, err := sts.NewFromConfig(w.config(callerRole)).AssumeRole(t.Context(), &test.input)

			assertError(t, err, test.code, test.message)
		})
	}
}

func TestGetCallerIdentityReturnsTheCaller(t *testing.T) {
	w := newWorld(t)
	config := w.config(otherRole)

	output, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:sts::222222222222:assumed-role/other/test", *output.Arn)
	assert.Equal(t, "222222222222", *output.Account)
	assert.Regexp(t, `^AROA.{17}:test$`, *output.UserId)

	presigned, err := sts.NewPresignClient(sts.NewFromConfig(config)).PresignGetCallerIdentity(t.Context(), nil)
	require.NoError(t, err)
	_, body := w.send(presigned.Method, strings.TrimPrefix(presigned.URL, w.url), "")
	assert.Contains(t, body, "<Arn>arn:aws:sts::222222222222:assumed-role/other/test</Arn>")

	w.now = w.now.Add(time.Hour)
	_, err = sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	assertError(t, err, "ExpiredToken", "The security token included in the request is expired")
	config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"}, nil
	})
	_, err = sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	assertError(t, err, "InvalidClientTokenId", "The security token included in the request is invalid.")
}

func TestOtherRequestsReachTheEngineUnchanged(t *testing.T) {
	w := newWorld(t)
	w.engine.answer = `{"stateMachines":[]}`
	const auth = "AWS4-HMAC-SHA256 Credential=x/20261123/eu-west-1/states/aws4_request, SignedHeaders=host, Signature=00"

	response, body := w.send(http.MethodPost, "/a%2Fb?c=d", `{"x": 1 }`, "Authorization", auth, "X-Amz-Target", "AWSStepFunctions.ListStateMachines")

	assert.Equal(t, `{"stateMachines":[]}`, body)
	assert.Equal(t, "yes", response.Header.Get("X-Engine"))
	assert.Equal(t, fakeEngine{
		host: strings.TrimPrefix(w.url, "http://"), authorization: auth, target: "AWSStepFunctions.ListStateMachines",
		path: "/a%2Fb", body: `{"x": 1 }`, answer: w.engine.answer,
	}, *w.engine)
}

func TestAnExecutionWithoutANameGetsOne(t *testing.T) {
	w := newWorld(t)
	w.engine.answer = `{"executionArn":"arn","startDate":1}`
	client := sfn.NewFromConfig(w.config(callerRole))
	start := func(name *string) map[string]string {
		_, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{
			StateMachineArn: aws.String("machine"), Input: aws.String(`{"clusterName": "<demo>"}`), Name: name,
		})
		require.NoError(t, err)
		var body map[string]string
		require.NoError(t, json.Unmarshal([]byte(w.engine.body), &body))
		return body
	}
	assert.Equal(t, map[string]string{"stateMachineArn": "machine", "input": `{"clusterName": "<demo>"}`, "name": "mine"}, start(aws.String("mine")))

	first, second := start(nil), start(nil)
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, first["name"])
	assert.NotEqual(t, first["name"], second["name"])
	assert.Equal(t, `{"clusterName": "<demo>"}`, first["input"])

	for _, broken := range []string{"", "{", "null", "[]", `"x"`} {
		assert.Equal(t, broken, string(changed([]byte(broken), nil)), "for the engine to refuse")
	}
}

func TestAnAliasStandsForItsStateMachine(t *testing.T) {
	w := newWorld(t)
	client := sfn.NewFromConfig(w.config(callerRole))
	const machine = "arn:aws:states:eu-west-1:111122223333:stateMachine:m"
	for operation, ask := range map[string]func() error{
		"StartExecution": func() error {
			w.engine.answer = `{"executionArn":"arn","startDate":1}`
			_, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(machine + ":live")})
			return err
		},
		"ListExecutions": func() error {
			w.engine.answer = `{"executions":[]}`
			_, err := client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: aws.String(machine + ":live")})
			return err
		},
	} {
		t.Run(operation, func(t *testing.T) {
			require.NoError(t, ask())
			var body struct{ StateMachineARN string }
			require.NoError(t, json.Unmarshal([]byte(w.engine.body), &body))
			assert.Equal(t, machine, body.StateMachineARN)
		})
	}
}

func TestAnEngineThatIsGoneIsAnErrorOfAWS(t *testing.T) {
	w := newWorld(t)
	w.front.engine = engine(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}, nil)
	_, err := sfn.NewFromConfig(w.config(callerRole)).ListStateMachines(t.Context(), nil)
	var e smithy.APIError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "ServiceUnavailableException", e.ErrorCode())
	assert.Contains(t, e.ErrorMessage(), "the Step Functions engine does not answer")
}

func TestAFaultAppliesToWhatItMatches(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"demo", "other"} {
		require.NoError(t, w.front.Clusters.Put(Cluster{ARN: "arn:aws:eks:eu-west-1:111111111111:cluster/" + name}))
	}
	client := eks.NewFromConfig(w.config(callerRole))
	describe := func(name string) error {
		_, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String(name)})
		return err
	}
	remove := w.front.Faults.Add(Fault{
		Service: "eks", Operation: "DescribeCluster", Resource: "demo",
		Status: http.StatusForbidden, Code: "AccessDeniedException", Message: "not you",
	})
	w.front.Faults.Add(Fault{Service: "eks", Status: http.StatusTooManyRequests, Code: "ThrottlingException", Message: "slow down", Times: 2})

	assertError(t, describe("demo"), "AccessDeniedException", "not you")
	assertError(t, describe("demo"), "AccessDeniedException", "not you")
	assertError(t, describe("other"), "ThrottlingException", "slow down")
	_, err := client.ListClusters(t.Context(), nil)
	assertError(t, err, "ThrottlingException", "slow down")
	require.NoError(t, describe("other"), "twice is over")

	remove()
	require.NoError(t, describe("demo"))

	w.front.Faults.Add(Fault{Delay: 30 * time.Millisecond})
	began := time.Now()
	require.NoError(t, describe("demo"), "a delay alone changes no answer")
	assert.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
}

func TestAFaultSpeaksTheProtocolOfItsService(t *testing.T) {
	w := newWorld(t)
	w.front.Faults.Add(Fault{Status: http.StatusBadRequest, Code: "Broken", Message: "on <purpose>"})
	config := w.config(callerRole)

	_, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	assertError(t, err, "Broken", "on <purpose>")
	_, err = sfn.NewFromConfig(config).StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String("m")})
	assertError(t, err, "Broken", "on <purpose>")
	_, err = eks.NewFromConfig(config).ListClusters(t.Context(), nil)
	assertError(t, err, "Broken", "on <purpose>")
	response, body := w.send(http.MethodPost, functions+"list-pods/invocations", "{}")
	assert.Equal(t, "Broken", response.Header.Get("X-Amzn-Errortype"))
	assert.JSONEq(t, `{"message":"on <purpose>"}`, body)
}
