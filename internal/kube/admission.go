package kube

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
)

// Webhook is a webhook that failed, or another server that the API server asks.
type Webhook struct {
	// Name is that in a webhook configuration; empty for one that converts a kind, or
	// if the API server does not say it.
	Name string
	// Kind is the kind that it should have converted, as the API server writes it:
	// "example.com/v1, Kind=Widget"; empty for an admission webhook.
	Kind string
	// APIService is the name of the one to which the API server passes requests on; empty
	// for a webhook.
	APIService string
}

// String is the webhook as a sentence begins with it.
func (w Webhook) String() string {
	switch {
	case w.APIService != "":
		return "The server behind APIService " + w.APIService
	case w.Kind != "":
		return "The conversion webhook for " + w.Kind
	case w.Name == "":
		return "A mutating admission webhook"
	default:
		return fmt.Sprintf("Admission webhook %q", w.Name)
	}
}

// Advice says where to look.
func (w Webhook) Advice() string {
	if w.APIService != "" {
		return "The API server passes requests for this group on to it: see kubectl get apiservice " + w.APIService + ", and the Service and the pods that it names"
	}
	if w.Kind != "" {
		return "The API server asks it for each object of the kind: see spec.conversion of the CRD, and the Service and the pods that it names"
	}
	return "The API server asks it before it takes such an object: see kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o yaml, and the Service and the pods behind it"
}

// The texts by which an API server says that a webhook failed. All of them come with
// status 500 or so, which says nothing.
var (
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/util/webhook/error.go
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go
	failedAdmission = []*regexp.Regexp{
		regexp.MustCompile(`failed calling webhook "([^"]*)"`),
		regexp.MustCompile(`admission webhook "([^"]*)" attempted to modify the object`),
		noDryRun,
		regexp.MustCompile(`ValidatingAdmissionWebhook/(\S+) has panicked`),
		// The patch of a mutating webhook that does not fit the object, without its name.
		// https://github.com/evanphx/json-patch/blob/v4.13.0/patch.go
		regexp.MustCompile(`^Internal error occurred: (?:(?:add|remove|replace|move|copy|test) operation |testing value .* failed|error in (?:add|remove|replace|move|copy|test) for (?:path|from): |error while (?:performing deep copy|adding value during copy): )()`),
	}
	// With status 400.
	noDryRun = regexp.MustCompile(`^admission webhook "([^"]*)" does not support dry run$`)
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go
	failedConversion = regexp.MustCompile(`conversion webhook for (.*?) (?:failed|returned)\b`)
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go
	denied = regexp.MustCompile(`admission webhook "[^"]*" denied the request|ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request`)
)

// FailedWebhook returns the webhook because of which the API server could not do what
// it was asked. The API server itself is well then, and a webhook that denied a request
// has not failed.
func FailedWebhook(err error) (Webhook, bool) {
	message, code := answer(err)
	// Other statuses quote what is in the object, which may be anything.
	if code < http.StatusInternalServerError && !noDryRun.MatchString(message) || denied.MatchString(message) {
		return Webhook{}, false
	}
	for _, pattern := range failedAdmission {
		if m := pattern.FindStringSubmatch(message); m != nil {
			return Webhook{Name: contract.Clip(contract.OneLine(m[1]), maxName)}, true
		}
	}
	if m := failedConversion.FindStringSubmatch(message); m != nil {
		return Webhook{Kind: contract.Clip(contract.OneLine(m[1]), maxName)}, true
	}
	return Webhook{}, false
}

// FailedAPIService reports whether the server behind an APIService did not answer, to
// which the API server passes a request on.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go
func FailedAPIService(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code < http.StatusBadGateway || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == metav1.CauseTypeUnexpectedServerResponse && (c.Message == "service unavailable" || strings.HasPrefix(c.Message, "error trying to reach service: "))
	})
}

// maxName bounds a webhook's name, which Kubernetes bounds too.
const maxName = 253

// DeniedByAdmission reports whether an admission webhook or policy denied the request.
// It chooses the status, which may be one that means something else of the API server.
func DeniedByAdmission(err error) bool {
	message, _ := answer(err)
	return denied.MatchString(message)
}

// isStarting reports whether an admission plug-in has not got its data yet, in the first
// seconds of an API server.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go
func isStarting(err error) bool {
	message, code := answer(err)
	return code == http.StatusForbidden && strings.HasSuffix(message, "not yet ready to handle request")
}

// answer is the message of an API server, and its status; 0 if it is none of its.
func answer(err error) (message string, code int) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "", 0
	}
	return Ends(status.Status().Message), int(status.Status().Code)
}

// maxRead bounds, in bytes, what is looked at of a text: the patterns above would take
// the time of a function for many long ones.
const maxRead = 16 << 10

// Ends is a text or, if it is very long, its beginning and its end.
func Ends(text string) string {
	if len(text) <= maxRead {
		return text
	}
	return text[:maxRead/2] + " … " + text[len(text)-maxRead/2:]
}

// Shorten puts a server's text on one line, and cuts what is too long in its middle: the
// beginning says what it is about, and the end what is wrong with it.
func Shorten(text string, maxBytes int) string {
	const cut = " … "
	text = contract.OneLine(text)
	if len(text) <= maxBytes {
		return text
	}
	head, tail := (maxBytes-len(cut))/2, len(text)-(maxBytes-len(cut)+1)/2
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + cut + text[tail:]
}
