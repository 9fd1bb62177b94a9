package awsfront

import (
	"encoding/json"
	"net/http"
	"strings"
)

// startExecution gives an execution a name if it has none, as Step Functions does, and forwards the request: moto (5.2.5) would name it
// "None", and treat the next one as the same execution. An alias is replaced by its state machine, which has only one version here.
func (f *Front) startExecution(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	setBody(r, completed(body))
	f.engine.ServeHTTP(w, r)
	return nil
}

// completed adds a name to the request if it has none, and removes the alias from the state machine's ARN. If the body is not a JSON
// object, it stays unchanged, and moto refuses it.
func completed(body []byte) []byte {
	var request map[string]json.RawMessage
	if err := json.Unmarshal(body, &request); err != nil || request == nil {
		return body
	}
	if name, ok := request["name"]; !ok || string(name) == "null" {
		request["name"] = json.RawMessage(`"` + uuid() + `"`)
	}
	var machine string
	if err := json.Unmarshal(request["stateMachineArn"], &machine); err == nil {
		request["stateMachineArn"], _ = json.Marshal(unqualified(machine)) // a string
	}
	changed, err := json.Marshal(request)
	if err != nil {
		return body
	}
	return changed
}

// unqualified returns the ARN of a state machine, arn:PARTITION:states:REGION:ACCOUNT:stateMachine:NAME, without an alias or a version.
func unqualified(machine string) string {
	const parts = 7
	all := strings.SplitN(machine, ":", parts+1)
	return strings.Join(all[:min(parts, len(all))], ":")
}
