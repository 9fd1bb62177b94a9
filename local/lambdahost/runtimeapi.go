package lambdahost

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxResponse is the largest response, according to Lambda's message about it. It is 100 bytes more than 6 MiB.
const maxResponse = 6291556

// runtimeAPI serves one environment. It has what aws-lambda-go calls, which never reports an error of initialization: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	address     string
	functionARN string
	server      *http.Server

	polled chan struct{} // holds one when the runtime asks for an event
	events chan event    // holds one until the runtime has fetched it

	mu      sync.Mutex
	current string // id of the event that has no result yet
	fetched bool   // whether the runtime has it
	answer  *answer
}

// event is the input of an invocation.
type event struct {
	id       string
	payload  []byte
	deadline time.Time
}

// answer is the result of an invocation.
type answer struct {
	payload       []byte
	functionError string
}

func listen(functionARN string) (*runtimeAPI, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // nothing to wait for on loopback
	if err != nil {
		return nil, fmt.Errorf("listen for its runtime: %w", err)
	}
	a := &runtimeAPI{
		address:     listener.Addr().String(),
		functionARN: functionARN,
		polled:      make(chan struct{}, 1),
		events:      make(chan event, 1),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.failure)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = a.server.Serve(listener) }()
	return a, nil
}

func (a *runtimeAPI) close() { _ = a.server.Close() }

// hand sends the runtime its next event.
func (a *runtimeAPI) hand(e event) {
	a.mu.Lock()
	a.current, a.fetched, a.answer = e.id, false, nil
	a.mu.Unlock()
	a.events <- e
}

// busy reports whether the runtime has not answered yet.
func (a *runtimeAPI) busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current != "" && a.answer == nil
}

// answered takes the answer to the current event; it is nil if there is none.
func (a *runtimeAPI) answered() *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.answer
	a.current, a.answer = "", nil
	return taken
}

func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	owes := a.fetched && a.current != "" && a.answer == nil
	a.mu.Unlock()
	if owes {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the current invocation has no answer yet")
		return
	}
	select {
	case a.polled <- struct{}{}:
	default:
	}
	select {
	case <-r.Context().Done():
	case e := <-a.events:
		a.mu.Lock()
		a.fetched = true
		a.mu.Unlock()
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Lambda-Runtime-Aws-Request-Id", e.id)
		header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
		header.Set("Lambda-Runtime-Invoked-Function-Arn", a.functionARN)
		_, _ = w.Write(e.payload)
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
		return
	}
	if len(payload) <= maxResponse {
		a.take(w, r.PathValue("id"), &answer{payload: payload})
		return
	}
	tooLarge := failure{
		errorType: "Function.ResponseSizeTooLarge",
		message:   fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse),
	}
	if a.settle(r.PathValue("id"), tooLarge.answer("")) {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", tooLarge.message)
	} else {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this is not the current invocation")
	}
}

func (a *runtimeAPI) failure(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
		return
	}
	a.take(w, r.PathValue("id"), &answer{payload: payload, functionError: unhandled})
}

// take accepts one answer to the invocation with that id.
func (a *runtimeAPI) take(w http.ResponseWriter, id string, given *answer) {
	if !a.settle(id, given) {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this is not the current invocation")
		return
	}
	accept(w)
}

func (a *runtimeAPI) settle(id string, given *answer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id != a.current || a.answer != nil {
		return false
	}
	a.answer = given
	return true
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuse(w http.ResponseWriter, status int, errorType, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": errorType, "errorMessage": message})
}
