// Package iam compares the calls of roles with what their policies allow. @cloud-copilot/iam-simulate decides: it evaluates
// policies as IAM does, with conditions.
package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kubestep/kubestep/local/trail"
)

// Request is a call of a principal.
type Request struct {
	Principal string `json:"principal"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	// Account is the account of the resource.
	Account string `json:"account"`
	// Context are the condition keys.
	Context map[string]string `json:"context,omitempty"`
	// Statements are the statements of the principal's policies, by name.
	Statements map[string]json.RawMessage `json:"statements,omitempty"`
	// Trust is the trust policy of the role to assume. It alone decides then.
	Trust json.RawMessage `json:"trust,omitempty"`
}

// Decision is IAM's decision about a request.
type Decision struct {
	// Result is Allowed, ImplicitlyDenied or ExplicitlyDenied.
	Result string `json:"result"`
	// Error says why the request is not valid.
	Error string `json:"error"`
	// Allows are the statements that allow it, by name.
	Allows map[string]Matches `json:"allows"`
}

// Matches are the elements of a statement that match a request, by their index in the statement's lists.
type Matches struct {
	Actions   []int `json:"actions"`
	Resources []int `json:"resources"`
}

// Allowed reports whether the request is allowed.
func (d Decision) Allowed() bool { return d.Result == "Allowed" }

// Simulator evaluates policies. It is hack/iam.js, run by Node.js.
type Simulator struct{ script string }

// Find finds the simulator, which make installs if there is Node.js.
func Find(repository string) (s Simulator, found bool) {
	folder := filepath.Join(repository, ".local", "node")
	_, err := os.Stat(filepath.Join(folder, "done"))
	return Simulator{filepath.Join(folder, "iam.js")}, err == nil
}

// Decide decides each request.
func (s Simulator) Decide(ctx context.Context, requests []Request) ([]Decision, error) {
	if len(requests) == 0 {
		return nil, nil // by a run of tests that call nothing
	}
	asked, err := json.Marshal(requests)
	if err != nil {
		return nil, fmt.Errorf("simulate IAM: %w", err)
	}
	var said bytes.Buffer
	node := exec.CommandContext(ctx, "node", s.script) //nolint:gosec // it is hack/iam.js
	node.Stdin, node.Stderr = bytes.NewReader(asked), &said
	answered, err := node.Output()
	if err != nil {
		return nil, fmt.Errorf("simulate IAM: %w: %s", err, said.String())
	}
	var decisions []Decision
	if err := json.Unmarshal(answered, &decisions); err != nil {
		return nil, fmt.Errorf("simulate IAM: %w", err)
	}
	if len(decisions) != len(requests) {
		return nil, fmt.Errorf("simulate IAM: %d decisions about %d requests", len(decisions), len(requests))
	}
	return decisions, nil
}

// statement is a statement of an identity policy.
type statement struct {
	Action, Resource oneOrMore
}

// oneOrMore is a string, or a list of them.
type oneOrMore []string

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o)) //nolint:wrapcheck // of the decoder, for the decoder
}

// Statements are the statements of all of a role's policies, named POLICY, statement NUMBER.
func Statements(role trail.Role) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, policy := range role.Policies {
		var document struct{ Statement []json.RawMessage }
		if err := json.Unmarshal(policy.Document, &document); err != nil {
			return nil, fmt.Errorf("role %s, policy %s: %w", role.ID, policy.Name, err)
		}
		for i, s := range document.Statement {
			all[fmt.Sprintf("%s, statement %d", policy.Name, i+1)] = s
		}
	}
	return all, nil
}
