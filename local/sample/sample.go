// Package sample fills a cluster with pods that nothing runs: a small workload
// to look at, or many pods to measure with. What a kubelet would report of them
// is written through the status subresource.
package sample

import (
	"context"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// parallel bounds the pods that are written at once.
const parallel = 16

// Fill makes the sample workload in the namespaces default and shop. In a
// cluster that holds it already, each of its pods is made anew; other pods stay.
func Fill(ctx context.Context, admin *rest.Config, now time.Time) error {
	return write(ctx, admin, workload(now))
}

// Many makes n pods in the namespace, each with two containers, a full status
// and about 20 KB as JSON, as ordinary pods of EKS clusters have.
func Many(ctx context.Context, admin *rest.Config, namespace string, n int, now time.Time) error {
	return write(ctx, admin, func(yield func(*corev1.Pod) bool) {
		for i := range n {
			if !yield(ordinary(namespace, i, now)) {
				return
			}
		}
	})
}

// write makes the pods, and the namespaces that they are in.
func write(ctx context.Context, admin *rest.Config, pods iter.Seq[*corev1.Pod]) error {
	c, err := connect(admin)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	there := map[string]bool{}
	for pod := range pods {
		if !there[pod.Namespace] {
			if err := c.namespace(ctx, pod.Namespace); err != nil {
				group.Go(func() error { return err })
				break
			}
			there[pod.Namespace] = true
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return c.pod(ctx, pod) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("fill the cluster: %w", err)
	}
	return nil
}

// client writes to core/v1.
type client struct{ rest.Interface }

// connect makes a client that knows core/v1 only: the whole clientset would
// bring every API of Kubernetes into whatever links this.
func connect(admin *rest.Config) (client, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return client{}, fmt.Errorf("register core/v1: %w", err)
	}
	config := rest.CopyConfig(admin)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf
	// The default is five requests a second; what bounds them here is parallel.
	config.QPS = -1
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return client{}, fmt.Errorf("make a client of the API server: %w", err)
	}
	return client{c}, nil
}

func (c client) namespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	err := c.Post().Resource("namespaces").Body(namespace).Do(ctx).Error()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the namespace %s: %w", name, err)
	}
	return nil
}

// pod makes a pod with its status, in the place of one of that name. One that
// has a deletion timestamp is deleted, with the grace that leaves it there.
func (c client) pod(ctx context.Context, pod *corev1.Pod) error {
	terminating := pod.DeletionTimestamp != nil
	pod.DeletionTimestamp = nil

	made, err := c.create(ctx, pod)
	if apierrors.IsAlreadyExists(err) {
		// Most of a pod cannot be changed, and a deletion not be taken back.
		if err := c.delete(ctx, pod, 0); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		made, err = c.create(ctx, pod)
	}
	if err != nil {
		return err
	}

	made.Status = pod.Status
	err = c.Put().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("status").Body(made).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("write the status of the pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if !terminating {
		return nil
	}
	// A pod that is on a node is gone once the kubelet says that its containers
	// have stopped. There is none, so it stays.
	return c.delete(ctx, pod, 30)
}

func (c client) create(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	made := &corev1.Pod{}
	if err := c.Post().Resource("pods").Namespace(pod.Namespace).Body(pod).Do(ctx).Into(made); err != nil {
		return nil, fmt.Errorf("create the pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return made, nil
}

func (c client) delete(ctx context.Context, pod *corev1.Pod, graceSeconds int64) error {
	options := &metav1.DeleteOptions{GracePeriodSeconds: &graceSeconds}
	if err := c.Delete().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).Body(options).Do(ctx).Error(); err != nil {
		return fmt.Errorf("delete the pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
