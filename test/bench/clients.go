package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// clients are the ways to list the pods of a namespace, by name.
type clients map[string]figures

var order = []string{"ListPods", "raw Table", "kubectl", "Go clientset", "Python"}

func build(ctx context.Context, root string, names ...string) error {
	for _, name := range names {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(root, "build", "bench", name), "./"+name)
		cmd.Dir = filepath.Join(root, "test", "bench")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	return nil
}

// command is the program of a client, and its arguments.
func (b *bench) command(client, kubeconfig, namespace string) []string {
	at := func(parts ...string) string { return filepath.Join(append([]string{b.root}, parts...)...) }
	switch client {
	case "raw Table":
		return []string{at("build", "bench", "table"), kubeconfig, namespace}
	case "Go clientset":
		return []string{at("build", "bench", "clientset"), kubeconfig, namespace}
	case "kubectl":
		return []string{at("build", "local", "kubectl"), "--kubeconfig", kubeconfig, "get", "pods", "-n", namespace}
	default:
		return []string{b.python, at("test", "bench", "list_pods.py"), kubeconfig, namespace}
	}
}

// group are clients that are measured in turn on the same control plane.
type group struct {
	clients []string
	runs    int
}

// aloneRuns are the most runs of a client that has a control plane to itself: with that
// many pods a run takes half a minute.
const aloneRuns = 3

// rowRuns is how many runs of the clients that ask for rows make one of the others:
// they take milliseconds, and so little varies much.
const rowRuns = 5

// groups are all clients with n pods. Those that ask for objects leave the API server
// with much to collect, which the ones that ask for rows would pay for; with many pods,
// each other too.
func (o options) groups(n int) []group {
	rows := group{[]string{"ListPods", "raw Table"}, rowRuns * o.runs}
	heavy := group{[]string{"Go clientset", "kubectl"}, o.runs}
	if o.python != "" && n <= o.pythonMost {
		heavy.clients = append(heavy.clients, "Python")
	}
	if n < o.aloneFrom {
		return []group{rows, heavy}
	}
	groups := []group{rows}
	for _, client := range heavy.clients {
		groups = append(groups, group{[]string{client}, min(o.runs, aloneRuns)})
	}
	return groups
}

// oneNamespace measures all clients with n pods of a namespace, each at its best: on
// a fresh control plane, after a run that does not count.
func oneNamespace(ctx context.Context, o options, n int) (clients, error) {
	measured := clients{}
	for _, group := range o.groups(n) {
		err := inFreshWorld(ctx, o, func(b *bench) error {
			namespace := fmt.Sprintf("pods-%d", n)
			say("%d pods: %s", n, strings.Join(group.clients, ", "))
			admin, err := b.world.ControlPlane.Admin()
			if err != nil {
				return err
			}
			if err := fill(ctx, admin, b.socket(), namespace, n); err != nil {
				return err
			}
			ways := map[string]func() (sample, error){}
			for _, client := range group.clients {
				if client == "ListPods" {
					if ways[client], err = b.listPods(ctx, namespace); err != nil {
						return err
					}
					continue
				}
				command := b.command(client, b.kubeconfig, namespace)
				ways[client] = func() (sample, error) { return child(ctx, command[0], command[1:]...) }
			}
			if err := turnAbout(measured, ways, group.runs); err != nil {
				return err
			}
			return b.addReceived(ctx, measured, group.clients, namespace)
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range order {
		if f, ok := measured[name]; ok {
			say("%6d pods, %-12s wall %v, request %v, cpu %v, %.0f MB, %d bytes", n, name, f.median.wall, f.median.request, f.median.cpu, f.median.memoryMB, f.median.bytes)
		}
	}
	return measured, nil
}

// addReceived adds what each client receives, in a run of its own through a proxy
// that counts.
func (b *bench) addReceived(ctx context.Context, measured clients, group []string, namespace string) error {
	p, err := newProxy(ctx, b.world.ControlPlane.Endpoint)
	if err != nil {
		return err
	}
	defer p.close()
	text, err := os.ReadFile(b.kubeconfig)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(b.dir, "proxied.kubeconfig")
	if err := os.WriteFile(kubeconfig, bytes.ReplaceAll(text, []byte(b.world.ControlPlane.Endpoint), []byte(p.endpoint)), 0o600); err != nil {
		return err
	}
	for _, client := range group {
		p.received.Store(0)
		if client == "ListPods" {
			payload, err := b.payload(ctx, p.endpoint, namespace)
			if err != nil {
				return err
			}
			if _, err := b.invoke(ctx, "list-pods", payload, nil); err != nil {
				return err
			}
		} else {
			command := b.command(client, kubeconfig, namespace)
			if _, err := child(ctx, command[0], command[1:]...); err != nil {
				return err
			}
		}
		f := measured[client]
		f.median.bytes = p.received.Load()
		measured[client] = f
	}
	return nil
}
