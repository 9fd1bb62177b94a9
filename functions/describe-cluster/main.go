// Command describe-cluster is the function of the state DescribeCluster.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/kubestep/kubestep/internal/cluster"
	"github.com/kubestep/kubestep/internal/iam"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	cfg := task.Must(config.LoadDefaultConfig(context.Background()))
	ttl := task.Must(time.ParseDuration(os.Getenv("KUBESTEP_CACHE_TTL")))
	roles := iam.NewRoles(cfg, os.Getenv("KUBESTEP_EXTERNAL_ID"))
	describer := cluster.Describer{
		EKS:      cluster.API(cfg, roles.Credentials),
		Defaults: input.Defaults(cfg.Region, os.Getenv("KUBESTEP_CLUSTER_NAME")),
		Cache:    cluster.NewCache(ttl, cluster.MaxCached, time.Now),
	}
	task.Start("DescribeCluster", describer.Describe)
}
