// Package asl interprets definitions in the Amazon States Language in this process, as far as those of this repository use it: so a test
// has the machine itself in a bubble of testing/synctest, whose clock does not wait, and its tasks in its own hands. A field, a state, a
// path or a function that it does not know is an error, never skipped. What AWS bounds is bounded: what passes between two states.
//
// https://states-language.net/
package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Machine is a definition.
type Machine struct {
	Comment, StartAt string
	// TimeoutSeconds is how long an execution may take; 0 for as long as it likes.
	TimeoutSeconds float64
	States         map[string]state
	// ProcessorConfig is of the machine of a Map.
	ProcessorConfig *struct{ Mode, ExecutionType string }
}

type state struct {
	Type, Comment, Next                   string
	End                                   bool
	InputPath, OutputPath, ResultPath     *string
	Parameters, ResultSelector            map[string]any
	Resource                              string
	TimeoutSeconds, Seconds               float64
	TimeoutSecondsPath, SecondsPath       string
	Choices                               []rule
	Default                               string
	Branches                              []Machine
	Retry                                 []retrier
	Catch                                 []catcher
	Error, Cause, ErrorPath, CausePath    string
	Label, ItemsPath, MaxConcurrencyPath  string
	ItemReader                            *itemReader
	ItemSelector                          map[string]any
	ItemProcessor                         *Machine
	MaxConcurrency, ToleratedFailureCount int
}

type itemReader struct {
	Resource     string
	ReaderConfig struct{ InputType string }
	Parameters   map[string]any
}

type rule struct {
	And, Or            []rule
	Not                *rule
	Variable           string
	BooleanEquals      *bool
	IsNull             *bool
	StringEquals       *string
	StringMatches      *string
	NumericGreaterThan *float64
	Next, Comment      string
}

type retrier struct {
	Comment                                       string
	ErrorEquals                                   []string
	IntervalSeconds, MaxDelaySeconds, BackoffRate *float64
	MaxAttempts                                   *int
	JitterStrategy                                string
}

type catcher struct {
	Comment     string
	ErrorEquals []string
	ResultPath  *string
	Next        string
}

// fields are those of each type of state, besides Type and Comment.
var fields = map[string][]string{
	"Choice": {"Choices", "Default"},
	"Fail":   {"Error", "Cause", "ErrorPath", "CausePath"},
	"Map": {
		"Label", "ItemsPath", "ItemReader", "ItemSelector", "ItemProcessor", "MaxConcurrency", "MaxConcurrencyPath", "ToleratedFailureCount",
		"ResultSelector", "ResultPath", "OutputPath", "Retry", "Catch", "Next", "End",
	},
	"Parallel": {"Branches", "ResultSelector", "ResultPath", "OutputPath", "Retry", "Catch", "Next", "End"},
	"Pass":     {"InputPath", "Parameters", "ResultPath", "OutputPath", "Next", "End"},
	"Task":     {"Resource", "Parameters", "TimeoutSeconds", "TimeoutSecondsPath", "ResultSelector", "ResultPath", "OutputPath", "Retry", "Catch", "Next", "End"},
	"Wait":     {"Seconds", "SecondsPath", "Next", "End"},
}

// Read reads a definition, and refuses what this package does not know.
func Read(text []byte) (Machine, error) {
	var m Machine
	if err := strictly(text, &m); err != nil {
		return Machine{}, err
	}
	return m, m.check()
}

// Waits reports whether a state is a Wait.
func (m Machine) Waits(state string) bool { return m.States[state].Type == "Wait" }

func strictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// UnmarshalJSON reads a state that has no field but those of its type.
func (s *state) UnmarshalJSON(text []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	type plain state // without this method
	if err := strictly(text, (*plain)(s)); err != nil {
		return err
	}
	known, ok := fields[s.Type]
	if !ok {
		return fmt.Errorf("a state of type %q is not known here", s.Type)
	}
	for _, field := range slices.Sorted(maps.Keys(given)) {
		if string(given[field]) == "null" {
			return fmt.Errorf("null of the field %s is not known here", field)
		}
		if field != "Type" && field != "Comment" && !slices.Contains(known, field) {
			return fmt.Errorf("the field %s of a %s is not known here", field, s.Type)
		}
	}
	return nil
}

