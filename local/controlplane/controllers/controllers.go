// Package controllers runs the controllers of kube-controller-manager that make a cluster live: those of workloads, of what they own,
// of namespaces and of service accounts.
//
// It picks them, because the whole program is four times the packages, and minutes of build. There is none for volumes, load
// balancers, quotas and metrics: an object that needs one of them waits for ever.
package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/cronjob"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	serviceaccounts "k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
	"k8s.io/kubernetes/pkg/controller/volume/pvcprotection"
	"k8s.io/kubernetes/pkg/controller/volume/pvprotection"
	"k8s.io/kubernetes/pkg/controller/volume/vacprotection"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

const (
	// workers is how many objects a controller looks at at once. Its own default is 5 to 20, for clusters of another size.
	workers = 2
	// discoveryPeriod is how soon the garbage collector knows a new kind of objects.
	discoveryPeriod = 10 * time.Second
)

// Config configures the controllers.
type Config struct {
	// API is how they reach the API server.
	API *rest.Config
	// Informers are shared with other parts. Start starts them.
	Informers informers.SharedInformerFactory
	// KeyFile is the key that signs the tokens in Secrets of service accounts.
	KeyFile string
}

// Start starts the controllers and the informers. They run until the context ends, and log to its logger.
func Start(ctx context.Context, config Config) error {
	api := rest.CopyConfig(config.API)
	api.UserAgent = "kube-controller-manager" // the manager of the fields that they write
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return fmt.Errorf("make the controllers' client: %w", err)
	}
	objects, err := metadata.NewForConfig(api)
	if err != nil {
		return fmt.Errorf("make the controllers' client: %w", err)
	}
	s := starter{ctx: ctx, client: client, objects: objects, informers: config.Informers, informersStarted: make(chan struct{})}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	for _, make := range []func() (func(context.Context), error){
		s.namespaces, s.serviceAccounts, s.tokens(config.KeyFile, api.CAData), s.rootCA(api.CAData), s.clusterRoles,
		s.deployments, s.replicaSets, s.statefulSets, s.daemonSets, s.jobs, s.cronJobs, s.finishedJobs,
		s.endpointSlices, s.disruption(api), s.claims, s.volumes, s.volumeClasses, s.garbage,
	} {
		run, err := make()
		if err != nil {
			return fmt.Errorf("make a controller: %w", err)
		}
		s.runs = append(s.runs, run)
	}
	s.informers.Start(ctx.Done())
	close(s.informersStarted)
	for _, run := range s.runs {
		go run(ctx)
	}
	return nil
}

// starter makes controllers. Their methods return what runs them.
type starter struct {
	ctx              context.Context //nolint:containedctx // the constructors take it, for loggers and events
	client           kubernetes.Interface
	objects          metadata.Interface
	informers        informers.SharedInformerFactory
	informersStarted chan struct{}
	mapper           *restmapper.DeferredDiscoveryRESTMapper
	runs             []func(context.Context)
}

