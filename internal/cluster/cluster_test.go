package cluster_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/kubestep/kubestep/internal/cluster"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

// fakeEKS answers with what answer returns, and counts calls.
type fakeEKS struct {
	calls  atomic.Int32
	answer func(name string) (*types.Cluster, error)
}

func (f *fakeEKS) DescribeCluster(_ context.Context, in *eks.DescribeClusterInput, _ ...func(*eks.Options)) (*eks.DescribeClusterOutput, error) {
	f.calls.Add(1)
	c, err := f.answer(aws.ToString(in.Name))
	if err != nil {
		return nil, err
	}
	return &eks.DescribeClusterOutput{Cluster: c}, nil
}

func active(name string) *types.Cluster {
	return &types.Cluster{
		Name: aws.String(name), Arn: aws.String("arn:aws:eks:eu-west-1:111122223333:cluster/" + name), Version: aws.String("1.37"), Status: types.ClusterStatusActive,
		Endpoint:             aws.String("https://127.0.0.1:6443"),
		CertificateAuthority: &types.Certificate{Data: aws.String(base64.StdEncoding.EncodeToString([]byte(pem)))},
		AccessConfig:         &types.AccessConfigResponse{AuthenticationMode: types.AuthenticationModeApi},
	}
}

// painting is the request of a workflow that package cluster does not know.
type painting struct {
	Colour string `json:"colour"`
}

// stamp is an attestation of the execution and the role.
type stamp struct{}

func (stamp) Attest(execution, roleARN string, c contract.Cluster) (contract.Cluster, error) {
	c.Attestation = execution + " " + roleARN
	return c, nil
}

// world is a Describer with a fakeEKS, and a clock that the test sets.
type world struct {
	eks   fakeEKS
	asked []string
	now   time.Time
	cluster.Describer
}

