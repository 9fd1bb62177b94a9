// Package kubelet is the cluster's nodes to an API server: it runs no containers, but says of each pod what a kubelet would say, and
// serves its logs. Annotations make a pod fail: docs/local.md lists them.
//
// It stays because kwok, which does the same, knows one next state for all containers of a pod, and neither a restart policy nor a
// count of restarts; what its pods print are files that its configuration names. Both would have to be programs in its templates.
package kubelet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// workers is how many pods are looked at at once.
	workers = 4
	// patience is how old a pod is before what it needs counts as missing.
	patience = 2 * time.Second
)

// Config configures the nodes.
type Config struct {
	// API is how they reach the API server.
	API *rest.Config
	// Informers are shared with other parts. Whoever shares them starts them.
	Informers informers.SharedInformerFactory
	// CertFile and KeyFile are of the server of logs.
	CertFile, KeyFile string
}

// Start serves logs, makes the nodes, and runs what is scheduled to them until the context ends.
func Start(ctx context.Context, config Config) error {
	api := rest.CopyConfig(config.API)
	api.UserAgent = "kubelet"
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return fmt.Errorf("make the kubelets' client: %w", err)
	}
	core := config.Informers.Core().V1()
	pods, secrets, configMaps := core.Pods(), core.Secrets(), core.ConfigMaps()
	k := &kubelet{
		client: client, pods: pods.Lister(), sources: sources{secrets.Lister(), configMaps.Lister()},
		now: func() time.Time { return time.Now().Truncate(time.Second) }, recorders: recorders(ctx, client),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    k.look,
		UpdateFunc: func(_, pod any) { k.look(pod) },
	}); err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	address, err := logs{pods: pods.Lister()}.serve(ctx, config.CertFile, config.KeyFile)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := k.join(ctx, n, address); err != nil {
			return err
		}
	}
	context.AfterFunc(ctx, k.queue.ShutDown)
	known := []cache.InformerSynced{pods.Informer().HasSynced, secrets.Informer().HasSynced, configMaps.Informer().HasSynced}
	for range workers {
		go func() {
			// What is not known yet is not missing.
			for known := cache.WaitForCacheSync(ctx.Done(), known...); known && k.work(ctx); {
			}
		}()
	}
	return nil
}

// recorders record the events of the nodes, by their names.
func recorders(ctx context.Context, client kubernetes.Interface) map[string]record.EventRecorder {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	context.AfterFunc(ctx, broadcaster.Shutdown)
	all := map[string]record.EventRecorder{}
	for _, n := range nodes {
		all[n.name] = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: n.name})
	}
	return all
}

type kubelet struct {
	client    kubernetes.Interface
	pods      corev1listers.PodLister
	sources   sources
	recorders map[string]record.EventRecorder
	queue     workqueue.TypedRateLimitingInterface[cache.ObjectName]
	now       func() time.Time

	addresses sync.Mutex
	given     int
}

// ours reports whether a pod is to be run here. One with another scheduler's name is left to whoever wrote that.
func ours(pod *corev1.Pod) bool {
	return pod.Spec.SchedulerName == corev1.DefaultSchedulerName && slices.ContainsFunc(nodes, func(n node) bool { return n.name == pod.Spec.NodeName })
}

func (k *kubelet) look(object any) {
	if pod, ok := object.(*corev1.Pod); ok {
		k.queue.Add(cache.MetaObjectToName(pod))
	}
}

func (k *kubelet) work(ctx context.Context) bool {
	name, shutdown := k.queue.Get()
	if shutdown {
		return false
	}
	defer k.queue.Done(name)
	again, err := k.sync(ctx, name)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			klog.FromContext(ctx).Info("a pod is looked at again", "pod", name, "reason", err.Error())
		}
		k.queue.AddRateLimited(name)
	case again > 0:
		k.queue.Forget(name)
		k.queue.AddAfter(name, again)
	default:
		k.queue.Forget(name)
	}
	return true
}

// sync writes a pod's status as it is now, and says when to look again.
func (k *kubelet) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	pod, err := k.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the pod: %w", err)
	}
	if pod.DeletionTimestamp != nil && pod.Spec.NodeName != "" {
		return 0, k.stop(ctx, pod)
	}
	if !ours(pod) {
		return 0, nil
	}
	var lacks lacks
	if !ended(&pod.Status) {
		if lacks, err = k.sources.lacks(pod); err != nil {
			return 0, err
		}
		// It may have been made just before the pod, and be on its way here.
		if lacks.something() && k.now().Sub(pod.CreationTimestamp.Time) < patience {
			return patience / 8, nil
		}
	}
	status, again := next(pod, lacks, k.now())
	if status.PodIP == "" && lacks.volume == "" {
		if err := k.address(pod, &status); err != nil {
			return 0, err
		}
	}
	if equality.Semantic.DeepEqual(status, pod.Status) {
		return again, nil
	}
	if err := k.write(ctx, pod, status, happened(pod, &pod.Status, &status, lacks)); err != nil {
		return 0, err
	}
	return again, nil
}

// write writes a pod's status, and records what has happened.
func (k *kubelet) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus, events []event) error {
	changed := pod.DeepCopy()
	changed.Status = status
	_, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the pod's status: %w", err)
	}
	for _, e := range events {
		k.recorders[pod.Spec.NodeName].Event(pod, e.kind, e.reason, e.message)
	}
	return nil
}

// stop ends a pod that is being deleted, whoever writes its status and whether or not its node is there: nobody else would. Its
// containers stop at once. That they have is written first: a Job waits for it.
func (k *kubelet) stop(ctx context.Context, pod *corev1.Pod) error {
	if ours(pod) && !ended(&pod.Status) {
		status := *pod.Status.DeepCopy()
		end(pod, &status, k.now())
		return k.write(ctx, pod, status, stopping(&pod.Status)) // which makes it be looked at again
	}
	if pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
		return nil // it waits for finalizers only
	}
	options := metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &pod.UID}}
	if err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, options); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("end the pod: %w", err)
	}
	return nil
}

// address gives a pod an address of its node that no pod has, not even one of before a restart.
func (k *kubelet) address(pod *corev1.Pod, status *corev1.PodStatus) error {
	all, err := k.pods.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("read the pods: %w", err)
	}
	taken := map[string]bool{}
	for _, other := range all {
		taken[other.Status.PodIP] = true
	}
	k.addresses.Lock()
	defer k.addresses.Unlock()
	i := slices.IndexFunc(nodes, func(n node) bool { return n.name == pod.Spec.NodeName })
	for ip := ""; ip == "" || taken[ip]; status.PodIP = ip {
		const subnet = 250
		ip = fmt.Sprintf("10.%d.%d.%d", k.given/(subnet*100), k.given/subnet%100*len(nodes)+i+1, k.given%subnet+4)
		k.given++
	}
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	return nil
}
