package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/kubestep/kubestep/internal/attestation"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	workflowpods "github.com/kubestep/kubestep/internal/workflow/podinventory"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/world"
)

func (b *bench) functions() string { return world.StackName + "-" }

func (b *bench) invoke(ctx context.Context, function string, payload, into any) (lambdahost.Result, error) {
	encoded, err := json.Marshal(payload)
	if err != nil {
		return lambdahost.Result{}, err
	}
	result, err := b.world.Lambda.Invoke(ctx, b.functions()+function, encoded)
	if err == nil && result.FunctionError != "" {
		err = fmt.Errorf("%s: %s", function, result.Payload)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(result.Payload, into)
	}
	return result, err
}

// describe is the payload of describe-cluster, as the machine makes it.
var describe = contract.DescribeCluster{
	Execution: "arn:aws:states:eu-west-1:111122223333:execution:bench:1", Workflow: "pod-inventory",
	Input: json.RawMessage(`{"clusterName":"` + world.ClusterName + `"}`),
}

// attest attests a cluster as describe-cluster does, for an endpoint that counts
// what it passes on.
func (b *bench) attest(execution string, cluster contract.Cluster) (contract.Cluster, error) {
	for _, f := range b.world.Lambda.Functions() {
		if f.Name == b.functions()+"describe-cluster" {
			attester, err := attestation.New(f.Environment["KUBESTEP_ATTESTATION_KEY"])
			if err != nil {
				return contract.Cluster{}, err
			}
			return attester.Attest(execution, "", cluster)
		}
	}
	return contract.Cluster{}, errors.New("there is no describe-cluster")
}

// payload is one of list-pods, as the machine makes it after VerifyRBAC.
func (b *bench) payload(ctx context.Context, endpoint string, namespaces ...string) (podinventory.ListPods, error) {
	var described contract.DescribedCluster
	if _, err := b.invoke(ctx, "describe-cluster", describe, &described); err != nil {
		return podinventory.ListPods{}, err
	}
	s := contract.Session{Execution: describe.Execution, Cluster: described.Cluster}
	if endpoint != "" {
		s.Cluster.Endpoint = endpoint
		var err error
		if s.Cluster, err = b.attest(s.Execution, s.Cluster); err != nil {
			return podinventory.ListPods{}, err
		}
	}
	if _, err := b.invoke(ctx, "mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token); err != nil {
		return podinventory.ListPods{}, err
	}
	// The API server asks the authenticator about a token that it has not seen. In the
	// machine that is VerifyRBAC's call.
	if _, err := b.invoke(ctx, "verify-rbac", contract.VerifyRBAC{Session: s, Checks: described.Checks}, nil); err != nil {
		return podinventory.ListPods{}, err
	}
	return podinventory.ListPods{Session: s, Namespaces: namespaces, MaxItems: workflowpods.DefaultMaxItems}, nil
}

// listPods invokes the function in a new environment, once, and returns what
// invokes it again: the samples of that are of a warm one, with the environment's
// peak of memory so far.
func (b *bench) listPods(ctx context.Context, namespaces ...string) (func() (sample, error), error) {
	if err := b.redeploy("list-pods"); err != nil {
		return nil, err
	}
	invoke := func() (sample, error) {
		// Each has a new token: it lives for 15 minutes, and the other clients take longer.
		payload, err := b.payload(ctx, "", namespaces...)
		if err != nil {
			return sample{}, err
		}
		before := processTime("list-pods")
		began := time.Now()
		var listing podinventory.Listing
		result, err := b.invoke(ctx, "list-pods", payload, &listing)
		if err != nil {
			return sample{}, err
		}
		if listing.Cursor != nil {
			return sample{}, fmt.Errorf("list-pods left off at %d pods", listing.Total)
		}
		return sample{wall: time.Since(began), request: result.Duration, cpu: processTime("list-pods") - before, memoryMB: float64(result.MaxMemoryMB)}, nil
	}
	_, err := invoke()
	return invoke, err
}

func (b *bench) redeploy(name string) error {
	for _, f := range b.world.Lambda.Functions() {
		if f.Name == b.functions()+name {
			f.Timeout = 2 * time.Minute
			return b.world.Lambda.Put(f)
		}
	}
	return fmt.Errorf("there is no function %s", name)
}

// cold measures cold starts: wall is the time from an environment's start to its
// first answer, request that to its first poll for an invocation.
func (b *bench) cold(ctx context.Context) (clients, error) {
	found := map[string][]sample{}
	for range b.runs {
		for _, name := range []string{"describe-cluster", "mint-token", "verify-rbac", "list-pods"} {
			if err := b.redeploy(name); err != nil {
				return nil, err
			}
		}
		var described contract.DescribedCluster
		take := func(name string, payload, into any) error {
			result, err := b.invoke(ctx, name, payload, into)
			found[name] = append(found[name], sample{wall: result.Init + result.Duration, request: result.Init})
			return err
		}
		if err := take("describe-cluster", describe, &described); err != nil {
			return nil, err
		}
		s := contract.Session{Execution: describe.Execution, Cluster: described.Cluster}
		if err := take("mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token); err != nil {
			return nil, err
		}
		if err := take("verify-rbac", contract.VerifyRBAC{Session: s, Checks: described.Checks}, nil); err != nil {
			return nil, err
		}
		if err := take("list-pods", podinventory.ListPods{Session: s, Namespaces: []string{"default"}, MaxItems: 100}, nil); err != nil {
			return nil, err
		}
		if b.python != "" {
			s, err := child(ctx, b.python, filepath.Join(b.root, "test", "bench", "list_pods.py"), b.kubeconfig, "default")
			if err != nil {
				return nil, err
			}
			found["Python"] = append(found["Python"], s)
		}
	}
	cold := clients{}
	for name, s := range found {
		cold[name] = summarize(s)
	}
	return cold, nil
}
