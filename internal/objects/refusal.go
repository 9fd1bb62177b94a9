package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// Explain names an error of a request about one object. What the API server says about
// the object is not about the cluster, whatever its status is. Neither the message nor
// what it came from holds a value of a Secret.
func (c Client) Explain(err error, doing string, t Target) *contract.Error {
	cluster, what := c.Conn.Cluster.Name, t.String()+" ("+t.From+")"
	status := statusOf(err)
	code, message := int(status.Code), t.messageOf(status)
	webhook, webhookFailed := kube.FailedWebhook(err)
	if kube.FailedAPIService(err) && t.Group != "" {
		webhook, webhookFailed = apiService(t.GroupVersion()), true
	}
	isDenied := kube.DeniedByAdmission(err)
	invalid := func() *contract.Error {
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not accept %s: %s%s", cluster, what, message, t.ifImmutable(status))
	}
	switch {
	case webhookFailed:
		failure := WebhookFailure{t.redacted(err), webhook, fmt.Sprintf("(%d): %s. %s", code, message, webhook.Advice())}
		return contract.Errorf(contract.WebhookFailed, "%s failed, so cluster %s could not %s %s %s", webhook, cluster, doing, what, failure.Why).From(failure)
	case isDenied && (code == http.StatusBadRequest || code == http.StatusUnprocessableEntity):
		return invalid()
	case isDenied && code != http.StatusTooManyRequests:
		return contract.Errorf(contract.Forbidden, "Cluster %s does not admit %s: %s. This is not about permissions: an admission webhook or policy refuses the object", cluster, what, message)
	case code == http.StatusNotFound && missingNamespace(err):
		return contract.Errorf(contract.InvalidInput, "Cluster %s has no namespace %s for %s: create it, or add it to the manifests", cluster, t.Namespace, what)
	case code == http.StatusNotFound && isUnserved(status):
		return contract.Errorf(contract.UnknownKind, "Cluster %s no longer serves the kind of %s", cluster, what)
	case code == http.StatusNotFound:
		// The API server says that the binding is not there, by the name of the role.
		if role, is := t.roleRef(); is {
			return contract.Errorf(contract.InvalidInput, "Cluster %s has no %s, which %s binds: create it, or add it to the manifests", cluster, role, what)
		}
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not accept %s, because something that it needs is not there: %s", cluster, what, message)
	case code == http.StatusForbidden:
		if refused := c.forbiddenBy(err, doing, t, what, message); refused != nil {
			return refused
		}
	case code == http.StatusUnprocessableEntity && lacksParams.MatchString(status.Message):
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s apply %s: %s. Grant group %s that permission: whoever applies a policy must be able to read what it is about", cluster, c.Conn.Cluster.Region, c.Conn.Principal, what, message, c.Conn.Group)
	case isTooLarge(status):
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not accept %s, because it is too large: etcd takes requests of 1.5 MiB, unless it is set up otherwise (%s). Make several objects of it", cluster, what, message)
	case isStoredOtherwise(status):
		return contract.Errorf(contract.InvalidInput, "Cluster %s cannot apply %s, because what it has stored of it does not fit the schema of its kind, which has changed since: %s. Correct what is stored with kubectl edit or kubectl replace, or delete it, and apply again", cluster, what, message)
	case isNotTyped(status), code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return invalid()
	case code == http.StatusMethodNotAllowed:
		return contract.Errorf(contract.InvalidInput, "Cluster %s cannot apply %s: nobody can change an object of kind %s (%s). Leave it out of the manifests", cluster, what, t.Kind, message)
	case code == http.StatusNotAcceptable, code == http.StatusUnsupportedMediaType:
		return contract.Errorf(contract.InvalidInput, "Cluster %s cannot apply %s: the API of kind %s has no server-side apply (%s)", cluster, what, t.Kind, message)
	case code == http.StatusConflict && status.Reason == metav1.StatusReasonConflict && strings.Contains(status.Message, "the object has been modified"):
		return contract.Errorf(contract.Throttled, "%s in cluster %s is changed by others faster than it can be applied: %s. Try again later", what, cluster, message)
	case code == http.StatusConflict:
		return contract.Errorf(contract.InvalidInput, "Cluster %s cannot apply %s as it is now: %s", cluster, what, message)
	}
	return c.Conn.Explain(t.redacted(err), doing+" "+what)
}