func (s *starter) namespaces() (func(context.Context), error) {
	c := namespace.NewNamespaceController(s.ctx, s.client, s.objects, s.client.Discovery().ServerPreferredNamespacedResources,
		s.informers.Core().V1().Namespaces(), 0, corev1.FinalizerKubernetes)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func (s *starter) serviceAccounts() (func(context.Context), error) {
	c, err := serviceaccounts.NewServiceAccountsController(klog.FromContext(s.ctx), s.informers.Core().V1().ServiceAccounts(), s.informers.Core().V1().Namespaces(),
		s.client, serviceaccounts.DefaultServiceAccountsControllerOptions())
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) tokens(keyFile string, ca []byte) func() (func(context.Context), error) {
	return func() (func(context.Context), error) {
		key, err := keyutil.PrivateKeyFromFile(keyFile)
		if err != nil {
			return nil, err
		}
		generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
		if err != nil {
			return nil, err
		}
		c, err := serviceaccounts.NewTokensController(klog.FromContext(s.ctx), s.informers.Core().V1().ServiceAccounts(), s.informers.Core().V1().Secrets(),
			s.client, serviceaccounts.TokensControllerOptions{TokenGenerator: generator, RootCA: ca})
		return func(ctx context.Context) { c.Run(ctx, workers) }, err
	}
}

// rootCA puts the CA into each namespace, from where each pod mounts it.
func (s *starter) rootCA(ca []byte) func() (func(context.Context), error) {
	return func() (func(context.Context), error) {
		c, err := rootcacertpublisher.NewPublisher(s.informers.Core().V1().ConfigMaps(), s.informers.Core().V1().Namespaces(), s.client, ca)
		return func(ctx context.Context) { c.Run(ctx, workers) }, err
	}
}

func (s *starter) clusterRoles() (func(context.Context), error) {
	c := clusterroleaggregation.NewClusterRoleAggregation(s.informers.Rbac().V1().ClusterRoles(), s.client.RbacV1())
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func (s *starter) deployments() (func(context.Context), error) {
	apps := s.informers.Apps().V1()
	c, err := deployment.NewDeploymentController(s.ctx, apps.Deployments(), apps.ReplicaSets(), s.informers.Core().V1().Pods(), s.client)
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) replicaSets() (func(context.Context), error) {
	c := replicaset.NewReplicaSetController(s.ctx, s.informers.Apps().V1().ReplicaSets(), s.informers.Core().V1().Pods(), s.client, replicaset.BurstReplicas)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func (s *starter) statefulSets() (func(context.Context), error) {
	apps, core := s.informers.Apps().V1(), s.informers.Core().V1()
	c := statefulset.NewStatefulSetController(s.ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), s.client)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func (s *starter) daemonSets() (func(context.Context), error) {
	apps, core := s.informers.Apps().V1(), s.informers.Core().V1()
	c, err := daemon.NewDaemonSetsController(s.ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(), core.Nodes(), s.client, flowcontrol.NewBackOff(time.Second, 15*time.Minute))
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) jobs() (func(context.Context), error) {
	c, err := job.NewController(s.ctx, s.client, s.informers.Core().V1().Pods(), s.informers.Batch().V1().Jobs(), nil, nil)
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) cronJobs() (func(context.Context), error) {
	batch := s.informers.Batch().V1()
	c, err := cronjob.NewControllerV2(s.ctx, batch.Jobs(), batch.CronJobs(), s.client)
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) finishedJobs() (func(context.Context), error) {
	c := ttlafterfinished.New(s.ctx, s.informers.Batch().V1().Jobs(), s.client)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func (s *starter) endpointSlices() (func(context.Context), error) {
	core := s.informers.Core().V1()
	const perSlice = 100 // kube-controller-manager's default
	c := endpointslice.NewController(s.ctx, core.Pods(), core.Services(), core.Nodes(), s.informers.Discovery().V1().EndpointSlices(), perSlice, s.client, 0)
	return func(ctx context.Context) { c.Run(ctx, workers) }, nil
}

func (s *starter) disruption(api *rest.Config) func() (func(context.Context), error) {
	return func() (func(context.Context), error) {
		scales, err := scale.NewForConfig(api, s.mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(s.client.Discovery()))
		if err != nil {
			return nil, err
		}
		apps, core := s.informers.Apps().V1(), s.informers.Core().V1()
		c := disruption.NewDisruptionController(s.ctx, core.Pods(), s.informers.Policy().V1().PodDisruptionBudgets(), core.ReplicationControllers(),
			apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), s.client, s.mapper, scales, s.client.Discovery())
		return func(ctx context.Context) { c.Run(ctx, workers) }, nil
	}
}

// claims, volumes and volumeClasses bind nothing. They lift the finalizers that the API server's admission gives to each of these
// objects: without them none is ever deleted, nor is a namespace with a claim.
func (s *starter) claims() (func(context.Context), error) {
	core := s.informers.Core().V1()
	c, err := pvcprotection.NewPVCProtectionController(klog.FromContext(s.ctx), core.PersistentVolumeClaims(), core.Pods(), s.client)
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) volumes() (func(context.Context), error) {
	c, err := pvprotection.NewPVProtectionController(klog.FromContext(s.ctx), s.informers.Core().V1().PersistentVolumes(), s.client)
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) volumeClasses() (func(context.Context), error) {
	core := s.informers.Core().V1()
	c, err := vacprotection.NewVACProtectionController(klog.FromContext(s.ctx), s.client, core.PersistentVolumeClaims(), core.PersistentVolumes(), s.informers.Storage().V1().VolumeAttributesClasses())
	return func(ctx context.Context) { c.Run(ctx, workers) }, err
}

func (s *starter) garbage() (func(context.Context), error) {
	// What the other controllers watch is not watched twice.
	shared := informerfactory.NewInformerFactory(s.informers, metadatainformer.NewSharedInformerFactory(s.objects, 0))
	c, err := garbagecollector.NewGarbageCollector(s.ctx, s.client, s.objects, s.mapper, garbagecollector.DefaultIgnoredResources(), shared, s.informersStarted)
	return func(ctx context.Context) {
		go c.Sync(ctx, s.client.Discovery(), discoveryPeriod)
		c.Run(ctx, workers, discoveryPeriod)
	}, err
}