func newWorld(answer func(string) (*types.Cluster, error)) *world {
	w := &world{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.eks.answer = answer
	w.Describer = cluster.Describer{
		EKS: func(region, roleARN, execution string) cluster.EKS {
			w.asked = append(w.asked, region+" "+roleARN+" "+execution)
			return &w.eks
		},
		Defaults: contract.Target{Region: "eu-west-1"},
		Workflows: map[string]workflow.Read{"painting": func(f *input.Fields) (any, []contract.Check) {
			p := painting{Colour: "red"}
			f.String("colour", &p.Colour)
			return p, []contract.Check{{Verb: "paint", Resource: "walls", Namespace: p.Colour}}
		}},
		Cache:       cache.NewLRUExpireCacheWithClock(2, w),
		TTL:         5 * time.Minute,
		Attestation: stamp{},
	}
	return w
}

// Now is the time that the test sets.
func (w *world) Now() time.Time { return w.now }

func ask(in string) contract.DescribeCluster {
	return contract.DescribeCluster{Execution: "e", Workflow: "painting", Input: json.RawMessage(in)}
}

func TestAClusterIsDescribedAsEKSDoes(t *testing.T) {
	w := newWorld(func(name string) (*types.Cluster, error) { return active(name), nil })

	got, err := w.Describe(t.Context(), ask(`{"clusterName":"demo","colour":"blue"}`))

	require.NoError(t, err)
	assert.Equal(t, contract.DescribedCluster{
		Target:  contract.Target{ClusterName: "demo", Region: "eu-west-1"},
		Request: json.RawMessage(`{"colour":"blue"}`),
		Checks:  []contract.Check{{Verb: "paint", Resource: "walls", Namespace: "blue"}},
		Cluster: contract.Cluster{
			Name: "demo", ARN: "arn:aws:eks:eu-west-1:111122223333:cluster/demo", Region: "eu-west-1", Version: "1.37", Status: "ACTIVE",
			Endpoint: "https://127.0.0.1:6443", CertificateAuthority: base64.StdEncoding.EncodeToString([]byte(pem)), AuthenticationMode: "API", Attestation: "e ",
		},
	}, got)
	assert.Equal(t, []string{"eu-west-1  e"}, w.asked)
}

// EventBridge sends the event of an execution that was stopped, with its input as text.
func TestTheEventOfAStoppedExecutionIsItsInputAndItsName(t *testing.T) {
	const of = "arn:aws:states:eu-west-1:111122223333:execution:m:nightly"
	event := func(source, input string) string {
		text, err := json.Marshal(map[string]any{
			"version": "0", "source": source, "detail-type": "Step Functions Execution Status Change",
			"detail": map[string]any{"executionArn": of, "status": "ABORTED", "input": input},
		})
		require.NoError(t, err)
		return string(text)
	}
	w := newWorld(func(name string) (*types.Cluster, error) { return active(name), nil })
	w.Workflows["running"] = func(f *input.Fields) (any, []contract.Check) {
		var p struct{ Colour, Stopped string }
		f.String("colour", &p.Colour)
		f.String("stopped", &p.Stopped)
		return p, nil
	}
	given := ask(event("aws.states", `{"clusterName":"demo","colour":"blue"}`))
	given.Workflow = "running"
	got, err := w.Describe(t.Context(), given)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Colour":"blue","Stopped":"`+of+`"}`, string(got.Request))
	assert.Equal(t, "demo", got.Target.ClusterName)

	for why, input := range map[string]string{
		"a workflow that leaves nothing does not know it": event("aws.states", `{"clusterName":"demo"}`),
		"nor is any event meant":                          event("aws.ec2", `{"clusterName":"demo"}`),
		"nor one of an event":                             event("aws.states", event("aws.states", `{"clusterName":"demo"}`)),
	} {
		_, err := w.Describe(t.Context(), ask(input))
		var named *contract.Error
		require.ErrorAs(t, err, &named, why)
		assert.Equal(t, contract.InvalidInput, named.Name, why)
	}
}

func TestADescriptionIsCached(t *testing.T) {
	describe := func(t *testing.T, w *world, in contract.DescribeCluster) {
		t.Helper()
		_, err := w.Describe(t.Context(), in)
		require.NoError(t, err)
	}
	demo := ask(`{"clusterName":"demo"}`)
	refresh := demo
	refresh.Refresh = true
	for sentence, c := range map[string]struct {
		do    func(*testing.T, *world)
		calls int32
	}{
		"within its time to live": {func(t *testing.T, w *world) {
			describe(t, w, demo)
			w.now = w.now.Add(5*time.Minute - time.Second)
			describe(t, w, demo)
		}, 1},
		"but not beyond it": {func(t *testing.T, w *world) {
			describe(t, w, demo)
			w.now = w.now.Add(5*time.Minute + time.Second)
			describe(t, w, demo)
		}, 2},
		"but not if a refresh is asked for, which is cached again": {func(t *testing.T, w *world) {
			describe(t, w, demo)
			describe(t, w, refresh)
			describe(t, w, demo)
		}, 2},
		"apart by Region": {func(t *testing.T, w *world) {
			describe(t, w, demo)
			describe(t, w, ask(`{"clusterName":"demo","region":"us-east-1"}`))
		}, 2},
		"apart by role": {func(t *testing.T, w *world) {
			describe(t, w, demo)
			describe(t, w, ask(`{"clusterName":"demo","roleArn":"arn:aws:iam::444455556666:role/x"}`))
		}, 2},
		"whatever else the input says": {func(t *testing.T, w *world) {
			describe(t, w, demo)
			describe(t, w, ask(`{"clusterName":"demo","colour":"blue"}`))
		}, 1},
		"of no more clusters than fit, the one that was used least recently going first": {func(t *testing.T, w *world) {
			for _, name := range []string{"a", "b", "a", "c", "a"} {
				describe(t, w, ask(fmt.Sprintf(`{"clusterName":%q}`, name)))
				w.now = w.now.Add(time.Second)
			}
			describe(t, w, ask(`{"clusterName":"b"}`))
		}, 4},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(func(name string) (*types.Cluster, error) { return active(name), nil })
			c.do(t, w)
			assert.Equal(t, c.calls, w.eks.calls.Load())
		})
	}
}

func TestAnErrorIsNotCached(t *testing.T) {
	failing := true
	w := newWorld(func(name string) (*types.Cluster, error) {
		if failing {
			return nil, errors.New("no route to host")
		}
		return active(name), nil
	})
	_, err := w.Describe(t.Context(), ask(`{"clusterName":"demo"}`))
	require.Error(t, err)
	failing = false
	_, err = w.Describe(t.Context(), ask(`{"clusterName":"demo"}`))
	assert.NoError(t, err)
}

func status(code int, err error) error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err}
}

