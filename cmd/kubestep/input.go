package main

import (
	"bytes"
	"encoding/json"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/documents"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/workflows"
)

// Everybody who may read an execution reads its input, for 90 days. So the command reads an
// input with the functions' own readers, and starts nothing that they would refuse: above
// all a Secret, which is in the history as soon as the execution starts. What depends on
// parameters of the stack, such as a default cluster, is the functions' to say.

// someCluster is in the place of the stack's default cluster, which there may be.
const someCluster = "default"

// requestChecks find in a request what is left to a later state of the workflow.
func requestChecks() map[string]func(*input.Fields, any) {
	return map[string]func(*input.Fields, any){
		applymanifests.Name: manifests.CheckInline(manifests.Rules{AnyKind: true}),
		runjob.Name:         jobs.CheckInline,
	}
}

// readInput returns why the machine would refuse an input of an execution; nil if it would not.
func (m machine) readInput(execution contract.ExecutionARN, document json.RawMessage) error {
	if m.check != nil {
		return m.check(execution, document)
	}
	if !m.OnOneCluster() {
		return nil
	}
	fields := input.Read(document, `{"clusterName": "demo"}`)
	input.Target(fields, contract.Target{ClusterName: someCluster, Region: contract.ARN(execution).Region()})
	request, _ := m.Reader(func(string) string { return "" })(fields)
	if check := requestChecks()[m.Name]; check != nil {
		check(fields, request)
	}
	return fields.Err() //nolint:wrapcheck // it is about the input already
}

func checkFleet(execution contract.ExecutionARN, document json.RawMessage) error {
	checks := requestChecks()
	checks[runjob.Name] = jobs.CheckInFleet
	return fleet.Check(execution, document, workflows.All(), checks) //nolint:wrapcheck // it is about the input already
}

// withoutComments is an input whose manifests, which a path of keys leads to, are the objects
// alone if they may have comments: one may be a Secret that was commented out. It is the
// same if it cannot be read, which is said elsewhere.
func withoutComments(document json.RawMessage, path ...string) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(document, &members) != nil {
		return document
	}
	value := members[path[0]]
	if len(path) > 1 {
		members[path[0]] = withoutComments(value, path[1:]...)
	} else if text, ok := documents.Unquote(value); ok && bytes.Contains(text, []byte("#")) {
		objects, err := manifests.Read(text, rules("default"))
		if err != nil {
			return document
		}
		members[path[0]], _ = encode(textOf(objects)) // a string encodes
	}
	if bytes.Equal(members[path[0]], value) {
		return document
	}
	shorter, err := encode(members)
	if err != nil {
		return document
	}
	return shorter
}
