package awsfront

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// filterLogEvents returns the events of the log group of a stack's functions, from their log files. It ignores filter patterns and has one page.
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
	stack, ok := strings.CutPrefix(request.LogGroupName, "/aws/lambda/")
	files, err := filepath.Glob(filepath.Join(f.Logs, filepath.Base(stack)+"-*.log"))
	if !ok || err != nil || len(files) == 0 {
		return &apiError{http.StatusBadRequest, "ResourceNotFoundException", "The specified log group does not exist."}
	}
	events := []logEvent{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return &apiError{http.StatusInternalServerError, "ServiceUnavailableException", err.Error()}
		}
		for _, e := range logEvents(string(text)) {
			if e.Timestamp >= request.StartTime {
				events = append(events, e)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b logEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	writeJSON(w, http.StatusOK, map[string]any{"events": events})
	return nil
}

type logEvent struct {
	Message   string `json:"message"`
	Timestamp int64  `json:"timestamp"`
}

// logEvents reads the lines of a log. A line without a time gets the time of the line before it.
func logEvents(text string) []logEvent {
	var events []logEvent
	var at int64
	for line := range strings.Lines(text) {
		var timed struct{ Time time.Time }
		if json.Unmarshal([]byte(line), &timed) == nil && !timed.Time.IsZero() {
			at = timed.Time.UnixMilli()
		}
		events = append(events, logEvent{strings.TrimSuffix(line, "\n"), at})
	}
	return events
}
