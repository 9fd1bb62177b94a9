package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	cluster "github.com/kubestep/kubestep/local/sample"
)

// fill puts n pods into a namespace. The first is made by the API server, and the
// others are written to its store as it stored that one: it takes 20 to 50 ms to
// make a pod, which for 50,000 of them is half an hour.
func fill(ctx context.Context, admin *rest.Config, socket, namespace string, n int) error {
	if err := cluster.Many(ctx, admin, namespace, 1, time.Now()); err != nil {
		return err
	}
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + socket}, DialTimeout: 10 * time.Second})
	if err != nil {
		return fmt.Errorf("connect to etcd: %w", err)
	}
	defer func() { _ = store.Close() }()
	const name = "orders-7c9f6d5b84-%05d"
	prefix := "/registry/pods/" + namespace + "/"
	first, err := store.Get(ctx, prefix+fmt.Sprintf(name, 0))
	if err != nil || len(first.Kvs) != 1 {
		return fmt.Errorf("read the first pod of %s: %d values, %w", namespace, first.Count, err)
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	codec := protobuf.NewSerializer(scheme, scheme)
	decoded, err := runtime.Decode(codec, first.Kvs[0].Value)
	if err != nil {
		return fmt.Errorf("decode the first pod of %s: %w", namespace, err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	const batch = 50
	for from := 1; from < n; from += batch {
		group.Go(func() error {
			var puts []clientv3.Op
			for i := from; i < min(n, from+batch); i++ {
				pod := decoded.(*corev1.Pod).DeepCopy()
				pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
				pod.Name, pod.UID = fmt.Sprintf(name, i), types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
				pod.Spec.NodeName = fmt.Sprintf("ip-10-0-%d-%d.eu-west-1.compute.internal", 1+i/60/250%250, 1+i/60%250)
				pod.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", 1+i/62500%250, i/250%250, 1+i%250)
				pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
				encoded, err := runtime.Encode(codec, pod)
				if err != nil {
					return err
				}
				puts = append(puts, clientv3.OpPut(prefix+pod.Name, string(encoded)))
			}
			_, err := store.Txn(groupCtx).Then(puts...).Commit()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("write the pods of %s: %w", namespace, err)
	}
	return seen(ctx, admin, namespace, n)
}

// seen waits until the API server has seen them all.
func seen(ctx context.Context, admin *rest.Config, namespace string, n int) error {
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return err
	}
	for {
		page, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return err
		}
		there := len(page.Items)
		if page.RemainingItemCount != nil {
			there += int(*page.RemainingItemCount)
		}
		if there == n {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
