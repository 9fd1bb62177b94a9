// Package sts stands in for the AWS Security Token Service, for the one call that a cluster makes: GetCallerIdentity, presigned
// by a client and sent on by aws-iam-authenticator. It checks the signature as AWS does (Signature Version 4:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), against the secret of
// the credentials that package credentials issued, and answers in the JSON that the authenticator asks for.
package sts

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/uuid"

	"github.com/kubestep/kubestep/local/credentials"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	service    = "sts"
	apiVersion = "2011-06-15"
	dateFormat = "20060102T150405Z"

	// A signature is good for 15 minutes from its date, and up to 5 minutes before it. STS does not look at
	// X-Amz-Expires for this, as aws-iam-authenticator found out (pkg/token/token.go); here it must only be a duration.
	lifetime = 15 * time.Minute
	skew     = 5 * time.Minute

	// emptyPayload is the SHA-256 of nothing, the body of a GET.
	emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

	// globalHost is the host that names no region, and globalRegion the one that it is in.
	globalHost   = "sts.amazonaws.com"
	globalRegion = "us-east-1"
)

// Handler answers sts:GetCallerIdentity on every host that STS has.
type Handler struct {
	Authority credentials.Authority
	Now       func() time.Time
	// Log takes a line for each answer, with nothing in it that is secret.
	Log *slog.Logger
}

// refusal is an error as STS answers it: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
type refusal struct {
	status        int
	code, message string
}

func (r refusal) Error() string { return r.code + ": " + r.message }

// ServeHTTP answers one request.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := uuid.NewString()
	identity, err := h.callerIdentity(r)
	h.Log.Info("GetCallerIdentity", "host", r.Host, "arn", identity.ARN, "error", err)
	var refused refusal
	switch {
	case err == nil:
		answer(w, http.StatusOK, requestID, map[string]any{"GetCallerIdentityResponse": map[string]any{
			"GetCallerIdentityResult": map[string]string{
				"Account": identity.Account, "Arn": identity.ARN, "UserId": identity.UserID,
			},
			"ResponseMetadata": map[string]string{"RequestId": requestID},
		}})
	case errors.As(err, &refused):
		answer(w, refused.status, requestID, fault("Sender", refused.code, refused.message, requestID))
	default:
		answer(w, http.StatusInternalServerError, requestID, fault("Receiver", "InternalFailure", err.Error(), requestID))
	}
}

