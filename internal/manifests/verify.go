package manifests

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// Verify reviews whether the objects may be read and applied. It asks for each
// resource and namespace first, and by name only if that is denied: RBAC and the
// access policies of EKS allow by name whatever they allow without one.
//
// Errors: Forbidden with the roles that are missing, UnknownKind, InvalidInput,
// Unauthorized, Throttled, CertificateNotTrusted, ClusterUnreachable; AccessDenied
// and AWSUnreachable of S3.
func (a Applier) Verify(ctx context.Context, in contract.VerifyApply) (contract.VerifiedApply, error) {
	s, err := a.open(ctx, in.ManifestsSession, authorizationv1.AddToScheme)
	if err != nil {
		return contract.VerifiedApply{}, err
	}
	defer s.conn.Close()
	general := checksFor(s.targets)
	reviews, err := access.ReviewAll(ctx, s.conn, general)
	if err != nil {
		return contract.VerifiedApply{}, err
	}
	named, err := s.named(ctx, access.Denied(reviews))
	if err != nil {
		return contract.VerifiedApply{}, err
	}
	byName, err := access.ReviewAll(ctx, s.conn, named)
	if err != nil {
		return contract.VerifiedApply{}, err
	}
	if denied := access.Denied(byName); len(denied) > 0 {
		return contract.VerifiedApply{}, s.forbidden(ctx, denied)
	}
	return contract.VerifiedApply{Checks: len(general) + len(named)}, nil
}

// The verbs that applying needs. Server-side apply is a patch, and where it makes a
// new object also a create.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/#api-implementation
const (
	verbGet    = "get" // to compare, and to see whether it is ready
	verbPatch  = "patch"
	verbCreate = "create"
)

// check is what has to be allowed for an object; without its name, for all.
func (t target) check(verb, name string) contract.Check {
	return contract.Check{Verb: verb, Group: t.Group, Resource: t.kind.resource, Namespace: t.namespace(), Name: name}
}

// checksFor are the distinct checks of the objects, without their names.
func checksFor(targets []target) []contract.Check {
	var checks []contract.Check
	seen := map[contract.Check]bool{}
	for _, t := range targets {
		for _, verb := range []string{verbGet, verbPatch, verbCreate} {
			if c := t.check(verb, ""); !seen[c] {
				seen[c] = true
				checks = append(checks, c)
			}
		}
	}
	return checks
}

// named are the checks by name in place of those that were denied without one. An
// object that is there needs no create.
func (s *session) named(ctx context.Context, denied []access.Review) ([]contract.Check, error) {
	var checks []contract.Check
	for _, t := range s.targets {
		for _, verb := range []string{verbGet, verbPatch, verbCreate} {
			if !slices.ContainsFunc(denied, func(r access.Review) bool { return r.Check == t.check(verb, "") }) {
				continue
			}
			if verb == verbCreate && t.kind.served {
				switch err := kube.Exists(ctx, s.rest, t.url()...); {
				case err == nil:
					continue
				case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
				default:
					return nil, s.explain(err, "get", t)
				}
			}
			checks = append(checks, t.check(verb, t.Name))
		}
	}
	return checks, nil
}

// maxDenied bounds, in bytes, what is said to be denied: the roles must have room in the
// cause.
const maxDenied = 4 << 10

// forbidden says who is denied what, and what would allow it.
func (s *session) forbidden(ctx context.Context, denied []access.Review) error {
	user, groups := s.conn.Whoami(ctx)
	checks := make([]contract.Check, 0, len(denied))
	missing := map[string]bool{}
	for _, r := range denied {
		checks = append(checks, r.Check)
		if s.brings(r.Namespace) {
			missing[r.Namespace] = true
		}
	}
	cluster := s.conn.Cluster
	message := fmt.Sprintf("No permission in cluster %s (%s) to %s. IAM principal %s is Kubernetes user %q of groups %s there. If group %s is not among these groups, name it in the role's access entry or aws-auth mapping. ",
		cluster.Name, cluster.Region, contract.Clip(enumerate(worded(checks)), maxDenied), s.conn.Principal, user, groups, s.conn.Group)
	if len(missing) > 0 {
		message += "A role cannot be bound in a namespace that does not exist: create that of the manifests first. "
	}
	message += "These roles allow exactly what is missing; apply them with kubectl apply -f -"
	return contract.Errorf(contract.Forbidden, "%s", withRoles(message, checks, s.conn.Group))
}

// worded are the checks, with the verbs on the same object together.
func worded(checks []contract.Check) []string {
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
	return texts
}
