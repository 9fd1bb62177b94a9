// Package comments reads what the Go files of internal/contract say of its types: the
// schemas and the tables of the documentation say the same.
package comments

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// Comments has the types' comments.
type Comments struct {
	// Fields are the comments of fields, by package.Type.Field.
	Fields map[string]string
	// Values are the constants of a type, by package.Type.
	Values map[string][]string
}

// Read reads the comments in the Go files below the repository's root.
func Read(root string) (Comments, error) {
	c := Comments{Fields: map[string]string{}, Values: map[string][]string{}}
	for _, source := range []string{"internal/contract", "internal/contract/*"} {
		files, err := filepath.Glob(filepath.Join(root, source, "*.go"))
		if err != nil || len(files) == 0 {
			return c, fmt.Errorf("there is no Go package in %s", source)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				return c, fmt.Errorf("read %s: %w", source, err)
			}
			for _, declaration := range parsed.Decls {
				if general, ok := declaration.(*ast.GenDecl); ok {
					for _, spec := range general.Specs {
						c.add(parsed.Name.Name+".", spec)
					}
				}
			}
		}
	}
	return c, nil
}

func (c Comments) add(of string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if structure, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					c.Fields[of+spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
				}
			}
		}
	case *ast.ValueSpec:
		kind, named := spec.Type.(*ast.Ident)
		for _, value := range spec.Values {
			literal, ok := value.(*ast.BasicLit)
			if !named || !ok || literal.Kind != token.STRING {
				continue
			}
			if text, err := strconv.Unquote(literal.Value); err == nil {
				c.Values[of+kind.Name] = append(c.Values[of+kind.Name], text)
			}
		}
	}
}
