// Package rbac asks the cluster whether the identity may do what comes next, by
// a SelfSubjectAccessReview for each namespace.
//
// A SelfSubjectRulesReview would take one question instead of many, but it is
// incomplete where a webhook authorizes too, as on EKS.
package rbac

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/token"
)

const (
	// atOnce bounds the reviews under way.
	atOnce = 8
	// maxReason bounds, in bytes, what passes on of an authorizer's reason.
	maxReason = 256
)

// Opener opens a sealed token.
type Opener interface {
	Open(sealed string, binding token.Binding) (bearer.Token, error)
}

// Verifier verifies access.
type Verifier struct {
	Opener Opener
}

// Verify reviews whether pods may be listed in each namespace.
//
// Errors: Forbidden where one of them says no and is not to be skipped, Unauthorized, Throttled,
// CertificateNotTrusted, ClusterUnreachable where the question could not be
// asked or the authorizer could not answer it.
func (v Verifier) Verify(ctx context.Context, in contract.VerifyRBAC) (contract.VerifiedAccess, error) {
	opened, err := v.Opener.Open(in.Token.Sealed, token.Binding{Execution: in.Execution, Endpoint: in.Cluster.Endpoint, CertificateAuthority: in.Cluster.CertificateAuthority})
	if err != nil {
		return contract.VerifiedAccess{}, err
	}
	client, err := kube.NewClient(in.Cluster, opened, authorizationv1.AddToScheme)
	if err != nil {
		return contract.VerifiedAccess{}, err
	}
	defer client.Close()
	r := reviewer{client, kube.Caller{Cluster: in.Cluster, Principal: in.Token.Principal}}

	reviewed := make([]contract.NamespaceAccess, len(in.Namespaces))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, namespace := range in.Namespaces {
		group.Go(func() error {
			var err error
			reviewed[i], err = r.review(groupCtx, namespace)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return contract.VerifiedAccess{}, err
	}
	granted, denied := []string{}, []contract.NamespaceAccess{}
	for i, n := range reviewed {
		if n.Allowed {
			granted = append(granted, n.Namespace)
			continue
		}
		denied = append(denied, n)
		if n.Reason == "" {
			reviewed[i].Reason = "To allow it: " + kube.Binding(n.Namespace)
		}
	}
	if len(denied) > 0 && in.OnDenied != contract.Skip {
		return contract.VerifiedAccess{}, r.forbidden(ctx, denied)
	}
	return contract.VerifiedAccess{Access: contract.Access{Allowed: len(denied) == 0, Namespaces: reviewed}, Granted: granted}, nil
}

type reviewer struct {
	client *kube.Client
	caller kube.Caller
}

func (r reviewer) review(ctx context.Context, namespace string) (contract.NamespaceAccess, error) {
	asked, where := namespace, "namespace "+namespace
	if namespace == contract.AllNamespaces {
		asked, where = "", "all namespaces" // as the API writes it
	}
	question := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: asked, Verb: "list", Version: "v1", Resource: "pods"},
	}}
	answer := &authorizationv1.SelfSubjectAccessReview{}
	doing := "review the access to pods in " + where
	if err := r.client.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").MaxRetries(0).Body(question).Do(ctx).Into(answer); err != nil {
		return contract.NamespaceAccess{}, r.caller.Explain(err, doing)
	}
	// The API server repeats the question. Something else that came with a success,
	// such as a proxy's page for all, says nothing, and would be read as a no.
	if asked := answer.Spec.ResourceAttributes; asked == nil || *asked != *question.Spec.ResourceAttributes {
		return contract.NamespaceAccess{}, contract.Errorf(contract.ClusterUnreachable,
			"What stands at %s did not answer the question whether %s may list pods in namespace %s of cluster %s: see whether it is the API server", r.caller.Cluster.Endpoint, r.caller.Principal, namespace, r.caller.Cluster.Name)
	}
	s := answer.Status
	// An authorizer that failed has not denied: RBAC's own doubts, such as a binding
	// to a role that is not there, come as a reason instead.
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/plugin/pkg/auth/authorizer/rbac/rbac.go
	if !s.Allowed && !s.Denied && s.EvaluationError != "" {
		return contract.NamespaceAccess{}, contract.Errorf(contract.ClusterUnreachable,
			"Cluster %s could not evaluate whether %s may list pods in %s: %s", r.caller.Cluster.Name, r.caller.Principal, where, s.EvaluationError)
	}
	return contract.NamespaceAccess{Namespace: namespace, Allowed: s.Allowed, Reason: clip(s.Reason)}, nil
}

// forbidden says who was denied where.
func (r reviewer) forbidden(ctx context.Context, denied []contract.NamespaceAccess) error {
	names, reason := make([]string, 0, len(denied)), ""
	for _, n := range denied {
		names = append(names, n.Namespace)
		if reason == "" {
			reason = n.Reason
		}
	}
	return r.caller.Forbidden(ctx, r.client, names, reason)
}

func clip(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason], "") + "…"
}
