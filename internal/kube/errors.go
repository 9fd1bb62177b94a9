package kube

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/shell"
)

// maxMessage bounds, in bytes, what is passed on of an API server's text.
const maxMessage = 2 << 10

// Explain names an error of a request to the cluster, and says how to fix it.
// doing is what was asked, as in "list pods in namespace shop". The error stays
// wrapped.
func (c *Conn) Explain(err error, doing string) *contract.Error {
	var known *contract.Error
	if errors.As(err, &known) {
		return known
	}
	cluster := c.Cluster
	if why := bad(err); why != nil {
		return contract.Errorf(contract.ClusterUnreachable, "Cluster %s could not be asked to %s: what answers at %s does not answer as an API server does: %v", cluster.Name, doing, cluster.Endpoint, why).From(err)
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if untrusted(err) {
			return contract.Errorf(contract.CertificateNotTrusted,
				"The certificate at %s is not signed by the certificate authority of cluster %s, so no token was sent there (to %s: %w). If EKS now describes another endpoint or authority, a new execution uses it", cluster.Endpoint, cluster.Name, doing, err)
		}
		return contract.Errorf(contract.ClusterUnreachable,
			"Cluster %s could not be reached at %s to %s: %w. For a private endpoint, the functions that connect must be in subnets of the cluster's VPC, and the cluster's security group must allow them on port 443", cluster.Name, cluster.Endpoint, doing, err)
	}
	code, message := int(status.Status().Code), Shorten(status.Status().Message, maxMessage)
	if webhook, failed := FailedWebhook(err); failed {
		return contract.Errorf(contract.WebhookFailed, "%s failed, so cluster %s could not %s (%d): %s. %s", webhook, cluster.Name, doing, code, message, webhook.Advice()).From(err)
	}
	switch {
	case isStarting(err):
		return contract.Errorf(contract.ClusterUnreachable, "The API server of cluster %s is starting, and could not %s yet (%d): %s", cluster.Name, doing, code, message).From(err)
	case DeniedByAdmission(err) && code != http.StatusTooManyRequests:
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not admit a request to %s (%d): %s", cluster.Name, cluster.Region, doing, code, message).From(err)
	case code == http.StatusUnauthorized:
		return contract.Errorf(contract.Unauthorized, "Cluster %s in %s does not recognize %s (401 Unauthorized to %s). %s",
			cluster.Name, cluster.Region, c.Principal, doing, c.mapping()).From(err)
	case code == http.StatusForbidden:
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s %s: %s", cluster.Name, cluster.Region, c.Principal, doing, message).From(err)
	case code == http.StatusTooManyRequests && DeniedByAdmission(err):
		return contract.Errorf(contract.Throttled, "An admission plug-in of cluster %s asked to come back later: it answered 429 Too Many Requests to a request to %s: %s", cluster.Name, doing, message).From(err)
	case code == http.StatusTooManyRequests:
		return contract.Errorf(contract.Throttled, "The API server of cluster %s is overloaded: it answered 429 Too Many Requests to a request to %s. Try again later", cluster.Name, doing).From(err)
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not accept the request to %s: %s", cluster.Name, doing, message).From(err)
	case code >= http.StatusMultipleChoices && code < http.StatusInternalServerError:
		return contract.Errorf(contract.ClusterUnreachable, "%s answered %d to a request to %s, which the API server of cluster %s serves: %s. Check what answers there", cluster.Endpoint, code, doing, cluster.Name, message).From(err)
	default:
		return contract.Errorf(contract.ClusterUnreachable, "The API server of cluster %s could not %s (%d): %s", cluster.Name, doing, code, message).From(err)
	}
}

// badAnswerError is an answer that no API server gives.
type badAnswerError struct{ error }

func (e badAnswerError) Unwrap() error { return e.error }

// BadAnswer is the error of an answer that no API server gives. Its text follows
// "what answers is not as an API server answers".
func BadAnswer(format string, args ...any) error { return badAnswerError{fmt.Errorf(format, args...)} }

// Unreadable returns why an answer cannot be read, if the cluster was reached and what it
// answered is at fault; nil otherwise.
func Unreadable(err error) error { return bad(err) }

// bad is why an answer cannot be read, if the cluster was reached.
func bad(err error) error {
	if tooLarge := (*TooLargeError)(nil); errors.As(err, &tooLarge) {
		return tooLarge
	}
	var innermost error
	for found := (badAnswerError{}); errors.As(err, &found); err = found.error {
		innermost = found
	}
	return innermost
}

// mapping is the command that maps the principal to its group. A role's path and the
// stack's group are not ours, so each word is quoted.
func (c *Conn) mapping() string {
	cluster := c.Cluster
	region, name, group := shell.Quote(cluster.Region), shell.Quote(cluster.Name), shell.Quote(c.Group)
	if cluster.AuthenticationMode == "CONFIG_MAP" {
		// aws-auth compares ARNs without their path, as STS names an assumed role.
		arn := rolePath.ReplaceAllString(c.Principal, "$1")
		return fmt.Sprintf("Its authentication mode is CONFIG_MAP, so map the role in aws-auth: eksctl create iamidentitymapping --region %s --cluster %s --arn %s --username kubestep --group %s "+
			"(or kubectl edit configmap aws-auth -n kube-system, and add to the list in mapRoles: - {rolearn: %s, username: kubestep, groups: [%s]})", region, name, shell.Quote(arn), group, scalar(arn), scalar(c.Group))
	}
	return fmt.Sprintf("Its authentication mode is %s, so create an access entry for the role: aws eks create-access-entry --region %s --cluster-name %s --principal-arn %s --kubernetes-groups %s",
		cluster.AuthenticationMode, region, name, shell.Quote(c.Principal), group)
}

var (
	rolePath = regexp.MustCompile(`^(arn:[^:]+:iam::\d+:role/).*/`)
	// plainScalar matches what YAML reads as that text inside of braces and brackets.
	plainScalar = regexp.MustCompile(`^[A-Za-z][\w/.@+=-]*(:[\w/.@+=-]+|::)*$`)
)

// scalar is text in YAML, within braces or brackets.
func scalar(text string) string {
	if plainScalar.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

// untrusted reports whether a certificate was refused, rather than the connection.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) ||
		// Go's HTTP/2 path may return the text alone.
		strings.Contains(err.Error(), "x509: ")
}
