// Package policies writes tables of what each role of a template may do and who may use its keys, for docs/security.md. A linter
// reports if they are out of date.
//
// It stays because it shows the template's conditions and parameters, which tools that read deployed policies do not see.
package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/local/cloudformation"
)

// Marker ends the part of docs/security.md that is written by hand.
const Marker = "<!-- What follows is written by `make security`. -->\n"

// policyDocument is https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type policyDocument struct{ Statement []statement }

type statement struct {
	Sid       string
	Effect    string
	Principal map[string]any
	Action    any
	Resource  any
	Condition condition
}

// condition is that of a statement. If when is set, it is there only under that condition of the template.
type condition struct {
	keys map[string]map[string]any
	when string
}

// UnmarshalJSON reads a condition, or a choice between one and none.
func (c *condition) UnmarshalJSON(text []byte) error {
	var choice struct {
		If []json.RawMessage `json:"Fn::If"`
	}
	if json.Unmarshal(text, &choice) != nil || len(choice.If) == 0 {
		return json.Unmarshal(text, &c.keys)
	}
	const parts = 3
	if len(choice.If) != parts || string(choice.If[2]) != `{"Ref":"AWS::NoValue"}` {
		return fmt.Errorf("%s is not a choice between a condition and none", text)
	}
	if err := json.Unmarshal(choice.If[0], &c.when); err != nil {
		return err
	}
	return json.Unmarshal(choice.If[1], &c.keys)
}

// Markdown returns tables of the policies of all roles and keys, below a text that ends with the Marker.
func Markdown(text string, t *cloudformation.Template) (string, error) {
	written, _, found := strings.Cut(text, Marker)
	if !found {
		return "", fmt.Errorf("the text has no line %q", Marker)
	}
	var b strings.Builder
	b.WriteString(written + Marker)
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		var err error
		switch r.Type {
		case "AWS::IAM::Role":
			err = role(&b, id, r)
		case "AWS::KMS::Key":
			err = key(&b, id, r)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", id, err)
		}
	}
	return b.String(), nil
}

func heading(b *strings.Builder, id string, r cloudformation.Resource) {
	fmt.Fprintf(b, "\n## %s\n\n", id)
	if description := text(r.Properties["Description"]); description != "" {
		fmt.Fprintf(b, "%s.", description)
	}
	if r.Condition != "" {
		fmt.Fprintf(b, " Only when %s.", r.Condition)
	}
}

// key writes a key's policy.
func key(b *strings.Builder, id string, r cloudformation.Resource) error {
	policy, err := document(r.Properties["KeyPolicy"])
	if err != nil {
		return err
	}
	heading(b, id, r)
	b.WriteString("\n\n| statement | effect | principals | actions | condition |\n|---|---|---|---|---|\n")
	for _, s := range policy.Statement {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", s.Sid, s.Effect, list(s.Principal["AWS"]), list(s.Action), strings.TrimPrefix(where(s.Condition), ", "))
	}
	return nil
}

func role(b *strings.Builder, id string, r cloudformation.Resource) error {
	if _, managed := r.Properties["ManagedPolicyArns"]; managed {
		return errors.New("it has managed policies, which this table does not show")
	}
	heading(b, id, r)
	trust, err := document(r.Properties["AssumeRolePolicyDocument"])
	if err != nil {
		return err
	}
	for _, s := range trust.Statement {
		fmt.Fprintf(b, " Assumed by %s%s.\n", list(s.Principal["Service"]), where(s.Condition))
	}
	b.WriteString("\n| policy | when | effect | actions | resources |\n|---|---|---|---|---|\n")
	policies, _ := r.Properties["Policies"].([]any)
	for _, policy := range policies {
		if err := rows(b, policy); err != nil {
			return err
		}
	}
	return nil
}

func rows(b *strings.Builder, policy any) error {
	object, _ := policy.(map[string]any)
	when := ""
	if choice, ok := object["Fn::If"].([]any); ok {
		when = text(choice[0])
		object, _ = choice[1].(map[string]any)
	}
	name, ok := object["PolicyName"].(string)
	if !ok {
		return fmt.Errorf("%v is not a policy", policy)
	}
	document, err := document(object["PolicyDocument"])
	if err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	for _, s := range document.Statement {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s%s |\n", name, when, s.Effect, list(s.Action), list(s.Resource), where(s.Condition))
	}
	return nil
}

func document(value any) (policyDocument, error) {
	var d policyDocument
	encoded, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(encoded, &d)
	}
	if err == nil && len(d.Statement) == 0 {
		err = fmt.Errorf("%s has no statements", encoded)
	}
	if err != nil {
		return d, fmt.Errorf("read a policy document: %w", err)
	}
	return d, nil
}

// where returns a statement's condition as text.
func where(c condition) string {
	var all []string
	for _, operator := range slices.Sorted(maps.Keys(c.keys)) {
		for _, key := range slices.Sorted(maps.Keys(c.keys[operator])) {
			all = append(all, fmt.Sprintf("%s %s %s", code(key), operator, list(c.keys[operator][key])))
		}
	}
	if len(all) == 0 {
		return ""
	}
	text := ", where " + strings.Join(all, " and ")
	if c.when != "" {
		text += " (if " + c.when + ")"
	}
	return text
}

func list(value any) string {
	elements, ok := value.([]any)
	if !ok {
		return code(text(value))
	}
	all := make([]string, len(elements))
	for i, element := range elements {
		all[i] = code(text(element))
	}
	return strings.Join(all, "<br>")
}

func code(s string) string { return "`" + s + "`" }

// text returns a value as template.yml has it.
func text(value any) string {
	if value == nil {
		return ""
	}
	object, _ := value.(map[string]any)
	for function, argument := range object {
		switch argument := argument.(type) {
		case []any: // Fn::GetAtt
			parts := make([]string, len(argument))
			for i, part := range argument {
				parts[i] = text(part)
			}
			return "${" + strings.Join(parts, ".") + "}"
		default:
			if function == "Ref" {
				return "${" + fmt.Sprint(argument) + "}"
			}
			return fmt.Sprint(argument)
		}
	}
	return fmt.Sprint(value)
}
