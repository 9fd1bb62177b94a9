// Package trail records the calls to AWS as IAM sees them: which role called which action on which resource. It also records the
// policies of each role when it is deployed, so that test/iam can evaluate the calls.
//
// It stays because moto's CloudTrail records no calls, and Lambda, EKS and STS are not moto's here.
package trail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Call is a request that a role made.
type Call struct {
	// Principal is the ARN of the role.
	Principal string `json:"principal"`
	// Action and Resource are those that a policy would name: lambda:InvokeFunction, not Invoke.
	Action   string `json:"action"`
	Resource string `json:"resource"`
	// Context are the condition keys of the request:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
	Context map[string]string `json:"context,omitempty"`
	// Status is the status of the HTTP response, or 0 if the client closed the connection first.
	Status int `json:"status"`
}

// Role is a role of a stack, with its evaluated policies.
type Role struct {
	// ID is the role's logical ID in the template.
	ID  string `json:"id"`
	ARN string `json:"arn"`
	// Service is the service that assumes the role, such as lambda.amazonaws.com, and SourceARN the resource for which it does.
	Service   string `json:"service"`
	SourceARN string `json:"sourceArn,omitempty"`
	// Trust says who may assume the role.
	Trust    json.RawMessage `json:"trust"`
	Policies []Policy        `json:"policies"`
}

// Policy is an identity policy of a role.
type Policy struct {
	Name     string          `json:"PolicyName"`
	Document json.RawMessage `json:"PolicyDocument"`
}

// Entry is a line of the recording: a role or a call.
type Entry struct {
	Role *Role `json:"role,omitempty"`
	Call *Call `json:"call,omitempty"`
}

// Recorder writes a recording.
type Recorder struct {
	mu sync.Mutex
	to io.Writer
}

// NewRecorder returns a Recorder that writes to to.
func NewRecorder(to io.Writer) *Recorder { return &Recorder{to: to} }

// Deployed records a role, whose policies are valid from now on.
func (r *Recorder) Deployed(role Role) error { return r.write(Entry{Role: &role}) }

// Called records a call.
func (r *Recorder) Called(call Call) error { return r.write(Entry{Call: &call}) }

func (r *Recorder) write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.to.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	return nil
}

// Read reads a recording.
func Read(from io.Reader) ([]Entry, error) {
	var entries []Entry
	for d := json.NewDecoder(from); ; {
		var e Entry
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return entries, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the recording, entry %d: %w", len(entries)+1, err)
		}
		entries = append(entries, e)
	}
}
