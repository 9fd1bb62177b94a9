package statemachine_test

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/cluster"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/internal/readiness"
	mint "github.com/kubestep/kubestep/internal/token"
	"github.com/kubestep/kubestep/statemachine"
)

// function is a Lambda function: its payload, its result and its folder.
type function struct {
	in, out reflect.Type
	folder  string
}

// of reads a function from the method that handles it, such as (pods.Lister).List.
func of[T, In, Out any](_ func(T, context.Context, In) (Out, error), folder string) function {
	return function{reflect.TypeFor[In](), reflect.TypeFor[Out](), folder}
}

// functions are all functions, by the state that invokes them. The same name is used everywhere: list-pods, ListPods,
// ListPodsFunction, pods.List.
var functions = map[string]function{
	"DescribeCluster": of((*cluster.Describer).Describe, "describe-cluster"),
	"MintToken":       of(mint.Minter.Mint, "mint-token"),
	"VerifyRBAC":      of(access.Verifier.Verify, "verify-rbac"),
	"ListPods":        of(pods.Lister.List, "list-pods"),
	"FindClusters":    of(fleet.Finder.Find, "find-clusters"),
	"RecordOutcome":   of(fleet.Recorder.Record, "record-outcome"),
	"Summarize":       of(fleet.Summarizer.Summarize, "summarize"),

	"LoadManifests":  of(manifests.Source.Load, "load-manifests"),
	"VerifyApply":    of(manifests.Applier.Verify, "verify-apply"),
	"PlanManifests":  of(manifests.Applier.Plan, "plan-manifests"),
	"ApplyManifests": of(manifests.Applier.Apply, "apply-manifests"),
	"CheckReadiness": of(readiness.Checker.Check, "check-readiness"),
}

// documents are the types of each machine's document, and of its output.
var documents = map[string]struct{ document, output any }{
	"pod-inventory": {
		document: struct {
			Target    contract.Target         `json:"target"`
			Request   podinventory.Request    `json:"request"`
			Checks    []contract.Check        `json:"checks"`
			Cluster   contract.Cluster        `json:"cluster"`
			Refreshed bool                    `json:"refreshed"`
			Progress  string                  `json:"progress"`
			Token     contract.Token          `json:"token"`
			Access    contract.VerifiedAccess `json:"access"`
			Pods      podinventory.Listing    `json:"pods"`
		}{},
		output: podinventory.Output{},
	},
	"fleet": {
		document: struct {
			Fleet   contractfleet.Fleet `json:"fleet"`
			Request json.RawMessage     `json:"request"`
			Run     contractfleet.Run   `json:"run"`
			// The other fields of an item.
			Cluster contractfleet.Cluster         `json:"cluster"`
			Result  contractfleet.ExecutionResult `json:"result"`
		}{},
		output: contractfleet.Output{},
	},
	"apply-manifests": {
		document: struct {
			Target    contract.Target                `json:"target"`
			Request   applymanifests.Request         `json:"request"`
			Checks    []contract.Check               `json:"checks"`
			Cluster   contract.Cluster               `json:"cluster"`
			Refreshed bool                           `json:"refreshed"`
			Progress  string                         `json:"progress"`
			Manifests applymanifests.LoadedManifests `json:"manifests"`
			Token     contract.Token                 `json:"token"`
			Access    applymanifests.VerifiedApply   `json:"access"`
			Plan      applymanifests.Plan            `json:"plan"`
			Apply     applymanifests.Applied         `json:"apply"`
			Readiness applymanifests.Readiness       `json:"readiness"`
		}{},
		output: applymanifests.Output{},
	},
}

// replaced are the types with which a Map replaces its items.
var replaced = map[reflect.Type]reflect.Type{reflect.TypeFor[contractfleet.Run](): reflect.TypeFor[contractfleet.Ran]()}

// field returns the type of the field with that name in JSON, or nil.
func field(t reflect.Type, name string) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, f := range reflect.VisibleFields(t) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key == name {
			return f.Type
		}
	}
	return nil
}

// fields returns the names in JSON of a type's fields.
func fields(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" {
			names = append(names, key)
		}
	}
	return names
}

// at returns the type of what a path selects in a value of the type.
func at(t *testing.T, in reflect.Type, path string) reflect.Type {
	t.Helper()
	keys := strings.Split(path, ".")
	require.Equal(t, "$", keys[0], path)
	for _, key := range keys[1:] {
		in = field(in, key)
		require.NotNil(t, in, "%s: there is no %s", path, key)
	}
	return in
}

// raw is JSON that the function itself reads, with any fields.
var raw = reflect.TypeFor[json.RawMessage]()

// executions are the fields of the context object that a payload may have.
var executions = map[string]reflect.Type{"$$.Execution.Id": reflect.TypeFor[string](), "$$.Execution.StartTime": reflect.TypeFor[time.Time](), "$$.Execution.Input": raw, "$$.State.RetryCount": reflect.TypeFor[int]()}

