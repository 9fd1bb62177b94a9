package awsfront

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/kubestep/kubestep/local/credentials"
)

// admit refuses requests that would let other users of this computer, or web pages, run programs on it: those without the world's
// credentials, which are in files that only the user can read.
func (f *Front) admit(r *http.Request, c call) *apiError {
	// With DNS rebinding, a web page makes its host name resolve to loopback, but still sends that name.
	if !loopback(r.Host) {
		return &apiError{http.StatusForbidden, "AccessDeniedException", "the local AWS endpoint is not " + r.Host}
	}
	// These two run programs. For other services, the session token proves the caller's role, and that is enough.
	if c.service != "lambda" && c.service != "cloudformation" {
		return nil
	}
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusRequestEntityTooLarge, "RequestTooLargeException", err.Error()}
	}
	switch _, signature, err := f.Authority.Verify(r, body, f.Now()); {
	case err == nil && signature.Service == c.service:
		return nil
	case err == nil, errors.Is(err, credentials.ErrWrongSignature):
		return &apiError{http.StatusForbidden, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."}
	case errors.Is(err, credentials.ErrNoSignature):
		return &apiError{http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token"}
	default:
		return unrecognized(err, "ExpiredTokenException", "UnrecognizedClientException")
	}
}

// loopback reports whether a Host header names this computer without DNS.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	// localhost and the names below it never reach DNS: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}
