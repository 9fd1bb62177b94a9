package manifest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// fieldManager is who the API server says set the fields that are applied.
	fieldManager = "kubestep"
	// defaultNamespace takes what names no namespace and needs one.
	defaultNamespace = "default"
)

// Client applies objects to a cluster, and tells of each.
type Client struct {
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
	out     io.Writer
}

// NewClient makes a Client for the current context of a kubeconfig.
func NewClient(kubeconfig string, out io.Writer) (*Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1 // the default of five requests a second would be most of the time taken
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(disco)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its resources: %w", err)
	}
	return &Client{dynamic: client, mapper: restmapper.NewDiscoveryRESTMapper(groups), out: out}, nil
}

// Apply applies objects on the server's side, namespaces first. What the files say wins over what others have set.
func (c *Client) Apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range Ordered(objects) {
		resource, name, err := c.resource(object)
		if err != nil {
			return err
		}
		options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
		if _, err := resource.Apply(ctx, object.GetName(), object, options); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
		fmt.Fprintf(c.out, "%s serverside-applied\n", name)
	}
	return nil
}

// Delete deletes objects in the reverse order. Those that are not there are none to it.
func (c *Client) Delete(ctx context.Context, objects []*unstructured.Unstructured) error {
	ordered := Ordered(objects)
	for _, object := range slices.Backward(ordered) {
		resource, name, err := c.resource(object)
		if err != nil {
			return err
		}
		err = resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
		fmt.Fprintf(c.out, "%s deleted\n", name)
	}
	return nil
}

// resource finds where an object belongs, and what kubectl would call it, such as role.rbac.authorization.k8s.io/reader.
func (c *Client) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, string, error) {
	kind := object.GroupVersionKind()
	name := strings.ToLower(kind.GroupKind().String()) + "/" + object.GetName()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, "", fmt.Errorf("find the resource of %s: %w", name, err)
	}
	resource := c.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return resource, name, nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = defaultNamespace
	}
	return resource.Namespace(namespace), name, nil
}
