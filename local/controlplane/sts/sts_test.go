package sts_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/controlplane/sts"
	"github.com/kubestep/kubestep/local/credentials"
)

const (
	roleARN       = "arn:aws:iam::111122223333:role/kubestep/mint-token"
	clusterHeader = "X-K8s-Aws-Id"
)

var (
	now       = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	authority = credentials.New([]byte("a key of at least thirty-two bytes"))
)

// signedAt presigns at a given time; the SDK's own presigner uses the clock.
type signedAt struct {
	moment time.Time
}

func (s signedAt) PresignHTTP(ctx context.Context, creds aws.Credentials, r *http.Request, payload, service, region string, _ time.Time, options ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return v4.NewSigner().PresignHTTP(ctx, creds, r, payload, service, region, s.moment, options...)
}

// presign makes the request in a bearer token, as a client does.
func presign(t *testing.T, creds aws.Credentials, at time.Time, configure ...func(*awssts.Options)) *http.Request {
	t.Helper()
	client := awssts.New(awssts.Options{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) { return creds, nil },
	)}, configure...)
	presigned, err := awssts.NewPresignClient(client).PresignGetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{},
		func(o *awssts.PresignOptions) {
			o.Presigner = signedAt{at}
			o.ClientOptions = append(o.ClientOptions, awssts.WithAPIOptions(
				smithyhttp.SetHeaderValue(clusterHeader, "demo"), smithyhttp.SetHeaderValue("X-Amz-Expires", "60")))
		})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, presigned.URL, nil)
	require.NoError(t, err)
	request.Header.Set(clusterHeader, "demo")
	request.Header.Set("Accept", "application/json")
	return request
}

func issue(t *testing.T, expires time.Time) aws.Credentials {
	t.Helper()
	creds, err := authority.Issue(roleARN, "function", expires)
	require.NoError(t, err)
	return creds
}

// answer is a response of either form.
type answer struct {
	GetCallerIdentityResponse struct {
		GetCallerIdentityResult struct {
			Account, Arn string
			UserID       string `json:"UserId"`
		}
	}
	Error struct{ Type, Code, Message string }
}

func ask(t *testing.T, request *http.Request) (int, answer) {
	t.Helper()
	transport := sts.Transport{Authority: authority, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	var a answer
	require.NoError(t, json.NewDecoder(response.Body).Decode(&a))
	return response.StatusCode, a
}

func TestAValidSignatureIdentifiesItsCaller(t *testing.T) {
	status, answer := ask(t, presign(t, issue(t, now.Add(time.Hour)), now))

	require.Equal(t, http.StatusOK, status, answer.Error)
	result := answer.GetCallerIdentityResponse.GetCallerIdentityResult
	assert.Equal(t, "111122223333", result.Account)
	assert.Equal(t, "arn:aws:sts::111122223333:assumed-role/mint-token/function", result.Arn)
	assert.Regexp(t, "^AROA[A-Z2-7]{17}:function$", result.UserID)
}

func TestEveryHostOfSTSIsOne(t *testing.T) {
	tests := map[string]struct {
		host      string
		configure func(*awssts.Options)
	}{
		"regional": {"sts.eu-west-1.amazonaws.com", func(*awssts.Options) {}},
		"global":   {"sts.amazonaws.com", func(o *awssts.Options) { o.Region = "aws-global" }},
		"FIPS": {"sts-fips.us-east-1.amazonaws.com", func(o *awssts.Options) {
			o.Region = "us-east-1"
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}},
		"dual-stack":         {"sts.eu-west-1.api.aws", func(o *awssts.Options) { o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled }},
		"China":              {"sts.cn-north-1.amazonaws.com.cn", func(o *awssts.Options) { o.Region = "cn-north-1" }},
		"GovCloud":           {"sts.us-gov-west-1.amazonaws.com", func(o *awssts.Options) { o.Region = "us-gov-west-1" }},
		"isolated":           {"sts.us-iso-east-1.c2s.ic.gov", func(o *awssts.Options) { o.Region = "us-iso-east-1" }},
		"European sovereign": {"sts.eusc-de-east-1.amazonaws.eu", func(o *awssts.Options) { o.Region = "eusc-de-east-1" }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request := presign(t, issue(t, now.Add(time.Hour)), now, test.configure)
			require.Equal(t, test.host, request.URL.Host)

			status, answer := ask(t, request)

			assert.Equal(t, http.StatusOK, status, answer.Error)
		})
	}
}

