// Package scheduler runs the real kube-scheduler inside the process, as a library: without its server and its leader election.
package scheduler

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// Start starts the scheduler, which runs until the context ends, and logs to its logger.
func Start(ctx context.Context, api *rest.Config) error {
	config := rest.CopyConfig(api)
	config.UserAgent = "kube-scheduler"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the scheduler's client: %w", err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("record the scheduler's events: %w", err)
	}
	context.AfterFunc(ctx, broadcaster.Shutdown)
	// Its own informers leave out pods that have ended, which take no room on a node.
	informers := scheduler.NewInformerFactory(client, 0, nil)
	s, err := scheduler.New(ctx, client, informers, nil, profile.NewRecorderFactory(broadcaster), scheduler.WithKubeConfig(config))
	if err != nil {
		return fmt.Errorf("make the scheduler: %w", err)
	}
	informers.Start(ctx.Done())
	go func() {
		informers.WaitForCacheSync(ctx.Done())
		if s.WaitForHandlersSync(ctx) == nil {
			s.Run(ctx)
		}
	}()
	return nil
}
