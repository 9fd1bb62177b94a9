package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/jsonpath"

	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// The values of --output. kubectl has the same, and jsonpath the same syntax.
const (
	asTable    = "table"
	asWide     = "wide"
	asName     = "name"
	asJSON     = "json"
	asYAML     = "yaml"
	asJSONPath = "jsonpath"
)

// format is how the output is printed.
type format struct {
	value string
	kinds []string
}

// addFormat adds the flag --output, with formats besides table, json, yaml and jsonpath.
func addFormat(cmd *cobra.Command, more ...string) *format {
	f := &format{kinds: append([]string{asTable}, append(more, asJSON, asYAML)...)}
	cmd.Flags().StringVarP(&f.value, "output", "o", asTable, "print the output as `FORMAT`: "+strings.Join(f.kinds, ", ")+" or jsonpath='{…}', as kubectl's; the states go to standard error")
	complete(cmd, "output", append(slices.Clone(f.kinds), asJSONPath+"=")...)
	return f
}

// check finds out what is wrong with the flag.
func (f *format) check(wrong *problems) {
	if _, err := f.path(); err != nil {
		wrong.add("--output %v", err)
	} else if !f.isPath() && !slices.Contains(f.kinds, f.value) {
		wrong.add("--output %q is not %s or jsonpath='{…}'", f.value, strings.Join(f.kinds, ", "))
	}
}

func (f *format) isPath() bool { return strings.HasPrefix(f.value, asJSONPath+"=") }

// forPeople reports whether a table is printed.
func (f *format) forPeople() bool { return f.value == asTable || f.value == asWide }

// whole reports whether a document is printed, be it of a success or of a failure.
func (f *format) whole() bool { return f.value == asJSON || f.value == asYAML }

// path is the template of jsonpath; nil for another format.
func (f *format) path() (*jsonpath.JSONPath, error) {
	text, ok := strings.CutPrefix(f.value, asJSONPath+"=")
	if !ok {
		return nil, nil //nolint:nilnil // there is none
	}
	if !strings.Contains(text, "{") { // which kubectl allows, too
		text = "{." + strings.TrimPrefix(text, ".") + "}"
		text = strings.Replace(text, "{.[", "{[", 1)
	}
	path := jsonpath.New("output").AllowMissingKeys(true)
	if err := path.Parse(text); err != nil {
		return nil, fmt.Errorf("%q is not a JSONPath template: %w", f.value, err)
	}
	return path, nil
}

// text is a document of JSON as the flag says, or the names in it. A table is made by
// whoever knows what is in the document.
func (f *format) text(document string, names []string) (string, error) {
	switch {
	case f.value == asName:
		var b strings.Builder
		for _, name := range names {
			b.WriteString(name + "\n")
		}
		return b.String(), nil
	case f.isPath():
		path, err := f.path()
		if err != nil {
			return "", err
		}
		var value any
		if err := utiljson.Unmarshal([]byte(document), &value); err != nil { // which keeps whole numbers whole
			return "", fmt.Errorf("the output is not valid JSON: %w", err)
		}
		var b bytes.Buffer
		if err := path.Execute(&b, value); err != nil {
			return "", fmt.Errorf("--output %s: %w", f.value, err)
		}
		return visible(b.String()), nil
	default:
		return formatted(document, f.value)
	}
}

// print prints a value as the flag says.
func (f *format) print(cmd *cobra.Command, value any, names []string, table func(paper) string) error {
	on := paperOf(cmd.OutOrStdout())
	on.wide = f.value == asWide
	text := ""
	if f.forPeople() {
		text = table(on)
	} else {
		document, err := encode(value)
		if err == nil {
			text, err = f.text(string(document), names)
		}
		if err != nil {
			return &failure{err}
		}
	}
	return printText(cmd, text)
}

// visible is a text of which a terminal obeys nothing but its line breaks and tabs.
func visible(text string) string {
	parts := strings.Split(text, "\t")
	for i, part := range parts {
		parts[i] = terminal.Text(part)
	}
	return strings.Join(parts, "\t")
}
