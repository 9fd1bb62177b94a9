// Command tables writes the tables of the documentation that have a row for each workflow,
// state or key of a document, from the Go values and their comments. A table is between
// two comments that name it.
//
//	go run ./statemachine/tables
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/workflow"
	"github.com/kubestep/kubestep/internal/workflows"
	"github.com/kubestep/kubestep/statemachine"
	"github.com/kubestep/kubestep/statemachine/comments"
)

func main() {
	pages, err := generate(".")
	for name, text := range pages {
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o644) //nolint:gosec // anybody may read it
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
}

// generate makes the pages with tables, by file name, of what is below root.
func generate(root string) (map[string]string, error) {
	for _, w := range workflows.All() {
		if statemachine.Machines()[w.Name].Document == nil {
			return nil, fmt.Errorf("the workflow %s has no machine of that name in statemachine/, or one without a document", w.Name)
		}
	}
	said, err := comments.Read(root)
	if err != nil {
		return nil, err
	}
	states, err := statesTable(root)
	if err != nil {
		return nil, err
	}
	pages := map[string]string{}
	for _, table := range []struct{ page, name, text string }{
		{"docs/README.md", "workflows", workflowsTable()},
		{"docs/how-it-works.md", "names", namesTable(said)},
		{"ARCHITECTURE.md", "states", states},
	} {
		held, err := os.ReadFile(filepath.Join(root, table.page)) //nolint:gosec // of the repository
		if err != nil {
			return nil, fmt.Errorf("read a page: %w", err)
		}
		begin, end := "<!-- "+table.name+" (make workflows) -->\n", "<!-- end of "+table.name+" -->"
		before, rest, ok := strings.Cut(string(held), begin)
		_, after, ends := strings.Cut(rest, end)
		if !ok || !ends {
			return nil, fmt.Errorf("%s has no table %s", table.page, table.name)
		}
		pages[table.page] = before + begin + table.text + end + after
	}
	return pages, nil
}

// machines are all machines, those that work on one cluster first.
func machines() []workflow.Workflow {
	all := workflows.All()
	slices.SortStableFunc(all, func(a, b workflow.Workflow) int {
		return cmp.Compare(order(a), order(b))
	})
	return all
}

func order(w workflow.Workflow) int {
	if w.OnOneCluster() {
		return 0
	}
	return 1
}

func workflowsTable() string {
	var b strings.Builder
	b.WriteString("| workflow | what it is for | time limit | read | schemas |\n|---|---|---|---|---|\n")
	for _, w := range machines() {
		schema := "../statemachine/schema/" + w.Name
		fmt.Fprintf(&b, "| %s | %s | %s | [%s](%s) | [input](%s.input.schema.json), [output](%s.output.schema.json) |\n",
			w.Name, w.Summary, limit(statemachine.Machines()[w.Name].TimeoutSeconds), filepath.Base(w.Page), w.Page, schema, schema)
	}
	return b.String()
}

// limit is a machine's time in words.
func limit(seconds int) string {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	switch {
	case seconds%hour == 0:
		return fmt.Sprintf("%d hours", seconds/hour)
	case seconds > day:
		return fmt.Sprintf("%d days and %d minutes", seconds/day, seconds%day/minute)
	}
	return fmt.Sprintf("%d minutes", seconds/minute)
}

// name is a key of a document, with each text that says what it is and the workflows whose
// texts they are; none for the table of all workflows.
type name struct {
	key   string
	texts []string
	says  map[string][]string
}

func namesTable(said comments.Comments) string {
	var all []name
	add := func(workflow string, document reflect.Type) {
		for _, f := range reflect.VisibleFields(document) {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			text := said.Fields[document.String()+"."+f.Name]
			if f.Anonymous || text == "" {
				continue
			}
			i := slices.IndexFunc(all, func(n name) bool { return n.key == key })
			if i < 0 {
				i, all = len(all), append(all, name{key: key, says: map[string][]string{}})
			}
			text = definition(text)
			if !slices.Contains(all[i].texts, text) {
				all[i].texts = append(all[i].texts, text)
			}
			if workflow != "" {
				all[i].says[text] = append(all[i].says[text], workflow)
			}
		}
	}
	add("", reflect.TypeFor[contract.Document]())
	for _, w := range machines() {
		m := statemachine.Machines()[w.Name]
		add(w.Name, m.Document)
		for _, s := range m.States {
			if s.ItemProcessor != nil {
				add(w.Name, s.ItemProcessor.Document)
			}
		}
	}
	var b strings.Builder
	b.WriteString("| name | what it is |\n|---|---|\n")
	for _, n := range all {
		var texts []string
		for _, text := range n.texts {
			if of := strings.Join(n.says[text], ", "); of != "" {
				text = of + ": " + text
			}
			texts = append(texts, text)
		}
		fmt.Fprintf(&b, "| `$.%s` | %s |\n", n.key, strings.Join(texts, "; "))
	}
	return b.String()
}

