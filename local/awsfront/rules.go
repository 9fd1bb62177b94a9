package awsfront

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/trail"
)

// Rule is a rule of EventBridge on the status of executions, whose target is a state machine.
type Rule struct {
	Name string
	// Statuses and Machines are those that the event's pattern has; machines by their ARNs.
	Statuses, Machines []string
	// Target is the ARN of the state machine, or of its alias, that the event starts, with the role.
	Target, Role string
}

// Rules are the rules of the world. moto's Step Functions sends no events.
type Rules struct {
	mu    sync.Mutex
	rules map[string]Rule // by name
}

// Put creates or updates a rule.
func (r *Rules) Put(rule Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules == nil {
		r.rules = map[string]Rule{}
	}
	r.rules[rule.Name] = rule
}

// matching are the rules that an event matches.
func (r *Rules) matching(machine, status string) []Rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Rule
	for _, rule := range r.rules {
		if slices.Contains(rule.Statuses, status) && slices.Contains(rule.Machines, machine) {
			all = append(all, rule)
		}
	}
	return all
}

// stopExecution forwards the request, and then sends the event. Executions that time out send none here: they would take hours.
func (f *Front) stopExecution(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	answered := &statusWriter{ResponseWriter: w}
	f.engine.ServeHTTP(answered, r)
	var request struct {
		ExecutionARN contract.ExecutionARN `json:"executionArn"`
	}
	if f.Rules != nil && answered.status == http.StatusOK && json.Unmarshal(body, &request) == nil {
		go f.sendEvent(request.ExecutionARN)
	}
	return nil
}

// sendEvent starts what the rules say, with the event that Step Functions sends:
// https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
func (f *Front) sendEvent(execution contract.ExecutionARN) {
	var described struct {
		StateMachineARN string `json:"stateMachineArn"`
		Name            string `json:"name"`
		Input           string `json:"input"`
	}
	if err := f.ask("DescribeExecution", map[string]any{"executionArn": execution}, &described); err != nil {
		return // there is nobody to tell
	}
	// moto reports an execution as running until its task ends, and Step Functions does not.
	const status = "ABORTED"
	of := contract.ARN(execution)
	for _, rule := range f.Rules.matching(described.StateMachineARN, status) {
		event, err := json.Marshal(map[string]any{
			"version": "0", "id": uuid(), "detail-type": "Step Functions Execution Status Change", "source": "aws.states",
			"account": of.Account(), "region": of.Region(), "time": f.Now().UTC().Format(time.RFC3339), "resources": []string{string(execution)},
			"detail": map[string]any{
				"executionArn": execution, "stateMachineArn": described.StateMachineARN, "name": described.Name, "status": status,
				"input": described.Input, "inputDetails": map[string]bool{"included": true}, "output": nil, "error": nil, "cause": nil,
			},
		})
		if err != nil {
			continue
		}
		machine := contract.MachineARN(rule.Target)
		err = f.ask("StartExecution", map[string]any{"stateMachineArn": machine.Unqualified(), "name": uuid(), "input": string(event)}, nil)
		if f.Record != nil {
			status := http.StatusOK
			if err != nil {
				status = http.StatusBadRequest
			}
			f.Record(trail.Call{
				Principal: rule.Role, Action: "states:StartExecution", Resource: machine.Unqualified(), Status: status,
				Context: map[string]string{"states:StateMachineQualifier": machine.Qualifier(), "aws:ResourceAccount": of.Account()},
			})
		}
	}
}

// ask calls moto's Step Functions.
func (f *Front) ask(operation string, input map[string]any, output any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encode %s: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Engine.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", operation, err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "AWSStepFunctions."+operation)
	arn, _ := input["executionArn"].(contract.ExecutionARN)
	region := contract.ARN(arn).Region()
	if machine, ok := input["stateMachineArn"].(string); ok {
		region = contract.ARN(machine).Region()
	}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=events/20260101/"+region+"/states/aws4_request, SignedHeaders=host, Signature=none")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", operation, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, text)
	}
	if err == nil && output != nil {
		err = json.Unmarshal(text, output)
	}
	if err != nil {
		return fmt.Errorf("ask for %s: %w", operation, err)
	}
	return nil
}
