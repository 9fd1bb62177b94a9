package statemachine

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/kubestep/kubestep/internal/contract"
)

// invoke makes a state a Task that invokes a function, with the retries that every
// function has. template.yml substitutes the function's ARN.
//
// The payload is copied from the document, but for what s.Parameters sets. All of the
// result goes to s.ResultPath: to a field of the document that has its type or, at "$",
// to fields of the document, beside what s.ResultSelector sets.
//
// The resource is lambda:invoke and not the function's ARN: AWS advises it, and only
// there are Lambda's errors named alike by Step Functions and the local engine.
func invoke[In, Out any](of document, function contract.Function[In, Out], s State) State {
	const payload = "$.Payload"
	s.Type = Task
	s.Resource = "arn:${AWSPartition}:states:::lambda:invoke"
	s.Sends, s.Receives = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	s.Parameters = Object{"FunctionName": "${" + string(function) + "FunctionArn}", "Payload": of.copied(s.Sends, s.Parameters)}
	s.Retry = taskRetries()
	if s.OutputPath != "" {
		source{payload, s.Receives}.at(s.OutputPath)
		return s // it is what the state leaves
	}
	leaves, laid := source{"$", of.leaves}, s.ResultSelector
	s.ResultSelector = source{payload, s.Receives}.copied(s.Receives, nil)
	if s.ResultPath != "$" {
		if at := leaves.at(s.ResultPath); at != s.Receives {
			panic(fmt.Sprintf("%s answers a %s, and %s is a %s", function, s.Receives, s.ResultPath, at))
		}
		return s
	}
	for key, value := range laid {
		mustHave(of.leaves, key)
		s.ResultSelector[key] = value
	}
	for _, f := range fields(s.Receives) {
		if at := mustHave(of.leaves, f.name); at != f.Type && f.Type != raw {
			panic(fmt.Sprintf("%s answers %s, a %s, which is a %s in the document", function, f.name, f.Type, at))
		}
	}
	return s
}

// await makes a state a Task that invokes a function and then waits until somebody sends a
// result with the task token that its payload has. The result goes to s.ResultPath.
// https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
func await[Result, In, Out any](of document, function contract.Function[In, Out], s State) State {
	s.Type = Task
	s.Resource = "arn:${AWSPartition}:states:::lambda:invoke.waitForTaskToken"
	s.Sends, s.Receives = reflect.TypeFor[In](), reflect.TypeFor[Result]()
	s.Parameters = Object{"FunctionName": "${" + string(function) + "FunctionArn}", "Payload": of.copied(s.Sends, nil)}
	if at := (source{"$", of.leaves}).at(s.ResultPath); at != s.Receives {
		panic(fmt.Sprintf("%s is resumed with a %s, and %s is a %s", function, s.Receives, s.ResultPath, at))
	}
	// A timeout is no crash: nobody sent a result.
	for _, r := range taskRetries() {
		r.ErrorEquals = slices.DeleteFunc(r.ErrorEquals, func(name string) bool { return name == timeout })
		s.Retry = append(s.Retry, r)
	}
	return s
}

// output is the state that makes the output of the document.
func output[T any](of document, comment string) State {
	return State{Name: "Output", Type: Pass, Comment: comment, Parameters: of.copied(reflect.TypeFor[T](), nil), End: true}
}
