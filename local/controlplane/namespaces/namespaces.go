// Package namespaces runs the namespace controller, which removes the objects of a deleted namespace. It is the only controller of
// kube-controller-manager in the local cluster: without it a deleted namespace would stay Terminating.
package namespaces

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// workers is how many namespaces are processed at once.
const workers = 2

// Start starts the controller, which runs until the context ends.
func Start(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the namespace controller's client: %w", err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the namespace controller's client: %w", err)
	}
	informer := informers.NewSharedInformerFactory(client, 0)
	controller := namespace.NewNamespaceController(ctx, client, objects, client.Discovery().ServerPreferredNamespacedResources,
		informer.Core().V1().Namespaces(), 0, corev1.FinalizerKubernetes)
	informer.Start(ctx.Done())
	go controller.Run(ctx, workers)
	return nil
}
