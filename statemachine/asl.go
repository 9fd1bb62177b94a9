// Package statemachine defines the state machines in Go, and the command in
// statemachine/definition writes them as the *.asl.json files that template.yml
// deploys. A machine is a value of the structs in asl.go, which have the fields of
// the Amazon States Language under their own names; what machines share, they share
// as Go values: retries, catchers, the try block and the way to fail.
//
// The language: https://states-language.net/spec.html and, for what only Step
// Functions has, https://docs.aws.amazon.com/step-functions/latest/dg/.
package statemachine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// Machine is a state machine.
type Machine struct {
	Comment        string `json:",omitempty"`
	StartAt        string
	TimeoutSeconds int `json:",omitempty"`
	States         States

	// Document is the type of the execution's data, and Output the type of its output.
	Document, Output reflect.Type `json:"-"`
}

// States are written as an object, in their order: the flow reads from top to bottom.
type States []State

// Object is a JSON object. In a payload template the value of a key that ends in ".$"
// is a path or an intrinsic function.
type Object map[string]any

// Type is what a state does.
type Type string

// The types of states.
const (
	Pass     Type = "Pass"
	Task     Type = "Task"
	Choice   Type = "Choice"
	Wait     Type = "Wait"
	Succeed  Type = "Succeed"
	Fail     Type = "Fail"
	Parallel Type = "Parallel"
	Map      Type = "Map"
)

// State is a state of any type, with the fields that its type has.
type State struct {
	// Name is the state's key in the object of states.
	Name    string `json:"-"`
	Type    Type
	Comment string `json:",omitempty"`

	// Of a Task.
	Resource string `json:",omitempty"`
	// Parameters are also a Pass's, a Parallel's and a Map's.
	Parameters     Object `json:",omitempty"`
	TimeoutSeconds int    `json:",omitempty"`
	// TimeoutSecondsPath is instead of it.
	TimeoutSecondsPath string `json:",omitempty"`
	// Sends and Receives are the types of the payload and the result of a function.
	Sends, Receives reflect.Type `json:"-"`

	// Of a Parallel.
	Branches []Branch `json:",omitempty"`

	// Of a Map.
	Label                          string         `json:",omitempty"`
	ItemsPath                      string         `json:",omitempty"`
	ItemReader                     *ItemReader    `json:",omitempty"`
	ItemSelector                   Object         `json:",omitempty"`
	MaxConcurrency                 int            `json:",omitempty"`
	MaxConcurrencyPath             string         `json:",omitempty"`
	ToleratedFailurePercentage     float64        `json:",omitempty"`
	ToleratedFailurePercentagePath string         `json:",omitempty"`
	ToleratedFailureCount          int            `json:",omitempty"`
	ToleratedFailureCountPath      string         `json:",omitempty"`
	ItemProcessor                  *ItemProcessor `json:",omitempty"`
	ResultWriter                   *ResultWriter  `json:",omitempty"`

	// Of a Pass.
	Result any `json:",omitempty"`

	// Of a Wait, one of them.
	Seconds       int    `json:",omitempty"`
	SecondsPath   string `json:",omitempty"`
	Timestamp     string `json:",omitempty"`
	TimestampPath string `json:",omitempty"`

	// Of a Choice.
	Choices []Rule `json:",omitempty"`
	Default string `json:",omitempty"`

	// Of a Fail.
	Error     string `json:",omitempty"`
	ErrorPath string `json:",omitempty"`
	Cause     string `json:",omitempty"`
	CausePath string `json:",omitempty"`

	// What passes in and out, and what happens then.
	InputPath      string    `json:",omitempty"`
	ResultSelector Object    `json:",omitempty"`
	ResultPath     string    `json:",omitempty"`
	OutputPath     string    `json:",omitempty"`
	Retry          []Retrier `json:",omitempty"`
	Catch          []Catcher `json:",omitempty"`
	Next           string    `json:",omitempty"`
	End            bool      `json:",omitempty"`
}

// Branch is a branch of a Parallel.
type Branch struct {
	StartAt string
	States  States
}

// Retrier says how to retry a state that failed with one of the errors.
type Retrier struct {
	Comment         string `json:",omitempty"`
	ErrorEquals     []string
	IntervalSeconds int
	MaxAttempts     int
	BackoffRate     float64
	MaxDelaySeconds int
	JitterStrategy  Jitter
}

// Jitter says whether a retry waits for all of its interval.
type Jitter string

const (
	// FullJitter waits for a random part of the interval, so that executions that
	// failed together do not retry together.
	FullJitter Jitter = "FULL"
	// NoJitter waits for all of it.
	NoJitter Jitter = "NONE"
)

// Catcher says where a state leads that failed with one of the errors.
type Catcher struct {
	Comment     string `json:",omitempty"`
	ErrorEquals []string
	ResultPath  string `json:",omitempty"`
	Next        string
}

// Rule is a rule of a Choice: one comparison of a variable, or several rules joined.
type Rule struct {
	Comment  string `json:",omitempty"`
	Variable string `json:",omitempty"`

	IsNull                       *bool    `json:",omitempty"`
	IsPresent                    *bool    `json:",omitempty"`
	BooleanEquals                *bool    `json:",omitempty"`
	StringEquals                 string   `json:",omitempty"`
	StringMatches                string   `json:",omitempty"`
	NumericEquals                *float64 `json:",omitempty"`
	NumericGreaterThan           *float64 `json:",omitempty"`
	NumericGreaterThanPath       string   `json:",omitempty"`
	NumericGreaterThanEqualsPath string   `json:",omitempty"`
	NumericLessThan              *float64 `json:",omitempty"`
	NumericLessThanPath          string   `json:",omitempty"`

	And []Rule `json:",omitempty"`
	Or  []Rule `json:",omitempty"`
	Not *Rule  `json:",omitempty"`

	// Next is absent from the rules inside And, Or and Not.
	Next string `json:",omitempty"`
}

// ItemReader reads the items of a distributed Map.
type ItemReader struct {
	Resource     string
	ReaderConfig Object `json:",omitempty"`
	Parameters   Object `json:",omitempty"`
}

// ItemProcessor is what a Map does with each item.
type ItemProcessor struct {
	ProcessorConfig *ProcessorConfig `json:",omitempty"`
	StartAt         string
	States          States

	// Document is the type of an item's data.
	Document reflect.Type `json:"-"`
}

// ProcessorConfig says where a Map runs: in the execution itself (INLINE) or in child
// executions (DISTRIBUTED).
type ProcessorConfig struct {
	Mode string
	// ExecutionType is the type of the child executions: STANDARD or EXPRESS.
	ExecutionType string `json:",omitempty"`
}

// ResultWriter writes the results of a distributed Map.
type ResultWriter struct {
	Resource   string
	Parameters Object `json:",omitempty"`
}

// MarshalJSON writes the states as an object in their order, which encoding/json has
// no type for.
func (s States) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, state := range s {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := encode(state.Name)
		if err != nil {
			return nil, err
		}
		value, err := encode(state)
		if err != nil {
			return nil, fmt.Errorf("state %s: %w", state.Name, err)
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// JSON is the definition as its file holds it.
func (m Machine) JSON() ([]byte, error) {
	compact, err := encode(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// encode writes "<" and "&" as they are, so that a sentence in a definition can be read.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return out.Bytes(), err
}
