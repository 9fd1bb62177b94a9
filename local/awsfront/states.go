package awsfront

import (
	"encoding/json"
	"net/http"
)

// startExecution gives an execution without a name one, as Step Functions does, and passes it on. moto (5.2.5) calls it "None" otherwise, and
// takes the next one for the same execution.
func (f *Front) startExecution(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	setBody(r, named(body))
	f.engine.ServeHTTP(w, r)
	return nil
}

// named adds a name to the request where there is none. What is no JSON object stays as it is, for the engine to refuse.
func named(body []byte) []byte {
	var request map[string]json.RawMessage
	if err := json.Unmarshal(body, &request); err != nil || request == nil {
		return body
	}
	if name, ok := request["name"]; ok && string(name) != "null" {
		return body
	}
	request["name"] = json.RawMessage(`"` + uuid() + `"`)
	changed, err := json.Marshal(request)
	if err != nil {
		return body
	}
	return changed
}
