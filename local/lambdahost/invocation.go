package lambdahost

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	smithyrand "github.com/aws/smithy-go/rand"
)

// unhandled is the only FunctionError of today's runtimes.
const unhandled = "Unhandled"

// invocation is one run of a function.
type invocation struct {
	Result
	initOutput []byte
	output     []byte
	failure    *failure // why the environment cannot be used again
}

// failure is an error that Lambda reports of a runtime.
type failure struct {
	errorType string
	message   string
}

// answer is the error as the caller gets it from Lambda.
func (f failure) answer(requestID string) *answer {
	message := f.message
	if requestID != "" {
		message = fmt.Sprintf("RequestId: %s Error: %s", requestID, f.message)
	}
	payload, err := json.Marshal(struct {
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}{f.errorType, message})
	if err != nil {
		panic(err) // two strings
	}
	return &answer{payload: payload, functionError: unhandled}
}

// run waits for a new environment to be ready, and then sends it the event. If initialization fails, Lambda tries it again within
// the function's time; here the first failure is the answer.
func (i *invocation) run(e *environment, payload []byte, initTimeout time.Duration) {
	if i.ColdStart {
		began := time.Now()
		i.failure = e.wait(initTimeout)
		i.Init = time.Since(began)
	}
	i.initOutput = e.output.rest()
	if i.failure == nil {
		began := time.Now()
		e.api.hand(event{id: i.RequestID, payload: payload, deadline: began.Add(e.function.Timeout)})
		i.failure = e.wait(e.function.Timeout)
		i.Duration = time.Since(began)
	}
	i.output = e.output.rest()
	i.MaxMemoryMB = e.maxMemoryMB
	given := e.api.answered()
	if given == nil {
		given = i.failure.answer(i.RequestID)
	}
	i.Payload, i.FunctionError = given.payload, given.functionError
}

// log returns what CloudWatch Logs would show of the invocation.
func (i *invocation) log(f Function, now time.Time) []byte {
	var b bytes.Buffer
	writeLines(&b, i.initOutput)
	if i.ColdStart && i.failure != nil && i.Duration == 0 {
		fmt.Fprintf(&b, "INIT_REPORT Init Duration: %s\tPhase: init\tStatus: %s\tError Type: %s\n", milliseconds(i.Init), i.failure.status(), i.failure.errorType)
	}
	fmt.Fprintf(&b, "START RequestId: %s Version: $LATEST\n", i.RequestID)
	writeLines(&b, i.output)
	if i.failure != nil {
		if i.failure.status() == "timeout" {
			fmt.Fprintf(&b, "%s %s %s\n\n", now.UTC().Format("2006-01-02T15:04:05.000Z"), i.RequestID, i.failure.message)
		} else {
			fmt.Fprintf(&b, "RequestId: %s Error: %s\n%s\n", i.RequestID, i.failure.message, i.failure.errorType)
		}
	}
	billed := math.Ceil((i.Init + i.Duration).Seconds() * 1000)
	fmt.Fprintf(&b, "END RequestId: %s\n", i.RequestID)
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %s\tBilled Duration: %.0f ms\tMemory Size: %d MB\tMax Memory Used: %d MB",
		i.RequestID, milliseconds(i.Duration), billed, f.MemoryMB, i.MaxMemoryMB)
	if i.ColdStart {
		fmt.Fprintf(&b, "\tInit Duration: %s", milliseconds(i.Init))
	}
	if i.failure != nil {
		fmt.Fprintf(&b, "\tStatus: %s", i.failure.status())
		if i.failure.status() == "error" {
			fmt.Fprintf(&b, "\tError Type: %s", i.failure.errorType)
		}
	}
	b.WriteString("\n")
	return b.Bytes()
}

func (f failure) status() string {
	if f.errorType == "Sandbox.Timedout" {
		return "timeout"
	}
	return "error"
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
}

func writeLines(b *bytes.Buffer, lines []byte) {
	b.Write(lines)
	if len(lines) > 0 && !bytes.HasSuffix(lines, []byte("\n")) {
		b.WriteByte('\n')
	}
}

// appendFile writes the block at once, so that the logs of concurrent invocations do not mix.
func appendFile(name string, block []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	_, err = file.Write(block)
	return errors.Join(err, file.Close())
}

// requestID is a random UUID, as Lambda names invocations.
func requestID() string {
	id, _ := smithyrand.NewUUID(rand.Reader).GetUUID() // crypto/rand never fails
	return id
}
