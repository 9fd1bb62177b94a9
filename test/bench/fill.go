package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// podName names a pod by its number.
const podName = "orders-7c9f6d5b84-%05d"

// fill puts n pods into a namespace. The first is made by the API server, and the
// others are written to its store as it stored that one: it takes 20 to 50 ms to
// make a pod, which for 50,000 of them is half an hour.
func fill(ctx context.Context, admin *rest.Config, socket, namespace string, n int) error {
	if err := createFirst(ctx, admin, namespace); err != nil {
		return err
	}
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + socket}, DialTimeout: 10 * time.Second})
	if err != nil {
		return fmt.Errorf("connect to etcd: %w", err)
	}
	defer func() { _ = store.Close() }()
	prefix := "/registry/pods/" + namespace + "/"
	first, err := store.Get(ctx, prefix+fmt.Sprintf(podName, 0))
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
				pod.Name, pod.UID = fmt.Sprintf(podName, i), types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
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

// createFirst creates the namespace and its first pod.
func createFirst(ctx context.Context, admin *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	pod := ordinary(time.Now())
	created, err := client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	created.Status = pod.Status
	_, err = client.CoreV1().Pods(namespace).UpdateStatus(ctx, created, metav1.UpdateOptions{})
	return err
}

// ordinary is an application and its proxy, with the settings and the status that make an ordinary pod of an EKS
// cluster about 20 KB of JSON.
func ordinary(now time.Time) *corev1.Pod {
	started := metav1.NewTime(now.Add(-26 * time.Hour))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        fmt.Sprintf(podName, 0),
			Labels:      map[string]string{"app": "orders", "pod-template-hash": "7c9f6d5b84"},
			Annotations: map[string]string{"example.com/config": strings.Repeat("setting=value;", 100)},
		},
		Spec: corev1.PodSpec{NodeName: "ip-10-0-1-1.eu-west-1.compute.internal", SchedulerName: "by-hand"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.1.0.1", PodIPs: []corev1.PodIP{{IP: "10.1.0.1"}}, StartTime: &started,
		},
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: started})
	}
	amounts := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("250m"),
		corev1.ResourceMemory: resource.MustParse("512Mi"),
	}
	for _, app := range []struct{ name, image string }{{"orders", "orders:2026.11.3"}, {"proxy", "envoy:v1.36.2"}} {
		container := corev1.Container{
			Name: app.name, Image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/" + app.image,
			Resources:      corev1.ResourceRequirements{Requests: amounts, Limits: amounts},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/ready", "--verbose"}}}},
		}
		for i := range 40 {
			container.Env = append(container.Env, corev1.EnvVar{
				Name:  fmt.Sprintf("ORDERS_SETTING_%02d", i),
				Value: fmt.Sprintf("https://service-%02d.internal.example.com/path", i),
			})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, container)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: app.name, Image: container.Image, Ready: true,
			ImageID:     container.Image + "@sha256:" + strings.Repeat("5f", 32),
			ContainerID: "containerd://" + strings.Repeat("a7", 32),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}},
		})
	}
	return pod
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
