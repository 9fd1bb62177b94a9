package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SecurityMarker ends the part of docs/security.md that is written by hand.
const SecurityMarker = "<!-- What follows is written by `make template`. -->\n"

// SecurityPage returns docs/security.md: what is written by hand, and tables of what each role may do and who may use the key.
func (s Stack) SecurityPage(page string) (string, error) {
	written, _, found := strings.Cut(page, SecurityMarker)
	if !found {
		return "", fmt.Errorf("the page has no line %q", SecurityMarker)
	}
	sections := map[string]string{"Key": s.keySection()}
	for _, r := range s.Roles() {
		sections[r.ID] = r.section()
	}
	var b strings.Builder
	b.WriteString(written + SecurityMarker)
	for _, id := range slices.Sorted(maps.Keys(sections)) {
		b.WriteString("\n## " + id + "\n\n" + sections[id])
	}
	return b.String(), nil
}

func (s Stack) keySection() string {
	var b strings.Builder
	b.WriteString("Encrypts the variables and secrets of the functions. Only when CreatesKey.\n\n")
	b.WriteString("| statement | effect | principals | actions | condition |\n|---|---|---|---|---|\n")
	for _, s := range s.keyPolicy() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.Sid, s.effect(), cells(s.Principals), codes(s.Actions), strings.TrimPrefix(where(s.Where), ", "))
	}
	return b.String()
}

func (r Role) section() string {
	var b strings.Builder
	b.WriteString(r.Description + ".")
	if r.When != "" {
		b.WriteString(" Only when " + r.When + ".")
	}
	fmt.Fprintf(&b, " Assumed by `%s`%s.\n", r.Trust.Service, where(r.Trust.Where))
	b.WriteString("\n| policy | when | effect | actions | resources |\n|---|---|---|---|---|\n")
	for _, p := range r.Policies {
		for _, s := range p.Statements {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s%s |\n", p.Name, p.When, s.effect(), codes(s.Actions), cells(s.Resources), where(s.Where))
		}
	}
	return b.String()
}

func (s Statement) effect() string { return cmp.Or(s.Effect, "Allow") }

// where returns a statement's conditions as text.
func where(tests []Test) string {
	var all []string
	for _, t := range tests {
		text := fmt.Sprintf("`%s` %s %s", t.Key, t.Operator, cells(t.Is))
		if t.When != "" {
			text += " (if " + t.When + ")"
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return ""
	}
	return ", where " + strings.Join(all, " and ")
}

// cells returns values as a cell of a table shows them.
func cells(values []Value) string {
	var all []string
	for _, v := range values {
		all = append(all, v.text)
	}
	return codes(all)
}

func codes(texts []string) string { return "`" + strings.Join(texts, "`<br>`") + "`" }
