package awsapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// maxIdle is how many connections to one host are kept: as many as are used at once, to
// read the outcomes of a fleet. Of the SDK's own client it is ten, and a connection
// beyond these is opened anew for each call.
const maxIdle = 32

// Config returns the configuration that Lambda gives a function in environment
// variables: its Region, and the credentials of its role, which do not change as
// long as the environment lives. AWS_ENDPOINT_URL, AWS_USE_FIPS_ENDPOINT and
// AWS_USE_DUALSTACK_ENDPOINT mean what they mean to every SDK. The error names each
// variable that is missing.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
// https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html
//
// The SDK's config.LoadDefaultConfig also reads files and asks SSO and the instance
// metadata service. Lambda has none of these, and they are a tenth of a function.
//
// All clients that are made of it share their connections. Without that, each client has
// its own, and keeps them for 90 seconds: a client for each cluster of a fleet would
// use up the 1,024 file descriptors of a function.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
func Config(getenv func(string) string) (aws.Config, error) {
	var missing []string
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return aws.Config{}, fmt.Errorf("missing environment variables, which Lambda sets: %s", strings.Join(missing, ", "))
	}
	cfg := aws.Config{
		Region:        getenv("AWS_REGION"),
		Credentials:   credentials.NewStaticCredentialsProvider(getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")),
		ConfigSources: []any{endpoints{getenv}},
		// Frozen, since a client that applies a timeout of its own to a BuildableClient copies it, connections and all.
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = maxIdle }).Freeze(),
		// The SDK's own defaults.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
	if url := getenv("AWS_ENDPOINT_URL"); url != "" {
		cfg.BaseEndpoint = &url
	}
	return cfg, nil
}

// endpoints tells each client of the SDK which kind of endpoint to call. Its methods
// are those that the clients look for in ConfigSources.
type endpoints struct{ getenv func(string) string }

func (e endpoints) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	return aws.FIPSEndpointStateEnabled, strings.EqualFold(e.getenv("AWS_USE_FIPS_ENDPOINT"), "true"), nil
}

func (e endpoints) GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error) {
	return aws.DualStackEndpointStateEnabled, strings.EqualFold(e.getenv("AWS_USE_DUALSTACK_ENDPOINT"), "true"), nil
}
