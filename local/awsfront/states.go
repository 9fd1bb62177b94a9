package awsfront

import (
	"encoding/json"
	"net/http"
	"strings"
)

// startExecution gives an execution without a name one, as Step Functions does, and passes it on. moto (5.2.5) calls it "None" otherwise, and
// takes the next one for the same execution. The ARN of an alias stands for its state machine, since only the latest version is here.
func (f *Front) startExecution(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	setBody(r, completed(body))
	f.engine.ServeHTTP(w, r)
	return nil
}

// completed adds a name to the request where there is none, and takes an alias off the state machine's ARN. What is no JSON object stays as
// it is, for the engine to refuse.
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

// unqualified is the ARN of a state machine, arn:PARTITION:states:REGION:ACCOUNT:stateMachine:NAME, without what may follow.
func unqualified(machine string) string {
	const parts = 7
	all := strings.SplitN(machine, ":", parts+1)
	return strings.Join(all[:min(parts, len(all))], ":")
}