func TestEveryPayloadIsWhatTheFunctionTakesAndEveryResultWhatItAnswers(t *testing.T) {
	for name, m := range statemachine.Machines() {
		require.Contains(t, documents, name)
		document := reflect.TypeOf(documents[name].document)
		for name, s := range invocations(m) {
			t.Run(name, func(t *testing.T) {
				called := strings.TrimSuffix(strings.TrimPrefix(s.Parameters["FunctionName"].(string), "${"), "FunctionArn}")
				require.Contains(t, functions, called)
				f := functions[called]

				payload := s.Parameters["Payload"].(statemachine.Object)
				var sent []string
				for key, value := range payload {
					key, isPath := strings.CutSuffix(key, ".$")
					sent = append(sent, key)
					want, path := field(f.in, key), ""
					require.NotNil(t, want, "the function takes no %s", key)
					if isPath {
						path = value.(string)
					}
					switch {
					case !isPath:
						assert.Equal(t, want, reflect.TypeOf(value), key)
					case strings.HasPrefix(path, "States.Format("):
						assert.Equal(t, want, reflect.TypeFor[string](), key)
						for _, path := range regexp.MustCompile(`\$[\w.]+`).FindAllString(path, -1) {
							assert.Equal(t, reflect.TypeFor[string](), at(t, document, path), key)
						}
					case executions[path] != nil:
						assert.Equal(t, want, executions[path], key)
					default:
						sent := at(t, document, path)
						assert.True(t, want == sent || want == raw || want == replaced[sent], "%s is sent %s, a %s", key, path, sent)
					}
				}
				assert.ElementsMatch(t, fields(f.in), sent)

				if s.OutputPath == "$.Payload" {
					return // all of it
				}
				var taken []string
				for key, value := range s.ResultSelector {
					if key, isPath := strings.CutSuffix(key, ".$"); isPath {
						assert.Equal(t, "$.Payload."+key, value)
						taken = append(taken, key)
						if s.ResultPath == "$" {
							answered := field(f.out, key)
							assert.True(t, field(document, key) == answered || answered == raw, "%s is answered, a %s", key, answered)
						}
					} else {
						assert.NotNil(t, field(document, key), "the document has no %s", key)
					}
				}
				assert.ElementsMatch(t, fields(f.out), taken)
				if s.ResultPath != "$" {
					assert.Equal(t, f.out, at(t, document, s.ResultPath))
				}
			})
		}
	}
}

func TestTheDocumentBeginsWithEveryKeyThatAStateReadsBeforeItIsWritten(t *testing.T) {
	for name, m := range statemachine.Machines() {
		begun := all(m)[m.StartAt].ResultSelector
		document := reflect.TypeOf(documents[name].document)
		for _, key := range fields(document) {
			_, copied := begun[key+".$"]
			_, laid := begun[key]
			written := false
			for _, s := range invocations(m) {
				written = written || s.ResultPath == "$."+key
			}
			for _, s := range m.States {
				_, copied := s.ItemSelector[key+".$"]
				_, laid := s.ItemSelector[key]
				written = written || copied || laid
			}
			assert.True(t, copied || laid || written, "%s has no %s", name, key)
		}
		var check func(state string, rules []statemachine.Rule)
		check = func(state string, rules []statemachine.Rule) {
			for _, rule := range rules {
				for _, path := range []string{rule.Variable, rule.NumericLessThanPath, rule.NumericGreaterThanPath, rule.NumericGreaterThanEqualsPath, rule.TimestampLessThanPath} {
					if path != "" {
						assert.NotNil(t, at(t, document, path), state)
					}
				}
				check(state, rule.And)
				check(state, rule.Or)
			}
		}
		for _, s := range all(m) {
			check(s.Name, s.Choices)
		}
	}
}

func TestTheOutputIsWhatTheContractSays(t *testing.T) {
	for name, m := range statemachine.Machines() {
		document := reflect.TypeOf(documents[name].document)
		var check func(reflect.Type, statemachine.Object)
		check = func(want reflect.Type, template statemachine.Object) {
			var put []string
			for key, value := range template {
				key, isPath := strings.CutSuffix(key, ".$")
				put = append(put, key)
				if isPath {
					assert.Equal(t, field(want, key), at(t, document, value.(string)), key)
				} else {
					check(field(want, key), value.(statemachine.Object))
				}
			}
			assert.ElementsMatch(t, fields(want), put)
		}
		check(reflect.TypeOf(documents[name].output), all(m)["Output"].Parameters)
	}
}

func TestEveryFunctionIsInvokedAndItsMainOnlyWires(t *testing.T) {
	invoked := map[string]bool{}
	for _, m := range statemachine.Machines() {
		for _, s := range invocations(m) {
			invoked[s.Parameters["FunctionName"].(string)] = true
		}
	}
	assert.Len(t, invoked, len(functions))
	folders, err := filepath.Glob("../functions/*/main.go")
	require.NoError(t, err)
	assert.Len(t, folders, len(functions), "and no others")
	for name, f := range functions {
		assert.True(t, invoked["${"+name+"FunctionArn}"], name)
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join("../functions", f.folder, "main.go"), nil, 0)
		require.NoError(t, err)
		assert.LessOrEqual(t, files.Position(file.End()).Line, 40, "%s only wires", f.folder)
		var started string
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
				assert.Fail(t, "a main has no branches", f.folder)
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "Start" {
					started = n.Args[0].(*ast.BasicLit).Value
				}
			}
			return true
		})
		assert.Equal(t, `"`+name+`"`, started, "the metrics and the log name the state")
		assert.Equal(t, strings.ReplaceAll(f.folder, "-", ""), strings.ToLower(name))
	}
}