func TestASignatureIsValidForItsTime(t *testing.T) {
	tests := map[string]struct {
		age  time.Duration
		want int
	}{
		"just under 5 minutes ahead":                           {-5*time.Minute + time.Second, http.StatusOK},
		"over 5 minutes ahead":                                 {-5*time.Minute - time.Second, http.StatusForbidden},
		"older than X-Amz-Expires, which STS does not look at": {14 * time.Minute, http.StatusOK},
		"15 minutes":        {15 * time.Minute, http.StatusOK},
		"over 15 minutes":   {15*time.Minute + time.Second, http.StatusForbidden},
		"of the day before": {24 * time.Hour, http.StatusForbidden},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status, answer := ask(t, presign(t, issue(t, now.Add(time.Hour)), now.Add(-test.age)))

			assert.Equal(t, test.want, status, answer.Error)
			if test.want != http.StatusOK {
				assert.Equal(t, "SignatureDoesNotMatch", answer.Error.Code)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	const forbidden, bad = http.StatusForbidden, http.StatusBadRequest
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			query := r.URL.Query()
			query.Set(name, value)
			r.URL.RawQuery = query.Encode()
		}
	}
	unset := func(name string) func(*http.Request) {
		return func(r *http.Request) {
			query := r.URL.Query()
			query.Del(name)
			r.URL.RawQuery = query.Encode()
		}
	}
	scope := func(part int, value string) func(*http.Request) {
		return func(r *http.Request) {
			parts := strings.Split(r.URL.Query().Get("X-Amz-Credential"), "/")
			parts[part] = value
			set("X-Amz-Credential", strings.Join(parts, "/"))(r)
		}
	}
	tests := map[string]struct {
		change func(*http.Request)
		status int
		code   string
	}{
		"another cluster's name":              {func(r *http.Request) { r.Header.Set(clusterHeader, "other") }, forbidden, "SignatureDoesNotMatch"},
		"no cluster name":                     {func(r *http.Request) { r.Header.Del(clusterHeader) }, forbidden, "SignatureDoesNotMatch"},
		"another signature":                   {set("X-Amz-Signature", strings.Repeat("0", 64)), forbidden, "SignatureDoesNotMatch"},
		"a longer life":                       {set("X-Amz-Expires", "900"), forbidden, "SignatureDoesNotMatch"},
		"a later date":                        {set("X-Amz-Date", now.Add(time.Minute).Format("20060102T150405Z")), forbidden, "SignatureDoesNotMatch"},
		"fewer signed headers":                {set("X-Amz-SignedHeaders", "host"), forbidden, "SignatureDoesNotMatch"},
		"one parameter more":                  {set("X-Amz-Extra", "1"), forbidden, "SignatureDoesNotMatch"},
		"another host":                        {func(r *http.Request) { r.Host, r.URL.Host = "", "sts.eu-west-1.api.aws" }, forbidden, "SignatureDoesNotMatch"},
		"the host of another region":          {func(r *http.Request) { r.Host, r.URL.Host = "", "sts.us-east-1.amazonaws.com" }, forbidden, "SignatureDoesNotMatch"},
		"a scope of another day":              {scope(1, "20260503"), forbidden, "SignatureDoesNotMatch"},
		"a scope of another region":           {scope(2, "us-east-1"), forbidden, "SignatureDoesNotMatch"},
		"a scope of another service":          {scope(3, "s3"), forbidden, "SignatureDoesNotMatch"},
		"a scope of another kind":             {scope(4, "aws5_request"), bad, "IncompleteSignature"},
		"a credential that is not five parts": {set("X-Amz-Credential", "ASIA/20260504"), bad, "IncompleteSignature"},
		"an access key that is not ours":      {scope(0, "AKIAIOSFODNN7EXAMPLE"), forbidden, "InvalidClientTokenId"},
		"no session token":                    {unset("X-Amz-Security-Token"), forbidden, "InvalidClientTokenId"},
		"a session token that is not ours":    {set("X-Amz-Security-Token", "IQoJb3JpZ2luX2Vj"), forbidden, "InvalidClientTokenId"},
		"no signature":                        {unset("X-Amz-Signature"), bad, "IncompleteSignature"},
		"another algorithm":                   {set("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), bad, "IncompleteSignature"},
		"no date":                             {unset("X-Amz-Date"), bad, "IncompleteSignature"},
		"another action":                      {set("Action", "AssumeRole"), bad, "InvalidAction"},
		"another version":                     {set("Version", "2010-05-08"), bad, "InvalidAction"},
		"another path":                        {func(r *http.Request) { r.URL.Path = "/other" }, bad, "InvalidAction"},
		"another method":                      {func(r *http.Request) { r.Method = http.MethodPost }, bad, "InvalidAction"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request := presign(t, issue(t, now.Add(time.Hour)), now)
			test.change(request)

			status, answer := ask(t, request)

			assert.Equal(t, test.status, status)
			assert.Equal(t, test.code, answer.Error.Code, answer.Error.Message)
			assert.Equal(t, "Sender", answer.Error.Type)
			assert.NotEmpty(t, answer.Error.Message)
			assert.Empty(t, answer.GetCallerIdentityResponse.GetCallerIdentityResult)
		})
	}
}

func TestAnInvalidSecretIsRefused(t *testing.T) {
	creds := issue(t, now.Add(time.Hour))
	creds.SecretAccessKey = "wrong" + creds.SecretAccessKey[5:]

	status, answer := ask(t, presign(t, creds, now))

	assert.Equal(t, http.StatusForbidden, status)
	assert.Equal(t, "SignatureDoesNotMatch", answer.Error.Code)
}

func TestExpiredCredentialsAreRefusedThoughTheSignatureIsFresh(t *testing.T) {
	status, answer := ask(t, presign(t, issue(t, now), now))

	assert.Equal(t, http.StatusForbidden, status)
	assert.Equal(t, "ExpiredToken", answer.Error.Code)
}

func TestAHeaderThatIsNotSignedDoesNotMatter(t *testing.T) {
	request := presign(t, issue(t, now.Add(time.Hour)), now)
	request.Header.Set("User-Agent", "anything")
	request.Header.Set("X-Forwarded-For", "192.0.2.1")

	status, _ := ask(t, request)

	assert.Equal(t, http.StatusOK, status)
}

func TestNothingButSTSIsReached(t *testing.T) {
	for _, url := range []string{"https://ec2.eu-west-1.amazonaws.com/", "https://localhost/"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		_, err = sts.Transport{}.RoundTrip(request)
		assert.ErrorContains(t, err, "reaches only STS")
	}
}
