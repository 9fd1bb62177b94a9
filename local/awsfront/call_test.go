package awsfront

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIdentify(t *testing.T) {
	scope := func(service string) string {
		return "AWS4-HMAC-SHA256 Credential=ASIA1/20261123/eu-west-1/" + service + "/aws4_request, SignedHeaders=host, Signature=00"
	}
	for name, test := range map[string]struct {
		request string // METHOD PATH BODY
		header  map[string]string
		want    call
	}{
		"Lambda's by scope and path": {
			"POST /2015-03-31/functions/f/invocations {}",
			map[string]string{"Authorization": scope("lambda")},
			call{service: "lambda", region: "eu-west-1", accessKeyID: "ASIA1", operation: "Invoke", resource: "f"},
		},
		"Lambda's by its path alone": {
			"POST /2015-03-31/functions/f/invocations {}", nil,
			call{service: "lambda", operation: "Invoke", resource: "f"},
		},
		"an operation of Lambda that is not known here": {
			"PUT /2015-03-31/functions/f/code {}",
			map[string]string{"Authorization": scope("lambda")},
			call{service: "lambda", region: "eu-west-1", accessKeyID: "ASIA1", resource: "f"},
		},
		"EKS's by its path alone": {"GET /clusters/demo", nil, call{service: "eks", operation: "DescribeCluster", resource: "demo"}},
		"an operation of EKS that is not known here": {
			"GET /clusters/demo/access-entries", map[string]string{"Authorization": scope("eks")},
			call{service: "eks", region: "eu-west-1", accessKeyID: "ASIA1", resource: "demo"},
		},
		"STS's by the form": {
			"POST / Action=AssumeRole&RoleArn=arn",
			map[string]string{"Authorization": scope("sts"), "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "X-Amz-Security-Token": "t"},
			call{protocol: query, service: "sts", region: "eu-west-1", accessKeyID: "ASIA1", sessionToken: "t", operation: "AssumeRole", resource: "arn"},
		},
		"STS's by a presigned query": {
			"GET /?Action=GetCallerIdentity&X-Amz-Credential=ASIA2%2F20261123%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Security-Token=t", nil,
			call{protocol: query, service: "sts", region: "us-east-1", accessKeyID: "ASIA2", sessionToken: "t", operation: "GetCallerIdentity"},
		},
		"Step Functions' by the target": {
			`POST / {"stateMachineArn":"m"}`,
			map[string]string{"Authorization": scope("states"), "X-Amz-Target": "AWSStepFunctions.StartExecution"},
			call{protocol: rpcJSON, service: "states", region: "eu-west-1", accessKeyID: "ASIA1", operation: "StartExecution", resource: "m"},
		},
		"of no service": {"GET /moto-api/config", map[string]string{"Authorization": "Basic abc"}, call{}},
	} {
		t.Run(name, func(t *testing.T) {
			parts := append(strings.SplitN(test.request, " ", 3), "")
			r := httptest.NewRequest(parts[0], parts[1], strings.NewReader(parts[2]))
			for name, value := range test.header {
				r.Header.Set(name, value)
			}

			got, err := identify(r)

			require.NoError(t, err)
			got.form = nil
			assert.Equal(t, test.want, got)
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Equal(t, parts[2], string(body), "the body is left as it was")
		})
	}
}

func TestARequestThatCannotBeReadIsRefused(t *testing.T) {
	for name, body := range map[string]string{
		"a form that is invalid":   "Action=%zz",
		"a form that is too large": strings.Repeat("x", maxRequest+1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_, err := identify(r)
			require.Error(t, err)
		})
	}
}