// forbiddenBy explains a status 403, which an authorizer gives, or one of many admission
// plug-ins; nil if it is none of the object's.
func (c Client) forbiddenBy(err error, doing string, t Target, what, message string) *contract.Error {
	cluster, raw := c.Conn.Cluster, statusOf(err).Message
	terminating := isTerminating(err)
	err = t.redacted(err)
	switch {
	case strings.HasSuffix(raw, "not yet ready to handle request"):
		return nil
	case deniedByRBAC(raw):
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s %s %s: %s. This was not denied when access was reviewed: the permission was revoked since, or the object was deleted and would have to be created", cluster.Name, cluster.Region, c.Conn.Principal, doing, what, message).
			From(Denial{err, []contract.Check{t.Check(authorizers.FindStringSubmatch(raw)[1], t.Name)}})
	case escalates(raw):
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s apply %s, because nobody may grant permissions without having them: %s. Grant group %s these permissions, or the verb %s", cluster.Name, cluster.Region, c.Conn.Principal, what, message, c.Conn.Group, t.granting()).
			From(Denial{err, []contract.Check{t.granting()}})
	case signing.MatchString(raw):
		m := signing.FindStringSubmatch(raw)
		check := contract.Check{Verb: m[1], Group: "certificates.k8s.io", Resource: "signers", Name: unquoted(m[2])}
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s apply %s: %s. Grant group %s the permission to %s", cluster.Name, cluster.Region, c.Conn.Principal, what, message, c.Conn.Group, check).
			From(Denial{err, []contract.Check{check}})
	case strings.Contains(raw, "cannot set blockOwnerDeletion"), strings.Contains(raw, "cannot set an ownerRef"):
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s apply %s: %s. This is about permissions on the object that metadata.ownerReferences names, of group %s", cluster.Name, cluster.Region, c.Conn.Principal, what, message, c.Conn.Group)
	case terminating:
		return contract.Errorf(contract.Forbidden, "Cluster %s does not admit %s: %s. This is not about permissions: apply again once the namespace is gone or was created again", cluster.Name, what, message)
	default:
		return contract.Errorf(contract.Forbidden, "Cluster %s does not admit %s: %s. This is not about permissions: a quota, a policy or another admission plug-in refuses the object", cluster.Name, what, message)
	}
}

// ifImmutable says what to do about a Job whose template changed.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/
func (t Target) ifImmutable(status metav1.Status) string {
	if t.Group != "batch" || t.Kind != "Job" || !strings.Contains(status.Message, "field is immutable") {
		return ""
	}
	return fmt.Sprintf(". What a Job runs cannot change: give it another name, such as one with a version; or delete it with kubectl delete job %s -n %s; or set its ttlSecondsAfterFinished, after which the next apply creates it again", t.Name, t.Namespace)
}

// WebhookFailure is why a webhook failed. Errors of Explain may come from one.
type WebhookFailure struct {
	error
	Webhook kube.Webhook
	// Why is what the API server says, and where to look.
	Why string
}

func (f WebhookFailure) Unwrap() error { return f.error }

// Denial is what has to be granted so that an error is no more. Errors of Explain may come
// from one.
type Denial struct {
	error
	Checks []contract.Check
}

func (d Denial) Unwrap() error { return d.error }

// statusOf is the status of an API server's answer; empty if the error is none.
func statusOf(err error) metav1.Status {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		s.Message = kube.Ends(s.Message)
		return s
	}
	return metav1.Status{}
}

// maxCause bounds what is passed on of a cause, in bytes.
const maxCause = 300

// said is what an API server says, on one line. What is too long is made of its causes:
// each says which field is wrong and, at its end, why. In between is the value, which may
// be the whole object.
func said(status metav1.Status) string {
	message := contract.OneLine(status.Message)
	if len(message) <= maxMessage {
		return message
	}
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return kube.Shorten(message, maxMessage)
	}
	var texts []string
	size := 0
	for i, cause := range status.Details.Causes {
		if cause.Message == "" && cause.Field == "" {
			continue
		}
		text := kube.Shorten(cause.Message, maxCause)
		if cause.Field != "" {
			text = contract.Clip(contract.OneLine(cause.Field), maxPath) + ": " + text
		}
		if size += len(text); len(texts) > 0 && size > maxMessage {
			texts = append(texts, fmt.Sprintf("and %d more", len(status.Details.Causes)-i))
			break
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// isUnserved reports whether the path of the object is not served: the answer is not
// about an object then, but the API server's page of what it does not have.
func isUnserved(status metav1.Status) bool {
	return strings.Contains(status.Message, "the server could not find the requested resource") ||
		status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(c metav1.StatusCause) bool { return c.Type == metav1.CauseTypeUnexpectedServerResponse })
}

// isTooLarge reports whether etcd, or the API server's client of it, finds the object too
// large. Their errors are passed on with status 500.
// https://github.com/etcd-io/etcd/blob/v3.6.0/api/v3rpc/rpctypes/error.go
// https://github.com/grpc/grpc-go/blob/v1.72.0/rpc_util.go
func isTooLarge(status metav1.Status) bool {
	return status.Code == http.StatusRequestEntityTooLarge || status.Code >= http.StatusInternalServerError &&
		(strings.Contains(status.Message, "etcdserver: request is too large") || strings.Contains(status.Message, "trying to send message larger than max"))
}

// The texts of errors that say that the object, or what is stored of it, has not the
// structure or the types of its kind. Their status is 500.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/structuredmerge.go
// https://github.com/kubernetes-sigs/structured-merge-diff/blob/v6.4.2/merge/update.go
var (
	storedOtherwise = []string{"failed to create typed live object", "failed to convert live object", "failed to compare objects", "failed to convert old object"}
	notTyped        = []string{
		"failed to create typed patch object", "failed to convert new object", "failed to convert new typed object", "failed to convert to unversioned",
		"failed to merge config", "failed to get field set", "failed to prune fields", "failed to convert merged object", "failed to convert pruned object",
		"failed add back", "failed to create field set", "failed to decode managed fields", "failed to encode managed fields", "failed to update ManagedFields",
	}
)

func isStoredOtherwise(status metav1.Status) bool { return begins(status, storedOtherwise) }

func isNotTyped(status metav1.Status) bool { return begins(status, notTyped) }

func begins(status metav1.Status, texts []string) bool {
	return status.Code == http.StatusInternalServerError && slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(status.Message, text) })
}

