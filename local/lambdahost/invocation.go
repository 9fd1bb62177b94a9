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

const (
	// unhandled is the only FunctionError of today's runtimes.
	unhandled = "Unhandled"

	// logTailSize is how much of the log X-Amz-Log-Type: Tail gives.
	logTailSize = 4 << 10
)

// invocation is one run of a function, and what is known of it.
type invocation struct {
	id          string
	cold        bool
	init        time.Duration
	initOutput  []byte
	duration    time.Duration
	output      []byte
	answer      answer
	failure     *failure // why the environment is not to be used again
	maxMemoryMB int
}

// failure is an end of a runtime that Lambda words.
type failure struct {
	errorType string
	message   string
}

// answer is what the caller gets, as Lambda writes it.
func (f failure) answer(requestID string) answer {
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
	return answer{payload: payload, functionError: unhandled}
}

// run waits for a new environment to be ready, and then has it handle the event. Lambda initialises once more, within the function's
// time, when a first attempt fails; here the first attempt's failure is the answer.
func (i *invocation) run(e *environment, payload []byte, initTimeout time.Duration) {
	if i.cold {
		began := time.Now()
		i.failure = e.wait(initTimeout)
		i.init = time.Since(began)
	}
	i.initOutput = e.output.rest()
	if i.failure == nil {
		began := time.Now()
		e.api.hand(event{id: i.id, payload: payload, deadline: began.Add(e.function.Timeout)})
		i.failure = e.wait(e.function.Timeout)
		i.duration = time.Since(began)
	}
	i.output = e.output.rest()
	i.maxMemoryMB = e.maxMemoryMB
	if given := e.api.answered(); given != nil {
		i.answer = *given
	} else {
		i.answer = i.failure.answer(i.id)
	}
}

// log is what CloudWatch would show of the invocation.
func (i *invocation) log(f Function, now time.Time) []byte {
	var b bytes.Buffer
	writeLines(&b, i.initOutput)
	if i.cold && i.failure != nil && i.duration == 0 {
		fmt.Fprintf(&b, "INIT_REPORT Init Duration: %s\tPhase: init\tStatus: %s\tError Type: %s\n", milliseconds(i.init), i.failure.status(), i.failure.errorType)
	}
	fmt.Fprintf(&b, "START RequestId: %s Version: $LATEST\n", i.id)
	writeLines(&b, i.output)
	if i.failure != nil && i.failure.message != "" {
		if i.failure.status() == "timeout" {
			fmt.Fprintf(&b, "%s %s %s\n\n", now.UTC().Format("2006-01-02T15:04:05.000Z"), i.id, i.failure.message)
		} else {
			fmt.Fprintf(&b, "RequestId: %s Error: %s\n%s\n", i.id, i.failure.message, i.failure.errorType)
		}
	}
	billed := math.Ceil((i.init + i.duration).Seconds() * 1000)
	fmt.Fprintf(&b, "END RequestId: %s\n", i.id)
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %s\tBilled Duration: %.0f ms\tMemory Size: %d MB\tMax Memory Used: %d MB",
		i.id, milliseconds(i.duration), billed, f.MemoryMB, i.maxMemoryMB)
	if i.cold {
		fmt.Fprintf(&b, "\tInit Duration: %s", milliseconds(i.init))
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

// appendFile writes the block as a whole, so that invocations that run at the same time stay apart.
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

// traceID names a trace that is not sampled: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func traceID(now time.Time) string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", now.Unix(), b[:12], b[12:])
}
