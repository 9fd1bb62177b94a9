// Command describe-cluster is the function of the state DescribeCluster.
package main

import (
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/kubestep/kubestep/internal/attestation"
	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/cluster"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/workflow"
	"github.com/kubestep/kubestep/internal/workflows"
)

func main() {
	cfg := task.Must(awsapi.Config(os.Getenv))
	ttl := task.Must(time.ParseDuration(os.Getenv("KUBESTEP_CACHE_TTL")))
	roles := awsapi.NewRoles(cfg, os.Getenv("KUBESTEP_EXTERNAL_ID"))
	describer := cluster.Describer{
		EKS:         cluster.API(cfg, roles.Credentials),
		Defaults:    contract.Target{ClusterName: os.Getenv("KUBESTEP_CLUSTER_NAME"), Region: cfg.Region},
		Workflows:   workflow.Readers(workflows.All(), os.Getenv),
		Cache:       cache.NewLRUExpireCache(cluster.MaxCached),
		TTL:         ttl,
		Attestation: task.Must(attestation.New(os.Getenv("KUBESTEP_ATTESTATION_KEY"))),
	}
	task.Start(contract.FunctionDescribeCluster, describer.Describe)
}