// IsOfItsType reports whether the API server refuses an object because of its structure or
// its types, which depend on the CRD of its kind.
func IsOfItsType(err error) bool {
	status := statusOf(err)
	return isNotTyped(status) || status.Code == http.StatusBadRequest || status.Code == http.StatusUnprocessableEntity
}

// missingNamespace reports whether what was not found is the object's namespace.
func missingNamespace(err error) bool {
	status := statusOf(err)
	return status.Code == http.StatusNotFound && status.Details != nil && status.Details.Kind == "namespaces"
}

// isTerminating reports whether the object's namespace is being deleted.
func isTerminating(err error) bool {
	return apierrors.HasStatusCause(err, "NamespaceTerminating") // corev1.NamespaceTerminatingCause
}

// deniedByRBAC tells an authorizer's text from an admission plug-in's:
// both have status 403.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage
func deniedByRBAC(message string) bool { return authorizers.MatchString(message) }

var (
	authorizers = regexp.MustCompile(`(?:^|: )User "[^"]*" cannot (get|list|watch|create|update|patch|delete|deletecollection) `)
	// https://github.com/kubernetes/kubernetes/tree/v1.37.2/plugin/pkg/admission/certificates
	signing = regexp.MustCompile(`user not permitted to (approve|sign|attest) (?:requests with|for) signerName ("(?:[^"\\]|\\.)*")`)
)

// lacksParams matches the text for somebody who may not read the parameters of a policy.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/registry/admissionregistration/validatingadmissionpolicybinding/authz.go
var lacksParams = regexp.MustCompile(`(?:must have|does not have) "(?:get|list)" permission (?:on|for) all|does not have "(?:get|list)" permission on the object`)

// escalates reports whether RBAC refuses to let somebody grant what they do not have.
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/registry/rbac/validation/rule.go
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/registry/rbac/clusterrole/policybased/storage.go
func escalates(message string) bool {
	return strings.Contains(message, "is attempting to grant RBAC permissions not currently held") ||
		strings.Contains(message, "must have cluster-admin privileges to use the aggregationRule")
}

// granting is the check of the verb by which RBAC allows to grant what one does not have:
// bind for the role of a binding, and escalate for a role.
func (t Target) granting() contract.Check {
	if role, is := t.roleRef(); is {
		return contract.Check{Verb: "bind", Group: GroupRBAC, Resource: strings.ToLower(role.Kind) + "s", Namespace: t.Namespace, Name: role.Name}
	}
	return contract.Check{Verb: "escalate", Group: GroupRBAC, Resource: t.Plural, Namespace: t.Namespace, Name: t.Name}
}

// roleRef is the role that a RoleBinding or ClusterRoleBinding binds.
type roleRef struct{ Kind, Namespace, Name string }

// String names the role.
func (r roleRef) String() string { return Describe(r.Kind, r.Namespace, r.Name) }

// roleRef returns the role that a binding binds; is reports whether the object is one.
func (t Target) roleRef() (role roleRef, is bool) {
	if t.Group != GroupRBAC || !strings.HasSuffix(t.Kind, "Binding") {
		return roleRef{}, false
	}
	var binding struct {
		RoleRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"roleRef"`
	}
	if json.Unmarshal(t.JSON, &binding) != nil {
		return roleRef{}, false
	}
	role = roleRef{Kind: binding.RoleRef.Kind, Name: binding.RoleRef.Name}
	if role.Kind == "Role" {
		role.Namespace = t.Namespace
	}
	return role, role.Kind != "" && role.Name != ""
}

// unquoted is what is quoted in a message.
func unquoted(text string) string {
	plain, err := strconv.Unquote(text)
	if err != nil {
		return text
	}
	return plain
}