func TestWhatEKSAnswersHasAName(t *testing.T) {
	with := func(change func(*types.Cluster)) func(string) (*types.Cluster, error) {
		return func(name string) (*types.Cluster, error) { c := active(name); change(c); return c, nil }
	}
	failing := func(err error) func(string) (*types.Cluster, error) {
		return func(string) (*types.Cluster, error) { return nil, err }
	}
	coded := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "said AWS."} }
	for sentence, c := range map[string]struct {
		answer func(string) (*types.Cluster, error)
		name   contract.ErrorName
		text   string
	}{
		"no such cluster":             {failing(&types.ResourceNotFoundException{Message: aws.String("No cluster found")}), contract.ClusterNotFound, "aws eks list-clusters --region eu-west-1"},
		"refused by IAM":              {failing(coded("AccessDeniedException")), contract.AccessDenied, "IAM refused eks:DescribeCluster of cluster demo in eu-west-1: said AWS. "},
		"credentials not taken":       {failing(coded("UnrecognizedClientException")), contract.AccessDenied, "said AWS"},
		"throttled":                   {failing(coded("ThrottlingException")), contract.Throttled, "throttled"},
		"a fault of AWS":              {failing(status(503, coded("ServiceUnavailableException"))), contract.Throttled, "could not serve"},
		"no answer":                   {failing(errors.New("no such host")), contract.AWSUnreachable, "no such host"},
		"an answer that is not known": {failing(status(418, coded("Teapot"))), contract.Unexpected, "Teapot"},
		"an answer without a cluster": {func(string) (*types.Cluster, error) { return nil, nil }, contract.Unexpected, "without a cluster"},
		"a cluster that EKS does not run": {with(func(c *types.Cluster) {
			c.Endpoint, c.ConnectorConfig = nil, &types.ConnectorConfigResponse{Provider: aws.String("GKE")}
		}), contract.InvalidInput, "Cluster demo in eu-west-1 is connected to EKS, which does not run it"},
		"what EKS does not accept": {failing(status(400, coded("ClientException"))), contract.InvalidInput, "said AWS. Check the cluster"},
		"being created":            {with(func(c *types.Cluster) { c.Status = types.ClusterStatusCreating }), contract.ClusterNotActive, "is CREATING"},
		"being deleted":            {with(func(c *types.Cluster) { c.Status = types.ClusterStatusDeleting }), contract.ClusterNotActive, "is DELETING"},
		"failed":                   {with(func(c *types.Cluster) { c.Status = types.ClusterStatusFailed }), contract.ClusterNotActive, "is FAILED"},
		"being updated is fine":    {with(func(c *types.Cluster) { c.Status = types.ClusterStatusUpdating }), "", ""},
		"two authorities are fine": {with(func(c *types.Cluster) {
			c.CertificateAuthority.Data = aws.String(base64.StdEncoding.EncodeToString([]byte(pem + pem)))
		}), "", ""},
		"no endpoint":                  {with(func(c *types.Cluster) { c.Endpoint = nil }), contract.Unexpected, "not an https URL"},
		"an endpoint in the clear":     {with(func(c *types.Cluster) { c.Endpoint = aws.String("http://x") }), contract.Unexpected, "not an https URL"},
		"an authority without padding": {with(func(c *types.Cluster) { c.CertificateAuthority.Data = aws.String("LS0tLS1CRUdJTg") }), contract.Unexpected, "not base64"},
		"a CA that is not PEM":         {with(func(c *types.Cluster) { c.CertificateAuthority.Data = aws.String("AAAA") }), contract.Unexpected, "not PEM"},
		"no authority":                 {with(func(c *types.Cluster) { c.CertificateAuthority = nil }), contract.Unexpected, "not PEM"},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(c.answer)
			_, err := w.Describe(t.Context(), ask(`{"clusterName":"demo"}`))
			if c.name == "" {
				require.NoError(t, err)
				return
			}
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.name, named.Name)
			assert.Contains(t, named.Message, c.text)
		})
	}
}

func TestAnInvalidInputIsRefusedBeforeEKSIsCalled(t *testing.T) {
	w := newWorld(func(name string) (*types.Cluster, error) { return active(name), nil })
	_, err := w.Describe(t.Context(), ask(`{"clusterName":"demo","color":"x"}`))
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.InvalidInput, named.Name)
	assert.Empty(t, w.asked)
}

func TestAClusterWithoutAModeIsMappedByAwsAuth(t *testing.T) {
	w := newWorld(func(name string) (*types.Cluster, error) { c := active(name); c.AccessConfig = nil; return c, nil })
	got, err := w.Describe(t.Context(), ask(`{"clusterName":"demo"}`))
	require.NoError(t, err)
	assert.Equal(t, "CONFIG_MAP", got.Cluster.AuthenticationMode)
}

func TestAnAttestationIsForTheExecutionAlsoIfTheClusterIsCached(t *testing.T) {
	w := newWorld(func(name string) (*types.Cluster, error) { return active(name), nil })
	in := ask(`{"clusterName":"demo","roleArn":"arn:aws:iam::444455556666:role/x"}`)
	for _, execution := range []string{"first", "second"} {
		in.Execution = execution
		got, err := w.Describe(t.Context(), in)
		require.NoError(t, err)
		assert.Equal(t, execution+" arn:aws:iam::444455556666:role/x", got.Cluster.Attestation)
	}
	assert.EqualValues(t, 1, w.eks.calls.Load())
}

func TestAnUnknownWorkflowIsRefused(t *testing.T) {
	w := newWorld(nil)
	in := ask(`{"clusterName":"demo"}`)
	in.Workflow = "plumbing"
	_, err := w.Describe(t.Context(), in)
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Unexpected, named.Name)
	assert.Contains(t, named.Message, `"plumbing"`)
}
