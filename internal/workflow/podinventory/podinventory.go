// Package podinventory is the workflow pod-inventory, which lists the pods of a cluster:
// how its input is read, and what it needs to be allowed. internal/pods lists.
package podinventory

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

const (
	// DefaultGroup is the Kubernetes group that the files in rbac/ bind.
	DefaultGroup = "kubestep-pod-readers"
	// DefaultMaxItems is how many pods the output holds if the input does not say.
	DefaultMaxItems = 100
	// MaxMaxItems is the most that the input may ask for. The output's own bound in
	// bytes has room for about 300.
	MaxMaxItems = 1000
	// MaxNamespaces bounds the namespaces of one request: with names of 63
	// characters, the request, its checks and the totals of that many stay well
	// within the 256 KiB that Step Functions passes between states.
	MaxNamespaces = 200
	// maxSelectorBytes bounds a selector: it is sent in the URL of every page.
	maxSelectorBytes = 4096
)

// Workflow is the workflow.
func Workflow() workflow.Workflow {
	return workflow.Workflow{
		Name:    podinventory.Name,
		Summary: "List the pods of a cluster",
		Page:    "inventory.md",
		Request: reflect.TypeFor[podinventory.Request](),
		Output:  reflect.TypeFor[podinventory.Output](),
		Bounds: map[string]map[string]any{
			"podinventory.Request.Namespaces":    {"minItems": 1, "maxItems": MaxNamespaces, "uniqueItems": true},
			"podinventory.Request.LabelSelector": {"maxLength": maxSelectorBytes},
			"podinventory.Request.FieldSelector": {"maxLength": maxSelectorBytes},
			"podinventory.Request.MaxItems":      {"maximum": MaxMaxItems},
		},
		Reader: func(getenv func(string) string) workflow.Read {
			group := getenv("KUBESTEP_KUBERNETES_GROUP")
			return func(f *input.Fields) (any, []contract.Check) {
				request := Read(f)
				return request, Checks(request.Namespaces, group)
			}
		},
		Figures: workflow.FiguresOf(figures),
	}
}

// counted is what figures are made of: an Output without the rows, which take longer to
// read than all else that is done for a cluster.
type counted struct {
	Pods struct {
		Total int `json:"total"`
		// Unhealthy is nil in the output of a version that did not count them.
		Unhealthy *int `json:"unhealthy"`
	} `json:"pods"`
}

// figures are the pods, and the unhealthy ones as the inventory counts them.
func figures(output counted) map[string]int {
	figures := map[string]int{"pods": output.Pods.Total}
	if output.Pods.Unhealthy != nil {
		figures["unhealthy"] = *output.Pods.Unhealthy
	}
	return figures
}

// Read reads a request.
func Read(f *input.Fields) podinventory.Request {
	r := podinventory.Request{Namespaces: []string{"default"}, MaxItems: DefaultMaxItems, OnDenied: contract.OnDeniedFail}
	f.Strings("namespaces", &r.Namespaces)
	f.String("labelSelector", &r.LabelSelector)
	f.String("fieldSelector", &r.FieldSelector)
	f.String("onDenied", (*string)(&r.OnDenied))
	f.Int("maxItems", &r.MaxItems)
	r.Output = input.Destination(f, "output")

	checkNamespaces(f, r.Namespaces)
	checkSelector(f, "labelSelector", "app=web,tier!=db", r.LabelSelector, func(s string) error { _, err := labels.Parse(s); return err })
	checkSelector(f, "fieldSelector", "status.phase=Running,spec.nodeName!=a", r.FieldSelector, func(s string) error { _, err := fields.ParseSelector(s); return err })
	if r.OnDenied != contract.OnDeniedFail && r.OnDenied != contract.OnDeniedSkip {
		f.Problem("onDenied", "%s: expected %q or %q", input.Quote(string(r.OnDenied)), contract.OnDeniedFail, contract.OnDeniedSkip)
	}
	if r.MaxItems < 0 || r.MaxItems > MaxMaxItems {
		f.Problem("maxItems", "%d: expected 0 to %d", r.MaxItems, MaxMaxItems)
	}
	return r
}

func checkNamespaces(f *input.Fields, namespaces []string) {
	switch n := len(namespaces); {
	case f.HasProblem("namespaces"):
		return
	case n == 0:
		f.Problem("namespaces", "empty: expected at least one namespace")
		return
	case n > MaxNamespaces:
		f.Problem("namespaces", "%d namespaces: expected at most %d", n, MaxNamespaces)
		return
	}
	first := map[string]int{}
	for i, namespace := range namespaces {
		field := fmt.Sprintf("namespaces[%d]", i)
		if namespace == contract.AllNamespaces {
			if len(namespaces) > 1 {
				f.Problem("namespaces", "%q stands for all namespaces: expected no other beside it", namespace)
			}
			continue
		}
		if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
			f.Problem(field, "%s is not a valid namespace: %s", input.Quote(namespace), strings.Join(wrong, "; "))
			continue
		}
		if earlier, again := first[namespace]; again {
			f.Problem(field, "%s repeats namespaces[%d]", input.Quote(namespace), earlier)
			continue
		}
		first[namespace] = i
	}
}

func checkSelector(f *input.Fields, field, example, selector string, parse func(string) error) {
	if len(selector) > maxSelectorBytes {
		f.Problem(field, "%d bytes: expected at most %d", len(selector), maxSelectorBytes)
		return
	}
	if err := parse(selector); err != nil {
		f.Problem(field, "%s is not a valid selector such as %s: %s", input.Quote(selector), example, contract.Clip(err.Error(), 200))
	}
}

// Checks are the permissions that listing the pods of the namespaces needs.
func Checks(namespaces []string, group string) []contract.Check {
	checks := make([]contract.Check, 0, len(namespaces)+1)
	for _, namespace := range namespaces {
		if namespace == contract.AllNamespaces {
			checks = append(checks, NamespacesCheck(group))
		}
		checks = append(checks, PodsCheck(namespace, group))
	}
	return checks
}

// NamespacesCheck is the permission to list the namespaces themselves.
func NamespacesCheck(group string) contract.Check {
	return contract.Check{Verb: "list", Resource: "namespaces", Fix: fix("rbac/cluster", "", group)}
}

// PodsCheck is the permission to list the pods of a namespace, or of all.
func PodsCheck(namespace, group string) contract.Check {
	check := contract.Check{Verb: "list", Resource: "pods", Namespace: namespace, Fix: fix("rbac/cluster", "", group)}
	if namespace != contract.AllNamespaces {
		check.Fix = fix("rbac/namespace", " -n "+namespace, group)
	}
	return check
}

// fix is the command that applies a folder of rbac/, for the group that the stack uses.
func fix(folder, flags, group string) string {
	if group == DefaultGroup {
		return "kubectl apply -k " + folder + flags
	}
	return fmt.Sprintf("kubectl kustomize %s | sed s/%s/%s/ | kubectl apply -f -%s", folder, DefaultGroup, group, flags)
}
