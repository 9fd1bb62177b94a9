// Package access asks the cluster whether the identity has the permissions that a
// request needs, with one SelfSubjectAccessReview for each check.
//
// A SelfSubjectRulesReview would take one request instead of many, but it is
// incomplete if a webhook authorizes too, as on EKS.
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
package access

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// maxReasonBytes bounds what is passed on of an authorizer's reason.
	maxReasonBytes = 256
)

// Verifier verifies access.
type Verifier struct {
	Kube kube.Connector
}

// Review is the answer to a check.
type Review struct {
	contract.Check
	Allowed bool
	// Reason is the authorizer's, at most 256 bytes of it; it may be empty.
	Reason string
}

// Verify reviews each check, and answers by namespace.
//
// Errors: Forbidden if a check is denied and not to be skipped, Unauthorized,
// Throttled, CertificateNotTrusted, ClusterUnreachable if the cluster could not be
// asked or its authorizer could not answer.
func (v Verifier) Verify(ctx context.Context, in contract.VerifyRBAC) (contract.VerifiedAccess, error) {
	conn, err := v.Kube.Connect(in.Session)
	if err != nil {
		return contract.VerifiedAccess{}, err
	}
	defer conn.Close()
	reviews, err := reviewAll(ctx, conn, in.Checks)
	if err != nil {
		return contract.VerifiedAccess{}, err
	}
	verified := byNamespace(reviews)
	if !verified.Allowed && in.OnDenied != contract.OnDeniedSkip {
		return contract.VerifiedAccess{}, Forbidden(ctx, conn, Denied(reviews))
	}
	return verified, nil
}

// reviewAll reviews the checks, several at the same time, and answers in their order.
func reviewAll(ctx context.Context, conn *kube.Conn, checks []contract.Check) ([]Review, error) {
	reviews, each := make([]Review, len(checks)), make([]*Review, len(checks))
	for i, check := range checks {
		reviews[i].Check, each[i] = check, &reviews[i]
	}
	done, err := batch.Each(ctx, batch.NewRoundOfQuestions(ctx), each, func(ctx context.Context, review *Review) (err error) {
		*review, err = Ask(ctx, conn, review.Check)
		return err
	})
	if err == nil && done < len(checks) {
		err = contract.Errorf(contract.Throttled, "The API server of cluster %s reviewed %d of %d permissions in the time that the function has. Try again later, or ask for fewer namespaces", conn.Cluster.Name, done, len(checks))
	}
	return reviews, err
}

// Ask reviews one check. The errors are Verify's, without Forbidden for a check.
func Ask(ctx context.Context, conn *kube.Conn, check contract.Check) (Review, error) {
	question := selfSubjectAccessReview{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"}
	question.Spec.ResourceAttributes = attributes(check)
	body, err := json.Marshal(question)
	if err != nil { // text alone cannot fail
		return Review{}, fmt.Errorf("encode the review of whether it may %s: %w", check, err)
	}
	text, err := kube.Body(conn.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").MaxRetries(0).
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx))
	var answer selfSubjectAccessReview
	if err == nil {
		if err = json.Unmarshal(text, &answer); err != nil {
			err = kube.BadAnswer("it is not a review: %w", err)
		}
	}
	if apierrors.IsForbidden(err) {
		return Review{}, contract.Errorf(contract.Forbidden, "%v. The ClusterRoleBinding system:basic-user lets every authenticated user do so by default: check that it exists",
			conn.Explain(err, "create selfsubjectaccessreviews.authorization.k8s.io")).From(err)
	}
	if err != nil {
		return Review{}, conn.Explain(err, "review whether it may "+check.String())
	}
	// The API server repeats the question. Another answer with status 2xx, such as a
	// proxy's page, does not answer it, and would be read as a denial.
	if answer.Spec.ResourceAttributes != question.Spec.ResourceAttributes {
		return Review{}, contract.Errorf(contract.ClusterUnreachable,
			"The answer from %s is not a review of whether %s may %s in cluster %s. Check that the endpoint is the API server", conn.Cluster.Endpoint, conn.Principal, check, conn.Cluster.Name)
	}
	s := answer.Status
	// A failed authorizer has not denied the request. RBAC reports its own problems, such as
	// a binding to a missing role, in the reason.
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/plugin/pkg/auth/authorizer/rbac/rbac.go
	if !s.Allowed && !s.Denied && s.EvaluationError != "" {
		return Review{}, contract.Errorf(contract.ClusterUnreachable,
			"Cluster %s could not evaluate whether %s may %s: %s", conn.Cluster.Name, conn.Principal, check, contract.Clip(contract.OneLine(s.EvaluationError), maxReasonBytes))
	}
	return Review{Check: check, Allowed: s.Allowed, Reason: contract.Clip(contract.OneLine(s.Reason), maxReasonBytes)}, nil
}

// selfSubjectAccessReview is the review on the wire, written by hand: the package of its
// kind takes 40 KB of each function that asks.
// https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
type selfSubjectAccessReview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		ResourceAttributes resourceAttributes `json:"resourceAttributes"`
	} `json:"spec"`
	Status struct {
		Allowed         bool   `json:"allowed"`
		Denied          bool   `json:"denied,omitempty"`
		Reason          string `json:"reason,omitempty"`
		EvaluationError string `json:"evaluationError,omitempty"`
	} `json:"status"`
}

type resourceAttributes struct {
	Namespace string `json:"namespace,omitempty"`
	Verb      string `json:"verb"`
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Resource  string `json:"resource"`
	// Subresource is log of pods/log.
	Subresource string `json:"subresource,omitempty"`
	Name        string `json:"name,omitempty"`
}

