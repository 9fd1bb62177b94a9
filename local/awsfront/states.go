package awsfront

import (
	"encoding/json"
	"net/http"

	"github.com/kubestep/kubestep/internal/contract"
)

// startExecution gives an execution a name if it has none, as Step Functions does, and forwards the request: moto (5.2.5) would name it
// "None", and treat the next one as the same execution.
func (f *Front) startExecution(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	return f.forward(w, r, func(request map[string]json.RawMessage) {
		if name, ok := request["name"]; !ok || string(name) == "null" {
			request["name"] = json.RawMessage(`"` + uuid() + `"`)
		}
	})
}

// listExecutions forwards the request. moto knows no aliases.
func (f *Front) listExecutions(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	return f.forward(w, r, func(map[string]json.RawMessage) {})
}

// forward forwards a request to moto after change, and without an alias.
func (f *Front) forward(w http.ResponseWriter, r *http.Request, change func(map[string]json.RawMessage)) *apiError {
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	setBody(r, changed(body, change))
	f.engine.ServeHTTP(w, r)
	return nil
}

// changed removes the alias from the state machine's ARN, which has only one version here, and then applies change. If the body is not a
// JSON object, it stays unchanged, and moto refuses it.
func changed(body []byte, change func(map[string]json.RawMessage)) []byte {
	var request map[string]json.RawMessage
	if err := json.Unmarshal(body, &request); err != nil || request == nil {
		return body
	}
	change(request)
	var machine string
	if err := json.Unmarshal(request["stateMachineArn"], &machine); err == nil {
		request["stateMachineArn"], _ = json.Marshal(contract.MachineARN(machine).Unqualified()) // a string
	}
	text, err := json.Marshal(request)
	if err != nil {
		return body
	}
	return text
}
