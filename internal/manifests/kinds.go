package manifests

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/objects"
)

// unappliable is the error about the objects that the API does not let anybody change,
// such as a TokenReview, which is a question, or a ComponentStatus; nil if there are none.
func (s *session) unappliable(targets []objects.Target) error {
	var texts []string
	ordered := slices.Clone(targets)
	byOrder(ordered, func(t objects.Target) objects.Target { return t })
	for _, t := range ordered {
		if v := t.Verbs; len(v) > 0 && !(slices.Contains(v, verbGet) && slices.Contains(v, verbPatch)) {
			texts = append(texts, fmt.Sprintf("%s (%s, name %s), which can only be asked to %s", t.Kind, t.From, t.Name, strings.Join(v, ", ")))
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return contract.Errorf(contract.InvalidInput, "The API of cluster %s does not let anybody apply objects of these kinds: %s. Leave them out of the manifests", s.Conn.Cluster.Name, enumerate(texts))
}

// otherGroups are the groups that once served resources which another one serves now:
// it is the same object, whichever it is asked of.
// https://kubernetes.io/docs/reference/using-api/deprecation-guide/
var otherGroups = map[schema.GroupResource]string{
	{Group: "extensions", Resource: "daemonsets"}:      "apps",
	{Group: "extensions", Resource: "deployments"}:     "apps",
	{Group: "extensions", Resource: "replicasets"}:     "apps",
	{Group: "extensions", Resource: "ingresses"}:       "networking.k8s.io",
	{Group: "extensions", Resource: "networkpolicies"}: "networking.k8s.io",
	{Group: "", Resource: "events"}:                    "events.k8s.io",
}

// twice names the targets that are one and the same object in the cluster: whichever is
// applied last would win, at every apply. Only the cluster knows whether a kind is in
// namespaces, and that two versions are of one kind.
func twice(targets []objects.Target) error {
	type identity struct {
		schema.GroupResource
		namespace, name string
	}
	var problems []string
	first := map[identity]objects.Target{}
	ordered := slices.Clone(targets)
	byOrder(ordered, func(t objects.Target) objects.Target { return t })
	for _, t := range ordered {
		of := identity{schema.GroupResource{Group: t.Group, Resource: t.Plural}, t.Namespace, t.Name}
		if group, moved := otherGroups[of.GroupResource]; moved {
			of.Group = group
		}
		earlier, again := first[of]
		if !again {
			first[of] = t
			continue
		}
		problem := fmt.Sprintf("%s (%s): it is in %s already", t.From, t, earlier.From)
		switch {
		case t.GroupVersion() != earlier.GroupVersion():
			problem += fmt.Sprintf(", as %s", earlier.GroupVersion())
		case !t.Namespaced:
			problem += ", since the kind is cluster-wide, whatever namespace is given"
		}
		problems = append(problems, problem)
	}
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return contract.Errorf(contract.InvalidInput, "The manifests have 1 problem: %s", problems[0])
	default:
		return contract.Errorf(contract.InvalidInput, "The manifests have %d problems: %s", len(problems), strings.Join(contract.Few(problems, maxNamed), "; "))
	}
}
