// Package trail records the calls to AWS as CloudTrail does, in the words of IAM: which role did what to which resource.
// Between them it records what each role is permitted at that time, so that the one can be held against the other.
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
	// Action and Resource are as a policy names them: lambda:InvokeFunction, not Invoke.
	Action   string `json:"action"`
	Resource string `json:"resource"`
	// Context holds the condition keys that the request has:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
	Context map[string]string `json:"context,omitempty"`
	// Status is that of the HTTP response, or 0 if the client left before it.
	Status int `json:"status"`
}

// Role is a role of a stack, with its policies as the template has them for the stack's parameters.
type Role struct {
	// ID is the role's logical ID in the template.
	ID  string `json:"id"`
	ARN string `json:"arn"`
	// Service is the service that the stack gives the role to, such as lambda.amazonaws.com; SourceARN is what for.
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

// Entry is a line of the recording: one of the two.
type Entry struct {
	Role *Role `json:"role,omitempty"`
	Call *Call `json:"call,omitempty"`
}

// Recorder writes a recording, an entry a line.
type Recorder struct {
	mu sync.Mutex
	to io.Writer
}

// NewRecorder makes a Recorder that writes to a file, or to whatever else to is.
func NewRecorder(to io.Writer) *Recorder { return &Recorder{to: to} }

// Deployed records what a role is permitted from now on.
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
