package soak

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/world"
)

const (
	// hold is how long a disturbance lasts: shorter than the machine's retries of Unauthorized, and longer than those of
	// ClusterUnreachable, so that some executions survive it, and others fail.
	hold = 5 * time.Second
	// settle is how long a disturbance may have effects after it ends: until the authenticator and the authorizer have
	// seen that, on two busy cores.
	settle = 5 * time.Second
)

// disturbance is something that makes executions fail for a while.
type disturbance struct {
	name string
	// justifies names the errors that an execution may end with meanwhile.
	justifies  []contract.ErrorName
	begin, end func(context.Context) error
}

// window is the time of a disturbance.
type window struct {
	disturbance
	from, to time.Time
}

// disturber disturbs a world, one disturbance after another.
type disturber struct {
	world   *world.World
	root    string
	mapped  string // the original mapRoles
	windows []window
	// undisturbed is closed when enough executions have ended without a disturbance.
	undisturbed func() <-chan struct{}
}

func (d *disturber) all() []disturbance {
	return []disturbance{
		{"the role is not mapped", []contract.ErrorName{contract.Unauthorized}, d.unmap, d.remap},
		{"the role is not bound", []contract.ErrorName{contract.Forbidden}, d.unbind, d.bind},
		// An API server that starts answers before it has read the bindings and reaches the authenticator, and one that
		// stops asks clients to retry later.
		{"the API server is down", []contract.ErrorName{contract.ClusterUnreachable, contract.Throttled, contract.Unauthorized, contract.Forbidden}, d.stop, d.start},
	}
}

// run disturbs until over, and then ends the last disturbance.
func (d *disturber) run(ctx, over context.Context) error {
	for {
		for _, disturbance := range d.all() {
			select {
			case <-over.Done():
				return nil
			case <-d.undisturbed():
			}
			w := window{disturbance: disturbance, from: time.Now()}
			if err := disturbance.begin(ctx); err != nil {
				return fmt.Errorf("begin that %s: %w", w.name, err)
			}
			select {
			case <-over.Done():
			case <-time.After(hold):
			}
			if err := disturbance.end(ctx); err != nil {
				return fmt.Errorf("end that %s: %w", w.name, err)
			}
			w.to = time.Now().Add(settle)
			d.windows = append(d.windows, w)
		}
	}
}

func (d *disturber) unmap(ctx context.Context) error {
	return d.mapRoles(ctx, func(held string) string {
		d.mapped = held
		return "[]"
	})
}

func (d *disturber) remap(ctx context.Context) error {
	return d.mapRoles(ctx, func(string) string { return d.mapped })
}

func (d *disturber) mapRoles(ctx context.Context, edit func(string) string) error {
	admin, err := d.world.ControlPlane.Admin()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps("kube-system")
	held, err := maps.Get(ctx, "aws-auth", metav1.GetOptions{})
	if err != nil {
		return err
	}
	held.Data["mapRoles"] = edit(held.Data["mapRoles"])
	_, err = maps.Update(ctx, held, metav1.UpdateOptions{})
	return err
}

func (d *disturber) unbind(ctx context.Context) error {
	return d.world.ControlPlane.Delete(ctx, d.bindings()...)
}

func (d *disturber) bind(ctx context.Context) error {
	return d.world.ControlPlane.Apply(ctx, d.bindings()...)
}

// bindings are the folders that bind pod-inventory's group.
func (d *disturber) bindings() []string {
	rbac := filepath.Join(d.root, "local", "rbac")
	return []string{filepath.Join(rbac, "default"), filepath.Join(rbac, "shop")}
}

func (d *disturber) stop(context.Context) error {
	d.world.ControlPlane.Stop()
	return nil
}

// start starts the control plane again, with its data and at its port.
func (d *disturber) start(ctx context.Context) error {
	endpoint, err := url.Parse(d.world.ControlPlane.Endpoint)
	if err != nil {
		return err
	}
	again, err := d.world.StartControlPlane(ctx, world.ClusterName, "--port", endpoint.Port())
	if err != nil {
		return err
	}
	d.world.ControlPlane = again
	if again.Endpoint != endpoint.String() {
		return errors.New("the control plane has come back elsewhere, at " + again.Endpoint)
	}
	return nil
}
