package moto

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
)

func TestTheEnvironmentSendsMotosCallsNowhereElse(t *testing.T) {
	own := []string{"PATH=/bin", "AWS_PROFILE=work", "AWS_ENDPOINT_URL=http://x", "MOTO_PORT=1", "https_proxy=p", "HTTP_PROXY=p", "NO_PROXY=n", "HOME=/h"}
	assert.Equal(t, []string{
		"PATH=/bin", "HOME=/h", "MOTO_PORT=4566", "MOTO_ACCOUNT_ID=111122223333", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=token",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}, environment(own, Options{
		FrontPort: 4566, Account: "111122223333", Credentials: aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret", SessionToken: "token"},
	}))
}
