package credentials

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var (
	// ErrNoSignature means that a request is not signed with Signature Version 4.
	ErrNoSignature = errors.New("the request has no valid signature")
	// ErrWrongSignature means that a request was signed with another secret, changed after that, or signed too long ago.
	ErrWrongSignature = errors.New("the signature does not match the request")
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	dateFormat = "20060102T150405Z"

	// A signature is valid from 5 minutes before its date to 15 minutes after it. STS ignores X-Amz-Expires, according to
	// aws-iam-authenticator (pkg/token/token.go).
	lifetime = 15 * time.Minute
	skew     = 5 * time.Minute
)

// Signature is the signature of a request, which Verify verifies.
type Signature struct {
	AccessKeyID, SessionToken string
	Region, Service           string

	presigned bool
	day       string
	date      time.Time
	headers   []string
	value     string
}

// ReadSignature reads the signature from a request's headers or, if it is presigned, from its query:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func ReadSignature(r *http.Request) (Signature, error) {
	get, s := r.Header.Get, Signature{}
	fields := map[string]string{}
	if method, rest, _ := strings.Cut(get("Authorization"), " "); method == algorithm {
		for field := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			fields[name] = value
		}
	} else {
		get, s.presigned = r.URL.Query().Get, true
		if get("X-Amz-Algorithm") != algorithm {
			return Signature{}, ErrNoSignature
		}
		for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
			fields[name] = get("X-Amz-" + name)
		}
	}
	// The scope is KEY/DATE/REGION/SERVICE/aws4_request.
	scope := strings.Split(fields["Credential"], "/")
	date, err := time.Parse(dateFormat, get("X-Amz-Date"))
	if err != nil || len(scope) != 5 || scope[4] != terminator || fields["Signature"] == "" {
		return Signature{}, ErrNoSignature
	}
	s.AccessKeyID, s.day, s.Region, s.Service, s.SessionToken = scope[0], scope[1], scope[2], scope[3], get("X-Amz-Security-Token")
	s.date, s.headers, s.value = date, strings.Split(fields["SignedHeaders"], ";"), fields["Signature"]
	return s, nil
}

// Verify returns who signed a request with this body, and for which service and Region.
func (a Authority) Verify(r *http.Request, body []byte, now time.Time) (Identity, Signature, error) {
	s, err := ReadSignature(r)
	if err != nil {
		return Identity{}, s, err
	}
	identity, secret, err := a.Recognize(s.AccessKeyID, s.SessionToken, now)
	if err != nil {
		return Identity{}, s, err
	}
	expected, err := s.again(r, body, secret)
	if err != nil {
		return Identity{}, s, err
	}
	fresh := s.day == s.date.Format("20060102") && !s.date.Before(now.Add(-lifetime)) && !s.date.After(now.Add(skew))
	if !fresh || !hmac.Equal([]byte(expected), []byte(s.value)) {
		return Identity{}, s, ErrWrongSignature
	}
	return identity, s, nil
}

// again signs the request as its sender must have done. The SDK's signer computes everything that is signed again, so whatever was
// added or left out results in another signature.
func (s Signature) again(r *http.Request, body []byte, secret string) (string, error) {
	target, query := *r.URL, r.URL.Query()
	query.Del("X-Amz-Signature")
	target.RawQuery = query.Encode()
	if target.Scheme, target.Host = "https", r.Host; target.Host == "" {
		target.Host = r.URL.Host
	}
	unsigned := &http.Request{Method: r.Method, URL: &target, Header: http.Header{}}
	for _, name := range s.headers {
		if values := r.Header.Values(name); len(values) > 0 {
			unsigned.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if slices.Contains(s.headers, "content-length") {
		unsigned.ContentLength = int64(len(body))
	}
	signer := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: secret, SessionToken: s.SessionToken}
	hash := sha256.Sum256(body)
	payload := hex.EncodeToString(hash[:])
	if s.presigned {
		signed, _, err := v4.NewSigner().PresignHTTP(r.Context(), signer, unsigned, payload, s.Service, s.Region, s.date)
		if err != nil {
			return "", fmt.Errorf("sign the request again: %w", err)
		}
		location, err := url.Parse(signed)
		if err != nil {
			return "", fmt.Errorf("sign the request again: %w", err)
		}
		return location.Query().Get("X-Amz-Signature"), nil
	}
	if err := v4.NewSigner().SignHTTP(r.Context(), signer, unsigned, payload, s.Service, s.Region, s.date); err != nil {
		return "", fmt.Errorf("sign the request again: %w", err)
	}
	_, value, _ := strings.Cut(unsigned.Header.Get("Authorization"), "Signature=")
	return value, nil
}
