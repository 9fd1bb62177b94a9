package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

// What is told of the cluster's own words, in bytes: without a bound, a user of
// many groups would push what mends it out of the cause.
const (
	maxUser   = 256
	maxGroups = 1 << 10
	maxReason = 1 << 10
)

// Forbidden says who was denied to list pods in the namespaces, as the cluster
// itself names them, and what mends it. reason is the authorizer's; it may be empty.
func (c Caller) Forbidden(ctx context.Context, client *Client, namespaces []string, reason string) *contract.Error {
	user, groups := client.whoami(ctx)
	manifests := make([]string, 0, len(namespaces))
	for _, namespace := range namespaces {
		manifests = append(manifests, Binding(namespace))
	}
	if reason != "" {
		reason = fmt.Sprintf(" (%s)", clip(reason, maxReason))
	}
	return contract.Errorf(contract.Forbidden,
		"Cluster %s in %s does not let Kubernetes user %q of groups %s (IAM principal %s) list pods in %s%s. Bind the group kubestep-pod-readers there: %s. If that group is not among the user's groups, the role's access entry or aws-auth mapping must name it",
		c.Cluster.Name, c.Cluster.Region, user, groups, c.Principal, count(namespaces), reason, strings.Join(manifests, " && "))
}

// Binding is the command that lets the group list the pods of a namespace.
func Binding(namespace string) string {
	if namespace == contract.AllNamespaces {
		return "kubectl apply -k rbac/cluster"
	}
	return "kubectl apply -k rbac/namespace -n " + namespace
}

func count(namespaces []string) string {
	if len(namespaces) == 1 && namespaces[0] == contract.AllNamespaces {
		return "all namespaces"
	}
	if len(namespaces) == 1 {
		return "namespace " + namespaces[0]
	}
	return fmt.Sprintf("%d namespaces (%s)", len(namespaces), strings.Join(namespaces, ", "))
}

// whoami asks the cluster whom it takes the caller for. It is only told to a
// person, so a failure to ask is told instead.
func (c *Client) whoami(ctx context.Context) (user, groups string) {
	// Written and read by hand: its kind would bring a package of its own into
	// the function that lists.
	// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review
	answer, err := c.Post().AbsPath("/apis/authentication.k8s.io/v1/selfsubjectreviews").MaxRetries(0).
		SetHeader("Content-Type", "application/json").
		Body([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)).
		Do(ctx).Raw()
	var review struct {
		Status struct {
			UserInfo struct {
				Username string
				Groups   []string
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(answer, &review)
	}
	if err != nil {
		return "unknown", clip(fmt.Sprintf("unknown (%v)", err), maxReason)
	}
	return clip(review.Status.UserInfo.Username, maxUser), "[" + clip(strings.Join(review.Status.UserInfo.Groups, " "), maxGroups) + "]"
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
