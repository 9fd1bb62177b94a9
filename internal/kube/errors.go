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

// Caller is whom the cluster is asked as, and where.
type Caller struct {
	Cluster contract.Cluster
	// Principal is the ARN of the IAM role that the token speaks for.
	Principal string
}

// Explain names an error of a call to the cluster, and says what mends it.
// doing says what was asked, as in "list pods in namespace shop". The error
// stays wrapped.
func (c Caller) Explain(err error, doing string) *contract.Error {
	var known *contract.Error
	if errors.As(err, &known) {
		return known
	}
	cluster := c.Cluster
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if untrusted(err) {
			return contract.Errorf(contract.CertificateNotTrusted,
				"The certificate that %s shows is not one that the authority of cluster %s vouches for, so nothing was sent to it (%s: %w). If EKS describes another endpoint or authority by now, a new execution finds it", cluster.Endpoint, cluster.Name, doing, err)
		}
		return contract.Errorf(contract.ClusterUnreachable,
			"Cluster %s could not be reached at %s to %s: %w. For a private endpoint the functions that connect, verify-rbac and list-pods, must stand in subnets of the cluster's VPC, and the cluster's security group must let them in at port 443", cluster.Name, cluster.Endpoint, doing, err)
	}
	code := int(status.Status().Code)
	switch {
	case code == http.StatusUnauthorized:
		return contract.Errorf(contract.Unauthorized, "Cluster %s in %s does not know %s (401 Unauthorized, when asked to %s). %s",
			cluster.Name, cluster.Region, c.Principal, doing, c.mapping()).From(err)
	case code == http.StatusForbidden:
		return contract.Errorf(contract.Forbidden, "Cluster %s in %s does not let %s %s: %s. Every authenticated user may do so by the ClusterRoleBinding system:basic-user: see that it is there",
			cluster.Name, cluster.Region, c.Principal, doing, status.Status().Message).From(err)
	case code == http.StatusTooManyRequests:
		return contract.Errorf(contract.Throttled, "The API server of cluster %s asked to come back later (429 to %s). It is under load; try later", cluster.Name, doing).From(err)
	case code == http.StatusBadRequest:
		return contract.Errorf(contract.InvalidInput, "Cluster %s does not take the request to %s: %s", cluster.Name, doing, status.Status().Message).From(err)
	case code == http.StatusNotFound:
		return contract.Errorf(contract.Unexpected, "Cluster %s knows no way to %s: %w", cluster.Name, doing, err)
	default:
		return contract.Errorf(contract.ClusterUnreachable, "The API server of cluster %s could not %s (%d): %s", cluster.Name, doing, code, status.Status().Message).From(err)
	}
}

// mapping is the command that makes the cluster know the principal.
func (c Caller) mapping() string {
	cluster := c.Cluster
	if cluster.AuthenticationMode == "CONFIG_MAP" {
		// aws-auth compares ARNs without their path, as STS names an assumed role.
		arn := pathless.ReplaceAllString(c.Principal, "$1")
		return fmt.Sprintf("Its authentication mode is CONFIG_MAP, so map the role in aws-auth: eksctl create iamidentitymapping --region %s --cluster %s --arn %s --username kubestep --group kubestep-pod-readers "+
			"(or kubectl edit configmap aws-auth -n kube-system, and add to the list in mapRoles: - {rolearn: %s, username: kubestep, groups: [kubestep-pod-readers]})", cluster.Region, cluster.Name, arn, arn)
	}
	return fmt.Sprintf("Its authentication mode is %s, so give the role an access entry: aws eks create-access-entry --region %s --cluster-name %s --principal-arn %s --kubernetes-groups kubestep-pod-readers",
		cluster.AuthenticationMode, cluster.Region, cluster.Name, c.Principal)
}

var pathless = regexp.MustCompile(`^(arn:[^:]+:iam::\d+:role/).*/`)

// untrusted tells a certificate that does not fit from a connection that failed.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) ||
		// client-go's HTTP/2 path may hand on the text alone.
		strings.Contains(err.Error(), "x509: ")
}