// check finds what a definition says that this package could not do.
func (m Machine) check() error {
	var problems []error
	leads := func(from, to string) {
		if _, ok := m.States[to]; !ok {
			problems = append(problems, fmt.Errorf("%s leads to %q, which is no state", from, to))
		}
	}
	leads("StartAt", m.StartAt)
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		s := m.States[name]
		for _, err := range s.check() {
			problems = append(problems, fmt.Errorf("state %s: %w", name, err))
		}
		switch {
		case s.Type == "Choice":
			if s.Default != "" {
				leads(name, s.Default)
			}
			for _, r := range s.Choices {
				leads(name, r.Next)
			}
		case s.Type == "Fail":
		case s.End == (s.Next != ""):
			problems = append(problems, fmt.Errorf("state %s has not one of Next and End", name))
		case !s.End:
			leads(name, s.Next)
		}
		for _, c := range s.Catch {
			leads(name, c.Next)
		}
	}
	return errors.Join(problems...)
}

func (s state) check() []error {
	var problems []error
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	for _, template := range []map[string]any{s.Parameters, s.ResultSelector, s.ItemSelector} {
		add(checkTemplate(template))
	}
	for _, path := range []*string{s.InputPath, s.OutputPath, s.ResultPath, &s.TimeoutSecondsPath, &s.SecondsPath, &s.ErrorPath, &s.CausePath, &s.ItemsPath, &s.MaxConcurrencyPath} {
		if path != nil && *path != "" {
			_, err := parse(*path)
			add(err)
		}
	}
	for _, r := range s.Choices {
		add(r.check())
	}
	for _, branch := range s.Branches {
		add(branch.check())
	}
	switch {
	case s.Type == "Task" && !strings.Contains(s.Resource, serviceOf):
		add(fmt.Errorf("the resource %q is not known here", s.Resource))
	case s.Type == "Parallel" && len(s.Branches) != 1:
		add(errors.New("a Parallel of several branches is not known here"))
	case s.Type == "Map":
		add(s.checkMap())
	}
	return problems
}

func (s state) checkMap() error {
	switch reader := s.ItemReader; {
	case s.ItemProcessor == nil, s.ItemProcessor.ProcessorConfig == nil, s.ItemProcessor.ProcessorConfig.Mode != "DISTRIBUTED", s.ItemProcessor.ProcessorConfig.ExecutionType != "STANDARD":
		return errors.New("a Map that is not DISTRIBUTED, of STANDARD executions, is not known here")
	case (s.ItemsPath != "") == (reader != nil):
		return errors.New("a Map has not one of ItemsPath and ItemReader")
	case reader != nil && (!strings.HasSuffix(reader.Resource, serviceOf+"s3:getObject") || reader.ReaderConfig.InputType != "JSON"):
		return errors.New("an ItemReader of anything but an array of JSON in S3 is not known here")
	case reader != nil:
		if err := checkTemplate(reader.Parameters); err != nil {
			return err
		}
	}
	return s.ItemProcessor.check()
}

func (r rule) check() error {
	n := 0
	for _, given := range []bool{r.And != nil, r.Or != nil, r.Not != nil, r.BooleanEquals != nil, r.IsNull != nil, r.StringEquals != nil, r.StringMatches != nil, r.NumericGreaterThan != nil} {
		if given {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("a rule about %q compares %d times, and not once", r.Variable, n)
	}
	for _, nested := range slices.Concat(r.And, r.Or) {
		if err := nested.check(); err != nil {
			return err
		}
	}
	if r.Not != nil {
		return r.Not.check()
	}
	if r.Variable == "" {
		return nil
	}
	_, err := parse(r.Variable)
	return err
}
