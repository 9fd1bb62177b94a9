package awsapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
)

// fakeSTS issues credentials that are valid as long as requested.
type fakeSTS struct {
	mu    sync.Mutex
	calls []url.Values
}

func (f *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = r.ParseForm()
	f.calls = append(f.calls, r.PostForm)
	var seconds int
	_, _ = fmt.Sscan(r.PostForm.Get("DurationSeconds"), &seconds)
	_, _ = fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>`, len(f.calls), time.Now().Add(time.Duration(seconds)*time.Second).UTC().Format(time.RFC3339))
}

func newRoles(t *testing.T, externalID string) (*fakeSTS, *awsapi.Roles) {
	t.Helper()
	sts := &fakeSTS{}
	server := httptest.NewServer(sts)
	t.Cleanup(server.Close)
	return sts, awsapi.NewRoles(aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("own", "s", "")}, externalID)
}

const (
	role = "arn:aws:iam::444455556666:role/theirs"
	one  = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly"
)

func retrieve(t *testing.T, provider aws.CredentialsProvider) aws.Credentials {
	t.Helper()
	c, err := provider.Retrieve(context.Background())
	require.NoError(t, err)
	return c
}

func TestWithoutARoleTheCredentialsAreTheFunctionsOwn(t *testing.T) {
	sts, roles := newRoles(t, "")
	assert.Equal(t, "own", retrieve(t, roles.Credentials("", one)).AccessKeyID)
	assert.Empty(t, sts.calls)
}

func TestARoleIsAssumedOnceForAnExecutionAndLastsLongerThanAToken(t *testing.T) {
	sts, roles := newRoles(t, "agreed")
	first, second := retrieve(t, roles.Credentials(role, one)), retrieve(t, roles.Credentials(role, one))

	assert.Equal(t, first, second)
	require.Len(t, sts.calls, 1, "two uses make one call")
	assert.Greater(t, time.Until(first.Expires), 25*time.Minute, "when they are renewed they are at least that good, and a token lasts 14 minutes")
	assert.Equal(t, "kubestep-nightly", sts.calls[0].Get("RoleSessionName"), "which CloudTrail shows")
	assert.Equal(t, "3600", sts.calls[0].Get("DurationSeconds"))
	assert.Equal(t, "agreed", sts.calls[0].Get("ExternalId"))
}

func TestAnotherExecutionIsAnotherSession(t *testing.T) {
	sts, roles := newRoles(t, "")
	retrieve(t, roles.Credentials(role, one))
	retrieve(t, roles.Credentials(role, "arn:aws:states:eu-west-1:111122223333:execution:m:Üben #"+strings.Repeat("x", 80)))
	require.Len(t, sts.calls, 2)
	assert.Regexp(t, `^kubestep-[\w+=,.@-]{1,55}$`, sts.calls[1].Get("RoleSessionName"), "whatever the execution's name is")
	assert.False(t, sts.calls[1].Has("ExternalId"))
}

func TestTheSessionsThatAreKeptAreBounded(t *testing.T) {
	sts, roles := newRoles(t, "")
	for i := range 65 {
		retrieve(t, roles.Credentials(role, fmt.Sprint(one, i)))
	}
	retrieve(t, roles.Credentials(role, fmt.Sprint(one, 0)))
	assert.Len(t, sts.calls, 66, "the first was dropped to keep no more than 64")
}

func TestAnErrorOfAWSHasAName(t *testing.T) {
	coded := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "said AWS."} }
	status := func(code int, err error) error {
		return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err}
	}
	for sentence, c := range map[string]struct {
		err  error
		name contract.ErrorName
		text string
	}{
		"no answer":                      {errors.New("no such host"), contract.AWSUnreachable, "AWS did not answer s3:PutObject: no such host"},
		"no answer in time":              {context.DeadlineExceeded, contract.AWSUnreachable, "context deadline exceeded"},
		"refused by a policy":            {coded("AccessDenied"), contract.AccessDenied, "IAM refused s3:PutObject: said AWS. Allow"},
		"credentials that have expired":  {coded("ExpiredToken"), contract.AccessDenied, "AWS refused s3:PutObject (ExpiredToken): said AWS. The credentials have expired"},
		"a Region that is not enabled":   {coded("OptInRequired"), contract.AccessDenied, "Enable the Region for the account"},
		"no STS in the Region":           {coded("RegionDisabledException"), contract.AccessDenied, "STS is not active in this Region"},
		"credentials that are not known": {coded("UnrecognizedClientException"), contract.AccessDenied, "Check that the Region is enabled"},
		"a clock that is off":            {coded("RequestTimeTooSkewed"), contract.AccessDenied, "the clock of the function is off"},
		"a signature that has expired": {&smithy.GenericAPIError{Code: "SignatureDoesNotMatch", Message: "Signature expired: 20261124T060000Z is now earlier than 20261124T061000Z"},
			contract.AccessDenied, "The time in the request's signature differs"},
		"a signature of the future": {&smithy.GenericAPIError{Code: "InvalidSignatureException", Message: "Signature not yet current: 20261124T070000Z is still later than 20261124T061000Z"},
			contract.AccessDenied, "The time in the request's signature differs"},
		"a request that was changed":       {coded("SignatureDoesNotMatch"), contract.AccessDenied, "whether a proxy between the function and AWS changes requests"},
		"a request without its headers":    {coded("MissingAuthenticationToken"), contract.AccessDenied, "takes headers away"},
		"an access key that is not there":  {coded("InvalidAccessKeyId"), contract.AccessDenied, "AWS does not accept the credentials"},
		"throttled":                        {coded("SlowDown"), contract.Throttled, "throttled s3:PutObject (SlowDown)"},
		"too many requests by status":      {status(429, coded("Busy")), contract.Throttled, "could not serve"},
		"a fault of AWS":                   {status(503, coded("ServiceUnavailable")), contract.Throttled, "could not serve"},
		"an answer that is not known":      {status(418, coded("Teapot")), contract.Unexpected, "Teapot"},
		"what the caller asks for":         {coded("ClientException"), contract.InvalidInput, "AWS does not accept s3:PutObject (ClientException): said AWS. Check"},
		"an error that has a name already": {fmt.Errorf("wrapped: %w", contract.Errorf(contract.InvalidInput, "named")), contract.InvalidInput, "named"},
	} {
		t.Run(sentence, func(t *testing.T) {
			explained := awsapi.Explain(c.err, "s3:PutObject")
			assert.Equal(t, c.name, explained.Name)
			assert.Contains(t, explained.Message, c.text)
			if !strings.HasPrefix(sentence, "an error that has a name") {
				assert.ErrorIs(t, explained, c.err, "what it came from is kept")
			}
		})
	}
}

func TestOnlyADecisionOfIAMIsToBeAllowedInAPolicy(t *testing.T) {
	for code, byIAM := range map[string]bool{
		"AccessDenied": true, "AccessDeniedException": true, "OptInRequired": false, "ExpiredToken": false, "ExpiredTokenException": false, "RequestExpired": false,
		"SignatureDoesNotMatch": false, "RequestTimeTooSkewed": false, "InvalidClientTokenId": false, "IncompleteSignature": false, "MissingAuthenticationToken": false, "RegionDisabledException": false,
	} {
		explained := awsapi.Explain(&smithy.GenericAPIError{Code: code, Message: "said AWS"}, "eks:DescribeCluster of cluster demo")
		assert.Equal(t, contract.AccessDenied, explained.Name, code)
		assert.Equal(t, byIAM, strings.Contains(explained.Message, "Allow the action"), code)
		assert.Equal(t, byIAM, strings.Contains(explained.Message, "IAM refused"), code)
	}
}

// A policy of the stack that is changed by hand is as before after the next deployment.
func TestARefusalNamesTheParametersThatAllowTheAction(t *testing.T) {
	const assume = "User: arn:aws:sts::111122223333:assumed-role/kubestep-mint-token/f is not authorized to perform: sts:AssumeRole on resource: " + role
	for sentence, c := range map[string]struct {
		doing, said string
		want, not   []string
	}{
		"a further cluster of the account": {"eks:DescribeCluster of cluster prod in eu-west-1", "not authorized to perform: eks:DescribeCluster", []string{"ClusterArns", "ClusterName"}, []string{"RoleArns"}},
		"a role that may not be assumed":   {"eks:DescribeCluster of cluster prod in eu-west-1 as " + role, assume, []string{"RoleArns", "ApplyRoleArns", "OrganizationId"}, []string{"ClusterArns"}},
		"the same by mint-token":           {"sts:AssumeRole of " + role, assume, []string{"RoleArns", "ApplyRoleArns"}, []string{"ClusterArns"}},
		"a cluster, as another role":       {"eks:DescribeCluster of cluster prod in eu-west-1 as " + role, "not authorized to perform: eks:DescribeCluster", nil, []string{"ClusterArns", "RoleArns"}},
		"an object":                        {"s3:PutObject of s3://b/k", "not authorized", []string{"OutputBucket", "OutputPrefix", "OutputKeyArn"}, []string{"ClusterArns", "RoleArns", "ManifestBucket"}},
		"a manifest":                       {"s3:GetObject of s3://b/k", "not authorized", []string{"ManifestBucket", "ManifestPrefix", "ManifestKeyArn"}, []string{"ClusterArns", "RoleArns"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			explained := awsapi.Explain(&smithy.GenericAPIError{Code: "AccessDenied", Message: c.said}, c.doing)
			assert.Contains(t, explained.Message, "Allow the action in the policy of the role named above")
			for _, name := range c.want {
				assert.Contains(t, explained.Message, name)
			}
			for _, name := range c.not {
				assert.NotContains(t, explained.Message, name)
			}
		})
	}
}

func TestARefusalIsAboutThePolicyThatDecided(t *testing.T) {
	const assumed = "User: arn:aws:sts::111122223333:assumed-role/kubestep-describe-cluster/f is not authorized to perform: eks:DescribeCluster on resource: arn:aws:eks:eu-west-1:111122223333:cluster/no permissions boundary "
	for said, want := range map[string]string{
		"because no identity-based policy allows the eks:DescribeCluster action":          "Allow the action in the policy of the role named above",
		"with an explicit deny in an identity-based policy":                               "Allow the action in the policy of the role named above",
		"with an explicit deny in a service control policy: arn:aws:organizations::1:p/x": "A policy of the organization",
		"because no service control policy allows the eks:DescribeCluster action":         "A policy of the organization",
		"with an explicit deny in a resource control policy":                              "A policy of the organization",
		"because no permissions boundary allows the eks:DescribeCluster action":           "PermissionsBoundaryArn",
		"with an explicit deny in a permissions boundary":                                 "PermissionsBoundaryArn",
		"because no session policy allows the eks:DescribeCluster action":                 "A session policy",
		"because no VPC endpoint policy allows the eks:DescribeCluster action":            "The policy of the VPC endpoint",
		"with an explicit deny in a VPC endpoint policy":                                  "The policy of the VPC endpoint",
		"because no resource-based policy allows the eks:DescribeCluster action":          "The policy of the resource itself",
	} {
		t.Run(said, func(t *testing.T) {
			explained := awsapi.Explain(&smithy.GenericAPIError{Code: "AccessDeniedException", Message: assumed + said}, "eks:DescribeCluster of cluster demo in eu-west-1")
			assert.Equal(t, contract.AccessDenied, explained.Name)
			assert.Contains(t, explained.Message, want)
			if !strings.HasPrefix(want, "Allow") {
				assert.NotContains(t, explained.Message, "Allow the action in the policy of the role")
			}
		})
	}
}

func TestTheConfigurationIsWhatLambdaSets(t *testing.T) {
	environment := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}
	// with compares the configuration with the one that the SDK's own loader finds.
	with := func(more map[string]string) sts.Options {
		for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"} {
			t.Setenv(name, "")
		}
		for _, variables := range []map[string]string{environment, more} {
			for name, value := range variables {
				t.Setenv(name, value)
			}
		}
		t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
		loaded, err := config.LoadDefaultConfig(t.Context())
		require.NoError(t, err)
		cfg, err := awsapi.Config(os.Getenv)
		require.NoError(t, err)
		ours, theirs := sts.NewFromConfig(cfg).Options(), sts.NewFromConfig(loaded).Options()
		assert.Equal(t, theirs.Region, ours.Region)
		assert.Equal(t, theirs.BaseEndpoint, ours.BaseEndpoint)
		assert.Equal(t, theirs.EndpointOptions, ours.EndpointOptions)
		assert.Equal(t, theirs.RetryMode, ours.RetryMode)
		assert.Equal(t, loaded.RequestChecksumCalculation, cfg.RequestChecksumCalculation)
		assert.Equal(t, loaded.ResponseChecksumValidation, cfg.ResponseChecksumValidation)
		own, other := retrieve(t, cfg.Credentials), retrieve(t, loaded.Credentials)
		assert.Equal(t, [3]string{other.AccessKeyID, other.SecretAccessKey, other.SessionToken}, [3]string{own.AccessKeyID, own.SecretAccessKey, own.SessionToken})
		return ours
	}
	assert.Nil(t, with(nil).BaseEndpoint)
	assert.Equal(t, "http://127.0.0.1:1", *with(map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}).BaseEndpoint)
	assert.Equal(t, aws.FIPSEndpointStateEnabled, with(map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}).EndpointOptions.UseFIPSEndpoint)
	assert.Equal(t, aws.DualStackEndpointStateEnabled, with(map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}).EndpointOptions.UseDualStackEndpoint)
}

// connections serves STS to clients that are made of the configuration, and counts their connections.
func connections(t *testing.T, handler http.HandlerFunc) (cfg aws.Config, opened *atomic.Int32) {
	t.Helper()
	opened = &atomic.Int32{}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	cfg, err := awsapi.Config(func(name string) string {
		return map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": server.URL}[name]
	})
	require.NoError(t, err)
	return cfg, opened
}

func identify(t *testing.T, cfg aws.Config) {
	t.Helper()
	_, err := sts.NewFromConfig(cfg, func(o *sts.Options) { o.Region = "eu-west-1" }).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	assert.NoError(t, err)
}

const identity = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult/></GetCallerIdentityResponse>`

// A function may have 1,024 file descriptors, and a fleet 10,000 clusters.
func TestAClientForEachCallTakesNoConnectionForEachCall(t *testing.T) {
	cfg, opened := connections(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(identity)) })
	const calls = 200
	for range calls {
		identify(t, cfg)
	}
	// More than one, if a call begins before the connection of the one before it is put back.
	assert.Less(t, opened.Load(), int32(calls/4))
}

func TestConnectionsAreKeptForAllCallsThatAreMadeAtOnce(t *testing.T) {
	const atOnce, rounds = 32, 20
	var waiting sync.WaitGroup
	cfg, opened := connections(t, func(w http.ResponseWriter, _ *http.Request) {
		waiting.Done()
		waiting.Wait() // for the others of the round, so that each needs a connection
		_, _ = w.Write([]byte(identity))
	})
	for range rounds {
		waiting.Add(atOnce)
		var done sync.WaitGroup
		for range atOnce {
			done.Go(func() { identify(t, cfg) })
		}
		done.Wait()
	}
	assert.Less(t, opened.Load(), int32(4*atOnce), "not one for each of the %d calls", atOnce*rounds)
}

func TestEveryMissingVariableIsNamed(t *testing.T) {
	_, err := awsapi.Config(func(name string) string { return map[string]string{"AWS_ACCESS_KEY_ID": "ASIA"}[name] })
	require.EqualError(t, err, "missing environment variables, which Lambda sets: AWS_REGION, AWS_SECRET_ACCESS_KEY")
}
