package contract

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// ErrorName is the name by which the machine knows an error. Each is a
// condition, chosen by what the machine does next.
type ErrorName string

const (
	// InvalidInput means that the execution input is wrong. The machine stops.
	InvalidInput ErrorName = "InvalidInput"
	// ClusterNotFound means that EKS knows no such cluster in that Region and account. The machine stops.
	ClusterNotFound ErrorName = "ClusterNotFound"
	// ClusterNotActive means that the cluster is being created or deleted, or has failed. The machine stops.
	ClusterNotActive ErrorName = "ClusterNotActive"
	// AccessDenied means that IAM refused a call to AWS, or that describe-cluster did not attest
	// the cluster. The machine stops.
	AccessDenied ErrorName = "AccessDenied"
	// TokenTooLarge means that the bearer token is larger than the cluster takes. The machine stops.
	TokenTooLarge ErrorName = "TokenTooLarge"
	// Forbidden means that the cluster knows the identity, and RBAC denies it. The machine stops.
	Forbidden ErrorName = "Forbidden"
	// Unauthorized means that the cluster does not take the token, or the sealed token no
	// longer opens. The machine mints again, a bounded number of times.
	Unauthorized ErrorName = "Unauthorized"
	// CertificateNotTrusted means that the endpoint's certificate is not signed by the
	// cluster's authority or not for that host. The machine describes the cluster again, once.
	CertificateNotTrusted ErrorName = "CertificateNotTrusted"
	// ClusterUnreachable means that no answer could be had, or only one that says nothing
	// about the question. The machine retries, then describes the cluster again, once.
	ClusterUnreachable ErrorName = "ClusterUnreachable"
	// AWSUnreachable means that AWS (EKS, STS or S3) did not answer. The machine retries, and never
	// describes the cluster again because of it.
	AWSUnreachable ErrorName = "AWSUnreachable"
	// Throttled means that AWS or the API server asked to come back later. The machine retries.
	Throttled ErrorName = "Throttled"
	// UnknownKind means that neither the cluster nor the manifests define the kind of an object. The machine stops.
	UnknownKind ErrorName = "UnknownKind"
	// FieldConflict means that other field managers own fields of the manifests. The machine stops.
	FieldConflict ErrorName = "FieldConflict"
	// NotReady means that objects were applied and are not ready in time, or never will be. The machine stops.
	NotReady ErrorName = "NotReady"
	// WebhookFailed means that a webhook which the API server asks did not answer, or not as it
	// should. The cluster itself answers: the machine stops.
	WebhookFailed ErrorName = "WebhookFailed"
	// OwnerConflict means that objects belong to somebody else, such as another set or Helm, or that the set does. The machine stops.
	OwnerConflict ErrorName = "OwnerConflict"
	// SetInUse means that another execution is changing the set, or did so since it was planned. The machine plans again.
	SetInUse ErrorName = "SetInUse"
	// SetTaken means that another execution began to change the set before this one was through. The machine stops.
	SetTaken ErrorName = "SetTaken"
	// PruneRefused means that more would be deleted than the input allows. The machine stops.
	PruneRefused ErrorName = "PruneRefused"
	// NotDeleted means that objects are still being deleted when the time to wait is over. The machine stops.
	NotDeleted ErrorName = "NotDeleted"
	// JobFailed means that a Job failed, or was deleted before it ended. The machine stops.
	JobFailed ErrorName = "JobFailed"
	// JobNeverStarted means that no container of a Job started in time. The machine stops.
	JobNeverStarted ErrorName = "JobNeverStarted"
	// JobDeadline means that a Job did not end within its time. The machine stops.
	JobDeadline ErrorName = "JobDeadline"
	// NotApproved means that somebody rejected the plan, or nobody approved it in time. The machine stops.
	NotApproved ErrorName = "NotApproved"
	// PlanChanged means that applying would do something else than was approved. The machine stops.
	PlanChanged ErrorName = "PlanChanged"
	// Unexpected means that the error has no name of its own: a fault of kubestep's. The machine stops.
	Unexpected ErrorName = "Unexpected"
)

// ErrorNames are all the names there are.
func ErrorNames() []ErrorName {
	return []ErrorName{
		InvalidInput, ClusterNotFound, ClusterNotActive, AccessDenied, TokenTooLarge, Forbidden,
		Unauthorized, CertificateNotTrusted, ClusterUnreachable, AWSUnreachable, Throttled,
		UnknownKind, FieldConflict, NotReady, WebhookFailed,
		OwnerConflict, SetInUse, SetTaken, PruneRefused, NotDeleted,
		JobFailed, JobNeverStarted, JobDeadline, NotApproved, PlanChanged, Unexpected,
	}
}

// Error is an error that the machine knows by name.
type Error struct {
	Name ErrorName
	// Message is for a person: who was refused, what, where, and the fix.
	// It is logged, and part of the execution history.
	Message string
	// Err is what it came from; it may be nil.
	Err error
}

// Errorf makes an Error of that name; %w keeps what it came from.
func Errorf(name ErrorName, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Name: name, Message: err.Error(), Err: err}
}

// From keeps what the error came from, if the message already says it.
func (e *Error) From(err error) *Error {
	e.Err = err
	return e
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Clip truncates text to so many bytes, for a message: what a server or a person
// wrote must not push the rest of it out.
func Clip(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxBytes], "") + "…"
}

// Few keeps the first texts of a list, and says how many there are more.
func Few(texts []string, most int) []string {
	if len(texts) <= most {
		return texts
	}
	return append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more", len(texts)-most))
}

// OneLine returns text on one line: whatever a server or a person wrote cannot begin a
// line of a message, in which people look for YAML and commands. Characters that are
// not printed, such as those that turn the direction of writing, become a mark.
func OneLine(text string) string {
	text = strings.ToValidUTF8(text, string(unicode.ReplacementChar))
	if strings.IndexFunc(text, unprinted) < 0 {
		return text
	}
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case r == ' ' || unicode.IsSpace(r) || unicode.IsControl(r):
			space = true
			continue
		case space && b.Len() > 0:
			b.WriteByte(' ')
		}
		space = false
		if unprinted(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Counted is a number of things, such as "1 problem" and "2 problems".
func Counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func unprinted(r rune) bool { return !unicode.IsPrint(r) }
