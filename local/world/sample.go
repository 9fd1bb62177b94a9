package world

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/local/sample"
)

const (
	// StackName is the stack that local/rbac maps.
	StackName = "kubestep"
	// ReportBucket is the bucket that the stack may write to.
	ReportBucket = "reports"
)

// CreateBucket creates a bucket in the local S3.
func (w *World) CreateBucket(ctx context.Context, name string) error {
	developer, err := w.Developer()
	if err != nil {
		return err
	}
	client := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: Region},
	}); err != nil {
		return fmt.Errorf("create the bucket %s: %w", name, err)
	}
	return nil
}

// Furnish makes of an empty world what make run and make up show: the stack
// kubestep, mapped and bound by the files in rbac/, and the sample's pods.
func (w *World) Furnish(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		deployment := w.Stack(StackName)
		deployment.Parameters = map[string]string{
			"ClusterArns": "arn:aws:eks:*:" + Account + ":cluster/*", "OutputBucket": ReportBucket, "EnableApply": "true",
		}
		return w.Deploy(ctx, deployment)
	})
	group.Go(func() error { return w.CreateBucket(ctx, ReportBucket) })
	group.Go(func() error {
		admin, err := w.ControlPlane.Admin()
		if err != nil {
			return err
		}
		return sample.Fill(ctx, admin, time.Now())
	})
	group.Go(func() error {
		return w.ControlPlane.Apply(ctx, filepath.Join(w.options.Root, "local", "rbac"))
	})
	return group.Wait()
}
