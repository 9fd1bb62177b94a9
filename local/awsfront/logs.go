package awsfront

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// filterLogEvents answers for the log groups of functions from their files. Filter patterns and pages it does not know.
func (f *Front) filterLogEvents(w http.ResponseWriter, r *http.Request, _ call) *apiError {
	body, err := readBody(r)
	if err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	var request struct {
		LogGroupName string `json:"logGroupName"`
		StartTime    int64  `json:"startTime"` // in milliseconds
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	function, ok := strings.CutPrefix(request.LogGroupName, "/aws/lambda/")
	text, err := os.ReadFile(filepath.Join(f.Logs, filepath.Base(function)+".log"))
	if !ok || err != nil {
		return &apiError{http.StatusBadRequest, "ResourceNotFoundException", "The specified log group does not exist."}
	}
	type event struct {
		Message   string `json:"message"`
		Timestamp int64  `json:"timestamp"`
	}
	events := []event{}
	var at int64
	for line := range strings.Lines(string(text)) {
		// A line that does not tell its time is of the time of the one before it.
		var timed struct{ Time time.Time }
		if json.Unmarshal([]byte(line), &timed) == nil && !timed.Time.IsZero() {
			at = timed.Time.UnixMilli()
		}
		if at >= request.StartTime {
			events = append(events, event{strings.TrimSuffix(line, "\n"), at})
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"events": events})
	return nil
}
