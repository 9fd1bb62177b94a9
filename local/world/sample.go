package world

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	// StackName is the stack that local/rbac maps.
	StackName = "kubestep"
	// ReportBucket is the bucket that the stack may write to.
	ReportBucket = "reports"
)

// CreateBucket creates a bucket in the local S3.
func (w *World) CreateBucket(ctx context.Context, name string) error {
	client, err := w.s3()
	if err != nil {
		return err
	}
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: Region},
	}); err != nil {
		return fmt.Errorf("create the bucket %s: %w", name, err)
	}
	return nil
}

// Furnish fills an empty world with what make run and make up show: the stack kubestep, mapped and bound by local/rbac, and
// the pods of local/sample.
func (w *World) Furnish(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		deployment := w.Stack(StackName)
		deployment.Parameters = map[string]string{
			"ClusterArns": "arn:aws:eks:*:" + Account + ":cluster/*", "OutputBucket": ReportBucket, "EnableApply": "true", "FleetWorkflows": "pod-inventory,apply-manifests",
		}
		return w.Deploy(ctx, deployment)
	})
	group.Go(func() error { return w.CreateBucket(ctx, ReportBucket) })
	group.Go(func() error {
		if err := w.createPods(ctx); err != nil {
			return err
		}
		return w.ControlPlane.Apply(ctx, filepath.Join(w.options.Root, "local", "rbac"))
	})
	return group.Wait()
}

// createPods creates the pods of local/sample, with their status.
func (w *World) createPods(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(w.options.Root, "local", "sample", "pods.yaml"))
	if err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	now := time.Now().UTC()
	pods := strings.NewReplacer(
		"STARTED", now.Add(-26*time.Hour).Format(time.RFC3339), "ENDED", now.Add(-5*time.Minute).Format(time.RFC3339),
	).Replace(string(text))
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", "-"},
		{"apply", "--server-side", "--subresource=status", "-f", "-"},
		{"delete", "pods", "--namespace", "shop", "--selector", "pod-template-hash=54bd8f6c97", "--wait=false"},
	} {
		if err := w.ControlPlane.kubectl(ctx, pods, args...); err != nil {
			return err
		}
	}
	return nil
}