// callerIdentity tells who signed the request, or why that is not to be known.
func (h Handler) callerIdentity(r *http.Request) (credentials.Identity, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return credentials.Identity{}, refusal{http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error."}
	}
	if action, version := query.Get("Action"), query.Get("Version"); r.Method != http.MethodGet || r.URL.Path != "/" ||
		action != "GetCallerIdentity" || version != apiVersion {
		return credentials.Identity{}, refusal{http.StatusBadRequest, "InvalidAction",
			fmt.Sprintf("Could not find operation %s for version %s", action, version)}
	}
	claimed, err := readSignature(r.Host, query, h.Now().UTC())
	if err != nil {
		return credentials.Identity{}, err
	}
	identity, secret, err := h.Authority.Recognise(claimed.accessKeyID, claimed.sessionToken, h.Now())
	switch {
	case errors.Is(err, credentials.ErrExpired):
		return credentials.Identity{}, refusal{http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"}
	case err != nil:
		return credentials.Identity{}, refusal{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	}
	expected, err := sign(r, query, claimed, secret)
	if err != nil {
		return credentials.Identity{}, err
	}
	if !hmac.Equal([]byte(expected), []byte(claimed.value)) {
		return credentials.Identity{}, refusal{http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	return identity, nil
}

// signature is what a presigned request claims of its signature.
type signature struct {
	accessKeyID, sessionToken string
	region                    string
	date                      time.Time
	headers                   []string
	value                     string
}

// readSignature reads it from the query, and checks what can be checked without the secret.
func readSignature(host string, query url.Values, now time.Time) (signature, error) {
	if query.Get("X-Amz-Algorithm") == "" || query.Get("X-Amz-Credential") == "" || query.Get("X-Amz-Signature") == "" {
		return signature{}, refusal{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	if got := query.Get("X-Amz-Algorithm"); got != algorithm {
		return signature{}, incomplete("Unsupported AWS 'algorithm': '%s'.", got)
	}
	date, err := time.Parse(dateFormat, query.Get("X-Amz-Date"))
	if err != nil {
		return signature{}, incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", query.Get("X-Amz-Date"))
	}
	if seconds, err := strconv.Atoi(query.Get("X-Amz-Expires")); query.Has("X-Amz-Expires") && (err != nil || seconds < 0) {
		return signature{}, incomplete("X-Amz-Expires must be a number of seconds. Got '%s'.", query.Get("X-Amz-Expires"))
	}
	// The scope is KEY/DATE/REGION/SERVICE/aws4_request.
	scope := strings.Split(query.Get("X-Amz-Credential"), "/")
	if len(scope) != 5 {
		return signature{}, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", query.Get("X-Amz-Credential"))
	}
	switch {
	case scope[1] != date.Format("20060102"):
		return signature{}, mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			scope[1], date.Format("20060102"), date.Format(dateFormat))
	case scope[2] != regionOf(host):
		return signature{}, mismatch("Credential should be scoped to a valid region.")
	case scope[3] != service:
		return signature{}, mismatch("Credential should be scoped to correct service: '%s'.", service)
	case scope[4] != "aws4_request":
		return signature{}, mismatch("Credential should be scoped with a valid terminator: 'aws4_request', not '%s'.", scope[4])
	}
	switch {
	case date.Before(now.Add(-lifetime)):
		return signature{}, mismatch("Signature expired: %s is now earlier than %s (%s - 15 min.)",
			date.Format(dateFormat), now.Add(-lifetime).Format(dateFormat), now.Format(dateFormat))
	case date.After(now.Add(skew)):
		return signature{}, mismatch("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			date.Format(dateFormat), now.Add(skew).Format(dateFormat), now.Format(dateFormat))
	}
	return signature{
		accessKeyID:  scope[0],
		sessionToken: query.Get("X-Amz-Security-Token"),
		region:       scope[2],
		date:         date,
		headers:      strings.Split(query.Get("X-Amz-SignedHeaders"), ";"),
		value:        query.Get("X-Amz-Signature"),
	}, nil
}

// sign presigns the request once more, as its sender must have done it, and returns the signature. The SDK's signer
// writes all that is signed anew; so whatever the sender had added or left out shows as another signature.
func sign(r *http.Request, query url.Values, claimed signature, secret string) (string, error) {
	query.Del("X-Amz-Signature")
	unsigned := &http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "https", Host: r.Host, Path: "/", RawQuery: query.Encode()},
		Header: http.Header{},
	}
	for _, name := range claimed.headers {
		if values := r.Header.Values(name); len(values) > 0 {
			unsigned.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	signer := aws.Credentials{AccessKeyID: claimed.accessKeyID, SecretAccessKey: secret, SessionToken: claimed.sessionToken}
	signed, _, err := v4.NewSigner().PresignHTTP(r.Context(), signer, unsigned, emptyPayload, service, claimed.region, claimed.date)
	if err != nil {
		return "", fmt.Errorf("sign the request again: %w", err)
	}
	location, err := url.Parse(signed)
	if err != nil {
		return "", fmt.Errorf("read the request that was signed again: %w", err)
	}
	return location.Query().Get("X-Amz-Signature"), nil
}

// regionOf is the region that a host of STS is in: the second label of its name, in every partition, with FIPS and
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

func mismatch(format string, args ...any) refusal {
	return refusal{http.StatusForbidden, "SignatureDoesNotMatch", fmt.Sprintf(format, args...)}
}

func incomplete(format string, args ...any) refusal {
	return refusal{http.StatusBadRequest, "IncompleteSignature", fmt.Sprintf(format, args...)}
}

func fault(kind, code, message, requestID string) map[string]any {
	return map[string]any{
		"Error":     map[string]string{"Type": kind, "Code": code, "Message": message},
		"RequestId": requestID,
	}
}

func answer(w http.ResponseWriter, status int, requestID string, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-RequestId", requestID)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone if this fails
}
