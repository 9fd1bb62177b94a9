package contract

import "time"

// Decision is what somebody decided about what an execution waits with, as the function approve
// gives it to the execution.
type Decision struct {
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	// Approved is false if it was rejected, for a Reason.
	Approved bool   `json:"approved"`
	Reason   string `json:"reason"`
	// Seal proves that approve made it, for this execution: whoever knows a task token could
	// resume the execution, too.
	Seal string `json:"seal"`
}

// RequestedApproval is the result of request-approval, which a machine does not wait for.
type RequestedApproval struct {
	// MessageID is of the message that the topic took; empty without one.
	MessageID string `json:"messageId"`
}
