package world

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/local/stack"
)

const (
	// StackName is the stack that Furnish deploys.
	StackName = "kubestep"
	// ReportBucket is the bucket that the stack may write to.
	ReportBucket = "reports"
	// ManifestBucket is the bucket, with versions, that the stack reads manifests from.
	ManifestBucket = "manifests"
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

// createManifestBucket creates the bucket of manifests, whose versions a rollout can go back to.
func (w *World) createManifestBucket(ctx context.Context) error {
	if err := w.CreateBucket(ctx, ManifestBucket); err != nil {
		return err
	}
	client, err := w.s3()
	if err != nil {
		return err
	}
	if _, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: aws.String(ManifestBucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		return fmt.Errorf("turn on the versions of the bucket %s: %w", ManifestBucket, err)
	}
	return nil
}

// Furnish fills an empty world with what make run and make up show: the stack kubestep with all workflows, mapped as its outputs
// say and bound by the folders of local/rbac, and the pods of local/sample.
func (w *World) Furnish(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		deployment := w.Stack(StackName)
		deployment.Parameters = deployment.AllWorkflows()
		deployment.Parameters["ClusterArns"], deployment.Parameters["OutputBucket"] = "arn:aws:eks:*:"+Account+":cluster/*", ReportBucket
		deployment.Parameters["ManifestBucket"] = ManifestBucket
		if err := w.Deploy(ctx, deployment); err != nil {
			return err
		}
		return w.mapRoles(ctx, deployment)
	})
	group.Go(func() error { return w.CreateBucket(ctx, ReportBucket) })
	group.Go(func() error { return w.createManifestBucket(ctx) })
	group.Go(func() error {
		if err := w.createPods(ctx); err != nil {
			return err
		}
		folders, err := filepath.Glob(filepath.Join(w.options.Root, "local", "rbac", "*"))
		if err != nil {
			return fmt.Errorf("find the bindings: %w", err)
		}
		return w.ControlPlane.Apply(ctx, folders...)
	})
	return group.Wait()
}

// mapRoles maps the roles of a stack to their groups, as its outputs say.
func (w *World) mapRoles(ctx context.Context, s stack.Stack) error {
	evaluated, err := s.Evaluate()
	if err != nil {
		return err
	}
	mappings := ""
	for _, name := range slices.Sorted(maps.Keys(evaluated.Outputs)) {
		if strings.HasSuffix(name, "AwsAuthMapping") {
			mappings += evaluated.Outputs[name]
		}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "aws-auth", "namespace": "kube-system"},
		"data": map[string]string{"mapRoles": mappings},
	})
	if err != nil {
		return fmt.Errorf("encode the mapping: %w", err)
	}
	return w.ControlPlane.kubectl(ctx, string(text), "apply", "--server-side", "--force-conflicts", "-f", "-")
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
