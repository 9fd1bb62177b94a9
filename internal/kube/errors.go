package kube

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/contract"
)

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
	code, message := int(status.Status().Code), status.Status().Message
	switch code {
	case http.StatusUnauthorized:
		return contract.Errorf(contract.Unauthorized, "Cluster %s in %s does not know %s (401 Unauthorized to %s). %s",
			cluster.Name, cluster.Region, c.Principal, doing, c.mapping()).From(err)
	case http.StatusForbidden:
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s %s: %s", cluster.Name, cluster.Region, c.Principal, doing, message).From(err)
	case http.StatusTooManyRequests:
		return contract.Errorf(contract.Throttled, "The API server of cluster %s is overloaded (429 Too Many Requests to %s). Try again later", cluster.Name, doing).From(err)
	case http.StatusBadRequest:
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not accept the request to %s: %s", cluster.Name, doing, message).From(err)
	case http.StatusNotFound:
		return contract.Errorf(contract.Unexpected, "Cluster %s has no API to %s: %w", cluster.Name, doing, err)
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

// mapping is the command that maps the principal to its group.
func (c *Conn) mapping() string {
	cluster := c.Cluster
	if cluster.AuthenticationMode == "CONFIG_MAP" {
		// aws-auth compares ARNs without their path, as STS names an assumed role.
		arn := rolePath.ReplaceAllString(c.Principal, "$1")
		return fmt.Sprintf("Its authentication mode is CONFIG_MAP, so map the role in aws-auth: eksctl create iamidentitymapping --region %s --cluster %s --arn %s --username kubestep --group %s "+
			"(or kubectl edit configmap aws-auth -n kube-system, and add to the list in mapRoles: - {rolearn: %s, username: kubestep, groups: [%s]})", cluster.Region, cluster.Name, arn, c.Group, arn, c.Group)
	}
	return fmt.Sprintf("Its authentication mode is %s, so create an access entry for the role: aws eks create-access-entry --region %s --cluster-name %s --principal-arn %s --kubernetes-groups %s",
		cluster.AuthenticationMode, cluster.Region, cluster.Name, c.Principal, c.Group)
}

var rolePath = regexp.MustCompile(`^(arn:[^:]+:iam::\d+:role/).*/`)

// untrusted reports whether a certificate was refused, rather than the connection.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) ||
		// client-go's HTTP/2 path may return the text alone.
		strings.Contains(err.Error(), "x509: ")
}
