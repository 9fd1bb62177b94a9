package statemachine

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
)

type inner struct {
	A int `json:"a"`
	B int `json:"b"`
}

type held struct {
	Name    string          `json:"name"`
	Count   int             `json:"count"`
	Request json.RawMessage `json:"request"`
	Inner   inner           `json:"inner"`
}

func TestAPayloadIsCopiedFromTheDocument(t *testing.T) {
	type part struct {
		B int `json:"b"`
	}
	type payload struct {
		contract.Session
		Name    string          `json:"name"`
		Of      int             `json:"of" path:"$.inner.a"`
		Inner   part            `json:"inner"`
		Request json.RawMessage `json:"request"`
		Set     bool            `json:"set"`
		Made    string          `json:"made"`
		Text    string          `json:"text"`
		Other   int             `json:"other"`
	}
	type document struct {
		contract.Document
		held
	}
	assert.Equal(t, Object{
		"execution.$": "$$.Execution.Id", "cluster.$": "$.cluster", "token.$": "$.token", "name.$": "$.name", "of.$": "$.inner.a",
		"inner": Object{"b.$": "$.inner.b"}, "request.$": "$.request", "set": true, "made.$": "States.Format('{}', $.name)",
		"text.$": "States.JsonToString($.inner)", "other.$": "$.inner.b",
	}, documentOf[document]().copied(reflect.TypeFor[payload](), Object{"set": true, "made.$": "States.Format('{}', $.name)", "text.$": "States.JsonToString($.inner)", "other.$": "$.inner.b"}))
}

func TestAMachineThatItsTypesDoNotMakeIsNotMade(t *testing.T) {
	type named struct {
		Name string `json:"name"`
	}
	for why, make := range map[string]func(){
		"the document has no such field": func() {
			documentOf[held]().copied(reflect.TypeFor[struct {
				Other string `json:"other"`
			}](), nil)
		},
		"the field has another type": func() {
			documentOf[held]().copied(reflect.TypeFor[struct {
				Name int `json:"name"`
			}](), nil)
		},
		"the path leads nowhere": func() {
			documentOf[held]().copied(reflect.TypeFor[struct {
				Name string `json:"name" path:"$.inner.c"`
			}](), nil)
		},
		"the payload may lack the field": func() {
			documentOf[held]().copied(reflect.TypeFor[struct {
				Name string `json:"name,omitempty"`
			}](), nil)
		},
		"what is set is no field":      func() { documentOf[held]().copied(reflect.TypeFor[named](), Object{"other": 1}) },
		"what is set has another type": func() { documentOf[held]().copied(reflect.TypeFor[named](), Object{"name": 1}) },
		"what is formatted is no string": func() {
			documentOf[held]().copied(reflect.TypeFor[named](), Object{"name.$": "States.Format('{}', $.count)"})
		},
		"what is copied has another type": func() {
			documentOf[held]().copied(reflect.TypeFor[named](), Object{"name.$": "$.count"})
		},
		"the result goes to a field of another type": func() {
			invoke(documentOf[held](), contract.Function[named, named]("X"), State{ResultPath: "$.inner"})
		},
		"the result lays down what the document has not": func() {
			invoke(documentOf[inner](), contract.Function[struct{}, named]("X"), State{ResultPath: "$"})
		},
	} {
		assert.Panics(t, make, why)
	}
}
