package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	groupRBAC = "rbac.authorization.k8s.io"
	// maxRole bounds the roles of a cause, in bytes.
	maxRole = 6 << 10
	// maxCheckBytes bounds what is said to be denied: the roles must have room in the cause.
	maxCheckBytes = 4 << 10
	// maxChecks is how many permissions a sentence names.
	maxChecks = 20
)

// NoPermission says who is denied what. The roles that allow it may follow: see WithRoles.
func NoPermission(ctx context.Context, conn *kube.Conn, denied []contract.Check) string {
	return noPermission(ctx, conn, contract.Clip(describeChecks(denied), maxCheckBytes))
}

// describeChecks names the checks, with the verbs on the same object together.
func describeChecks(checks []contract.Check) string {
	var texts []string
	verbs := map[contract.Check][]string{}
	for _, c := range checks {
		verb := c.Verb
		c.Verb = ""
		verbs[c] = append(verbs[c], verb)
	}
	for _, c := range checks {
		of := c
		of.Verb = ""
		if c.Verb == verbs[of][0] {
			c.Verb = strings.Join(verbs[of], "/")
			texts = append(texts, c.String())
		}
	}
	return strings.Join(contract.Few(texts, maxChecks), ", ")
}

// WithRoles is a message and the roles that allow the checks. A person passes on to
// kubectl what follows the first line of three dashes, so that no name and no text of the
// cluster in the message may begin a line.
func WithRoles(message string, checks []contract.Check, group string) string {
	return strings.TrimSpace(contract.OneLine(message) + "\n" + roles(checks, group))
}

// roles are the Roles and ClusterRoles that allow exactly the checks, and their
// bindings to the group, as YAML for kubectl. If that is too much for a cause, it
// allows the kinds by any name.
func roles(checks []contract.Check, group string) string {
	text := rolesFor(checks, group)
	if len(text) <= maxRole {
		return text
	}
	for i := range checks {
		checks[i].Name = ""
	}
	return rolesFor(checks, group)
}

// The fields of Kubernetes' own types that are needed: a package of them would
// bring all others into the function.
type (
	metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace,omitempty"`
	}
	rule struct {
		APIGroups     []string `json:"apiGroups"`
		Resources     []string `json:"resources"`
		ResourceNames []string `json:"resourceNames,omitempty"`
		Verbs         []string `json:"verbs"`
	}
	role struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Rules      []rule   `json:"rules"`
	}
	subject struct {
		APIGroup string `json:"apiGroup"`
		Kind     string `json:"kind"`
		Name     string `json:"name"`
	}
	binding struct {
		APIVersion string    `json:"apiVersion"`
		Kind       string    `json:"kind"`
		Metadata   metadata  `json:"metadata"`
		RoleRef    subject   `json:"roleRef"`
		Subjects   []subject `json:"subjects"`
	}
)

func rolesFor(checks []contract.Check, group string) string {
	byNamespace := map[string][]contract.Check{}
	for _, c := range checks {
		namespace := c.Namespace
		if namespace == contract.AllNamespaces {
			namespace = "" // a ClusterRole, bound by itself, allows it in all of them
		}
		byNamespace[namespace] = append(byNamespace[namespace], c)
	}
	var b strings.Builder
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		kind := "Role"
		if namespace == "" {
			kind = "ClusterRole"
		}
		rules := rulesFor(byNamespace[namespace])
		of := metadata{Name: "kubestep-apply-" + fingerprint(rules, group), Namespace: namespace}
		for _, object := range []any{
			role{groupRBAC + "/v1", kind, of, rules},
			binding{groupRBAC + "/v1", kind + "Binding", of, subject{groupRBAC, kind, of.Name}, []subject{{groupRBAC, "Group", group}}},
		} {
			b.WriteString("---\n")
			b.Write(document(object))
		}
	}
	return b.String()
}

// document is an object as YAML. JSON that [yaml.Marshal] reads as YAML must be ASCII:
// some characters of a JSON string end the line in YAML, or are not allowed.
func document(object any) []byte {
	text, err := json.Marshal(object)
	if err != nil { // strings alone cannot fail
		panic(err)
	}
	var ascii strings.Builder
	for _, r := range string(text) {
		switch {
		case r > 0xFFFF:
			fmt.Fprintf(&ascii, `\U%08x`, r)
		case r > '~':
			fmt.Fprintf(&ascii, `\u%04x`, r)
		default:
			ascii.WriteRune(r)
		}
	}
	text, err = yaml.JSONToYAML([]byte(ascii.String()))
	if err != nil { // it is JSON
		panic(err)
	}
	return text
}

// fingerprint keeps roles for different executions apart: one that had the name of
// another would take its rules away.
func fingerprint(rules []rule, group string) string {
	sum := sha256.Sum256(fmt.Append(nil, rules, group))
	return hex.EncodeToString(sum[:4])
}

// rulesFor makes a rule of the checks that differ in nothing but verb and name.
func rulesFor(checks []contract.Check) []rule {
	type resource struct{ group, name string }
	names := map[resource]map[string][]string{} // by verb
	for _, c := range checks {
		r := resource{c.Group, c.Resource}
		if names[r] == nil {
			names[r] = map[string][]string{}
		}
		names[r][c.Verb] = append(names[r][c.Verb], c.Name)
	}
	var rules []rule
	for r, byVerb := range names {
		verbs := map[string]*rule{} // by names
		for _, verb := range slices.Sorted(maps.Keys(byVerb)) {
			some := slices.Compact(slices.Sorted(slices.Values(byVerb[verb])))
			if some[0] == "" {
				some = nil // any
			}
			key := strings.Join(some, "/")
			if verbs[key] == nil {
				verbs[key] = &rule{APIGroups: []string{r.group}, Resources: []string{r.name}, ResourceNames: some}
			}
			verbs[key].Verbs = append(verbs[key].Verbs, verb)
		}
		for _, one := range verbs {
			rules = append(rules, *one)
		}
	}
	slices.SortFunc(rules, func(a, b rule) int {
		return cmp.Or(cmp.Compare(a.APIGroups[0], b.APIGroups[0]), cmp.Compare(a.Resources[0], b.Resources[0]), slices.Compare(a.Verbs, b.Verbs))
	})
	return rules
}
