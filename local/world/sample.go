package world

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/local/sample"
)

// StackName is the stack that rbac/aws-auth maps.
const StackName = "kubestep"

// Furnish makes of an empty world what make run and make up show: the stack
// kubestep, mapped and bound by the files in rbac/, and the sample's pods.
func (w *World) Furnish(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Deploy(ctx, w.Stack(StackName)) })
	group.Go(func() error {
		admin, err := w.ControlPlane.Admin()
		if err != nil {
			return err
		}
		return sample.Fill(ctx, admin, time.Now())
	})
	group.Go(func() error {
		return w.ControlPlane.Apply(ctx, filepath.Join(w.options.Root, "rbac", "aws-auth"), filepath.Join(w.options.Root, "local", "rbac"))
	})
	return group.Wait()
}
