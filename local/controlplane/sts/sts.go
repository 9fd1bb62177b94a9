// Package sts replaces the AWS Security Token Service for the one call that a cluster makes: GetCallerIdentity, presigned by a
// client and forwarded by aws-iam-authenticator. It verifies the signature as AWS does, with the secret of the credentials that
// package credentials issued, and answers in JSON, as the authenticator requests.
//
// It stays because moto and other emulators of AWS do not verify signatures, on which identity in the local cluster depends.
package sts

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/kubestep/kubestep/local/credentials"
)

const (
	service    = "sts"
	apiVersion = "2011-06-15"

	// globalHost is the host without a Region, and globalRegion its Region.
	globalHost   = "sts.amazonaws.com"
	globalRegion = "us-east-1"
)

// Transport answers sts:GetCallerIdentity for every host of STS, and fails for all others: the local world calls nothing outside. So
// tokens have the host names of AWS.
type Transport struct {
	Authority credentials.Authority
	Now       func() time.Time
	// Log gets a line for each answer, without secrets.
	Log *slog.Logger
}

// Register makes a transport, which must not have been used yet, send all https requests to t.
func (t Transport) Register(transport *http.Transport) {
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{} // or HTTP/2 would register itself for https
	transport.RegisterProtocol("https", t)
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	if !strings.HasPrefix(host, "sts.") && !strings.HasPrefix(host, "sts-fips.") {
		return nil, fmt.Errorf("the local control plane reaches only STS, not %s", host)
	}
	identity, refused := t.callerIdentity(r)
	t.Log.Info("GetCallerIdentity", "host", host, "arn", identity.ARN, "error", refused.Code)
	status, body := http.StatusOK, any(map[string]any{"GetCallerIdentityResponse": map[string]any{
		"GetCallerIdentityResult": map[string]string{"Account": identity.Account, "Arn": identity.ARN, "UserId": identity.UserID},
	}})
	if refused.status != 0 {
		status, body = refused.status, map[string]any{"Error": refused}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("answer as STS: %w", err)
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)), Request: r,
	}, nil
}

// refusal is an error response of STS: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
type refusal struct {
	status              int
	Type, Code, Message string
}

func refuse(status int, code, message string) refusal {
	return refusal{status, "Sender", code, message}
}

// callerIdentity returns who signed the request, or why it is refused.
func (t Transport) callerIdentity(r *http.Request) (credentials.Identity, refusal) {
	query := r.URL.Query()
	if action, version := query.Get("Action"), query.Get("Version"); r.Method != http.MethodGet || r.URL.Path != "/" || action != "GetCallerIdentity" || version != apiVersion {
		return credentials.Identity{}, refuse(http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", action, version))
	}
	identity, signature, err := t.Authority.Verify(r, nil, t.Now())
	switch {
	case err == nil && (signature.Service != service || signature.Region != regionOf(r.URL.Hostname())):
		return credentials.Identity{}, refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
	case err == nil:
		return identity, refusal{}
	case errors.Is(err, credentials.ErrNoSignature):
		return credentials.Identity{}, refuse(http.StatusBadRequest, "IncompleteSignature", err.Error())
	case errors.Is(err, credentials.ErrWrongSignature):
		return credentials.Identity{}, refuse(http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
	case errors.Is(err, credentials.ErrExpired):
		return credentials.Identity{}, refuse(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	default:
		return credentials.Identity{}, refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
}

// regionOf returns the Region of a host of STS: the second label of its name, in every partition, with FIPS and
// dual-stack (https://docs.aws.amazon.com/general/latest/gr/sts.html).
func regionOf(host string) string {
	if host == globalHost {
		return globalRegion
	}
	labels := strings.Split(host, ".")
	if len(labels) < 3 {
		return ""
	}
	return labels[1]
}