// definition is what follows the verb in the comment of a field: "Token is the sealed token."
func definition(comment string) string {
	for _, verb := range []string{" is ", " are "} {
		if subject, text, ok := strings.Cut(comment, verb); ok && !strings.Contains(subject, " ") {
			return strings.TrimSuffix(text, ".")
		}
	}
	return strings.TrimSuffix(comment, ".")
}

func statesTable(root string) (string, error) {
	type row struct{ state, folder, keys, connects string }
	var rows []row
	for _, w := range machines() {
		for _, s := range invocations(statemachine.Machines()[w.Name].States) {
			connects := "no"
			if _, ok := s.Sends.FieldByName("Token"); ok {
				connects = "yes"
			}
			r := row{s.Name, folder(root, s), keys(s), connects}
			i := slices.IndexFunc(rows, func(other row) bool { return other.folder == r.folder })
			switch {
			case i < 0:
				rows = append(rows, r)
			case !slices.Contains(strings.Split(rows[i].state, ", "), r.state):
				rows[i].state += ", " + r.state
				if !strings.Contains(rows[i].keys, r.keys) {
					rows[i].keys += ", " + r.keys
				}
			}
		}
	}
	var b strings.Builder
	b.WriteString("| state | function | package | keys in the state | connects to the cluster |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		pkg, err := worker(filepath.Join(root, "functions", r.folder, "main.go"))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| %s | functions/%s | internal/%s | %s | %s |\n", r.state, r.folder, pkg, r.keys, r.connects)
	}
	return b.String(), nil
}

// invocations are the states that invoke a function, with those inside of others.
func invocations(states statemachine.States) statemachine.States {
	var found statemachine.States
	for _, s := range states {
		if s.Sends != nil {
			found = append(found, s)
		}
		for _, branch := range s.Branches {
			found = append(found, invocations(branch.States)...)
		}
		if s.ItemProcessor != nil {
			found = append(found, invocations(s.ItemProcessor.States)...)
		}
	}
	return found
}

// keys are the keys of the document that a state writes.
func keys(s statemachine.State) string {
	if s.ResultPath == "$" {
		var all []string
		for _, f := range reflect.VisibleFields(s.Receives) {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			all = append(all, "`$."+key+"`")
		}
		return strings.Join(all, ", ")
	}
	if s.ResultPath == "" {
		return "the item of a Map"
	}
	return "`" + s.ResultPath + "`"
}

// folder is the folder of a state's function, which has the same name.
func folder(root string, s statemachine.State) string {
	function, _ := s.Parameters["FunctionName"].(string)
	function = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(function, "${"), "FunctionArn}"))
	mains, _ := filepath.Glob(filepath.Join(root, "functions", "*")) // the pattern is valid
	for _, main := range mains {
		if strings.ReplaceAll(filepath.Base(main), "-", "") == function {
			return filepath.Base(main)
		}
	}
	return function
}

// worker is the package of what a main starts: of lister in task.Start(function, lister.List),
// where lister is a pods.Lister.
func worker(main string) (string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), main, nil, 0)
	if err != nil {
		return "", fmt.Errorf("read a main: %w", err)
	}
	packages, started := map[string]string{}, ""
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			variable, _ := n.Lhs[0].(*ast.Ident)
			value, _ := n.Rhs[0].(*ast.CompositeLit)
			if variable == nil || value == nil {
				break
			}
			if typ, ok := value.Type.(*ast.SelectorExpr); ok {
				packages[variable.Name] = fmt.Sprint(typ.X)
			}
		case *ast.CallExpr:
			called, _ := n.Fun.(*ast.SelectorExpr)
			if called == nil || called.Sel.Name != "Start" {
				break
			}
			if handler, ok := n.Args[1].(*ast.SelectorExpr); ok {
				started = fmt.Sprint(handler.X)
			}
		}
		return true
	})
	pkg, ok := packages[started]
	if !ok {
		return "", fmt.Errorf("%s does not start a method of a value that it makes", main)
	}
	return pkg, nil
}