// attributes are the check as the API writes it: no namespace stands for all.
func attributes(c contract.Check) resourceAttributes {
	a := resourceAttributes{Verb: c.Verb, Group: c.Group, Version: "*", Namespace: c.Namespace, Name: c.Name}
	a.Resource, a.Subresource, _ = strings.Cut(c.Resource, "/")
	if c.Namespace == contract.AllNamespaces {
		a.Namespace = ""
	}
	return a
}

// Denied returns the reviews that were denied.
func Denied(reviews []Review) []Review {
	return slices.DeleteFunc(slices.Clone(reviews), func(r Review) bool { return r.Allowed })
}

// byNamespace sums up the reviews of each namespace: it is granted if all of them
// are allowed. Reviews across the cluster count as one of contract.AllNamespaces.
func byNamespace(reviews []Review) contract.VerifiedAccess {
	verified := contract.VerifiedAccess{Access: contract.Access{Allowed: true, Namespaces: []contract.NamespaceAccess{}}, Granted: []string{}}
	at := map[string]int{}
	for _, r := range reviews {
		namespace := cmp.Or(r.Namespace, contract.AllNamespaces)
		answer := contract.NamespaceAccess{Namespace: namespace, Allowed: r.Allowed, Reason: r.Reason}
		if !r.Allowed && r.Reason == "" && r.Fix != "" {
			answer.Reason = "To allow it: " + r.Fix
		}
		i, seen := at[namespace]
		switch {
		case !seen:
			at[namespace] = len(verified.Namespaces)
			verified.Namespaces = append(verified.Namespaces, answer)
		case verified.Namespaces[i].Allowed && !r.Allowed:
			verified.Namespaces[i] = answer
		}
		verified.Allowed = verified.Allowed && r.Allowed
	}
	for _, n := range verified.Namespaces {
		if n.Allowed {
			verified.Granted = append(verified.Granted, n.Namespace)
		}
	}
	return verified
}

// The most bytes that what is denied and its fixes take in a cause, which is
// bounded as a whole.
const (
	maxDeniedBytes = 2 << 10
	maxFixesBytes  = 3 << 10
)

// Forbidden says what is denied to whom, in the cluster's own words, and how to allow
// it. What is denied comes first and the fix last, because a truncated cause keeps only
// its beginning and its end. There is at least one denied review.
func Forbidden(ctx context.Context, conn *kube.Conn, denied []Review) *contract.Error {
	var fixes, namespaces []string
	reason := ""
	for _, r := range denied {
		if reason == "" && r.Reason != "" {
			reason = fmt.Sprintf(" (%s)", r.Reason)
		}
		if r.Fix != "" && !slices.Contains(fixes, r.Fix) {
			fixes = append(fixes, r.Fix)
		}
		if r.Namespace != "" && r.Namespace != contract.AllNamespaces && !slices.Contains(namespaces, r.Namespace) {
			namespaces = append(namespaces, r.Namespace)
		}
	}
	fix := "bind it to a role that allows it"
	if len(fixes) > 0 {
		fix = contract.Clip(strings.Join(fixes, " && "), maxFixesBytes)
	}
	return contract.Errorf(contract.Forbidden, "%s. To let group %s do so%s: %s", noPermission(ctx, conn, contract.Clip(describe(denied), maxDeniedBytes)+reason), conn.Group, IfTheyExist(namespaces), fix)
}

// IfTheyExist is the condition under which a fix for those namespaces, which are distinct, helps:
// RBAC denies a namespace that does not exist like any other.
func IfTheyExist(namespaces []string) string {
	switch len(namespaces) {
	case 0:
		return ""
	case 1:
		return " (if the namespace exists)"
	default:
		return " (if the namespaces exist)"
	}
}

// noPermission says who is not permitted to do what, as the cluster recognizes them.
func noPermission(ctx context.Context, conn *kube.Conn, what string) string {
	user, groups := conn.Whoami(ctx)
	return fmt.Sprintf("No permission in cluster %s (%s) to %s. IAM principal %s is Kubernetes user %q of groups %s there. If group %s is not among these groups, name it in the role's access entry or aws-auth mapping",
		conn.Cluster.Name, conn.Cluster.Region, what, conn.Principal, user, groups, conn.Group)
}

// ForbiddenByStatus is Forbidden for a request that the API server refused with
// status 403, after the check had been allowed.
func ForbiddenByStatus(ctx context.Context, conn *kube.Conn, check contract.Check, err error) *contract.Error {
	return Forbidden(ctx, conn, []Review{{Check: check, Reason: contract.Clip(contract.OneLine(err.Error()), maxReasonBytes)}}).From(err)
}

// describe lists what is denied, the same verb and resource once: "list pods in 2
// namespaces (shop, bank)".
func describe(denied []Review) string {
	var texts []string
	for len(denied) > 0 {
		first := denied[0].Check
		alike := func(r Review) bool {
			c := r.Check
			return c.Verb == first.Verb && c.Group == first.Group && c.Resource == first.Resource && c.Name == first.Name &&
				c.Namespace != "" && c.Namespace != contract.AllNamespaces
		}
		var namespaces []string
		var others []Review
		for _, r := range denied[1:] {
			if alike(denied[0]) && alike(r) {
				namespaces = append(namespaces, r.Namespace)
			} else {
				others = append(others, r)
			}
		}
		if len(namespaces) == 0 {
			texts = append(texts, first.String())
		} else {
			namespaces = append([]string{first.Namespace}, namespaces...)
			first.Namespace = ""
			texts = append(texts, fmt.Sprintf("%s in %d namespaces (%s)", first, len(namespaces), strings.Join(namespaces, ", ")))
		}
		denied = others
	}
	return strings.Join(texts, ", or ")
}
