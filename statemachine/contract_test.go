package statemachine_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/workflows"
	"github.com/kubestep/kubestep/statemachine"
)

// folders returns the folders of functions/, by the names of the functions' states without capitals: the same name is
// used everywhere, list-pods, ListPods, ListPodsFunction, pods.List.
func folders(t *testing.T) map[string]string {
	t.Helper()
	mains, err := filepath.Glob("../functions/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, mains)
	found := map[string]string{}
	for _, main := range mains {
		folder := filepath.Base(filepath.Dir(main))
		found[strings.ReplaceAll(folder, "-", "")] = folder
	}
	return found
}

// function returns the name of the function that a state invokes.
func function(s statemachine.State) string {
	return strings.TrimSuffix(strings.TrimPrefix(s.Parameters["FunctionName"].(string), "${"), "FunctionArn}")
}

// The golden files are what the states pass to each other: a change of one of them is a change of the contract. They
// are in the folder testdata of the package that has the type.
func TestEveryMessageIsItsGoldenFileAndNothingElse(t *testing.T) {
	messages := map[string]reflect.Type{}
	add := func(name string, message reflect.Type) {
		_, pkg, _ := strings.Cut(message.PkgPath(), "/internal/contract")
		messages[filepath.Join("../internal/contract"+pkg, "testdata", name+".json")] = message
	}
	for name, m := range statemachine.Machines() {
		add(name+".output", m.Output)
		for _, s := range invocations(m) {
			folder := folders(t)[strings.ToLower(function(s))]
			add(folder+".payload", s.Sends)
			add(folder+".result", s.Receives)
		}
		for _, s := range awaited(m) {
			folder := folders(t)[strings.ToLower(function(s))]
			add(folder+".payload", s.Sends)
			add(folder+".result", s.Receives)
		}
	}
	add("approve.payload", reflect.TypeFor[applymanifests.ApprovePlan]())
	add("approve.result", reflect.TypeFor[applymanifests.ApprovedPlan]())
	for file, typ := range messages {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			require.NoError(t, err, "every message has a golden file")
			message := reflect.New(typ).Interface()
			d := json.NewDecoder(bytes.NewReader(want))
			d.DisallowUnknownFields()
			require.NoError(t, d.Decode(message), "the golden file holds no field that Go does not know")

			got, err := json.MarshalIndent(message, "", "  ")
			require.NoError(t, err)
			assert.JSONEq(t, string(want), string(got), "and Go no field that the golden file does not hold")
		})
	}
	for _, pattern := range []string{"../internal/contract/testdata/*.json", "../internal/contract/*/testdata/*.json"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			assert.Contains(t, messages, file, "every golden file is of a message")
		}
	}
}

// names returns the names in JSON of a type's fields.
func names(t reflect.Type) []string {
	var all []string
	for _, f := range reflect.VisibleFields(t) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" {
			all = append(all, key)
		}
	}
	return all
}

func TestEveryFieldOfTheDocumentIsLaidDownAtTheStartOrWrittenByAState(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		written := map[string]bool{}
		for key := range all(m)[m.StartAt].ResultSelector {
			written[strings.TrimSuffix(key, ".$")] = true
		}
		for _, s := range all(m) {
			written[strings.TrimPrefix(s.ResultPath, "$.")] = true
			for _, c := range s.Catch {
				written[strings.TrimPrefix(c.ResultPath, "$.")] = true
			}
		}
		for _, name := range names(m.Document) {
			assert.Contains(t, written, name)
		}
	})
}

func TestEveryMachineIsThatOfAWorkflow(t *testing.T) {
	var names []string
	for _, w := range workflows.All() {
		names = append(names, w.Name)
		assert.Equal(t, statemachine.Machines()[w.Name].Output, w.Output, w.Name)
	}
	assert.Equal(t, slices.Sorted(maps.Keys(statemachine.Machines())), names)
}

func TestEveryChoiceIsMadeByFieldsOfTheDocument(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		assertChoices(t, m.Document, m.States)
	})
}

func assertChoices(t *testing.T, document reflect.Type, states statemachine.States) {
	t.Helper()
	var check func(state string, rules []statemachine.Rule)
	check = func(state string, rules []statemachine.Rule) {
		for _, rule := range rules {
			for _, path := range []string{rule.Variable, rule.NumericLessThanPath, rule.NumericGreaterThanPath, rule.NumericGreaterThanEqualsPath} {
				at := document
				for key := range strings.SplitSeq(strings.TrimPrefix(path, "$."), ".") {
					if path != "" && assert.Contains(t, names(at), key, "%s: %s", state, path) {
						at = field(at, key)
					}
				}
			}
			check(state, rule.And)
			check(state, rule.Or)
		}
	}
	for _, s := range states {
		check(s.Name, s.Choices)
		for _, branch := range s.Branches {
			assertChoices(t, document, branch.States)
		}
		if s.ItemProcessor != nil {
			assertChoices(t, s.ItemProcessor.Document, s.ItemProcessor.States)
		}
	}
}

// field returns the type of the field with that name in JSON.
func field(t reflect.Type, name string) reflect.Type {
	for _, f := range reflect.VisibleFields(t) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key == name {
			t = f.Type
			break
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func TestEveryFunctionIsInvokedAndItsMainOnlyWires(t *testing.T) {
	invoked := map[string]string{}
	for _, m := range statemachine.Machines() {
		for _, s := range invocations(m) {
			invoked[strings.ToLower(function(s))] = function(s)
		}
		for _, s := range awaited(m) {
			invoked[strings.ToLower(function(s))] = function(s)
		}
	}
	invoked["approve"] = string(applymanifests.FunctionApprove) // by people
	assert.Len(t, invoked, len(folders(t)), "and no others")
	for name, folder := range folders(t) {
		require.Contains(t, invoked, name)
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join("../functions", folder, "main.go"), nil, 0)
		require.NoError(t, err)
		assert.LessOrEqual(t, files.Position(file.End()).Line, 40, "%s only wires", folder)
		var started string
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
				assert.Fail(t, "a main has no branches", folder)
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "Start" {
					started = n.Args[0].(*ast.SelectorExpr).Sel.Name
				}
			}
			return true
		})
		assert.Equal(t, "Function"+invoked[name], started, "the metrics and the log name the state")
	}
}
