// Package policies writes down what each role of a template may do, so that a person can read it and a check can tell
// when it changes.
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

const head = `# What each role may do

Generated from template.yml by ` + "`make security`" + `; ` + "`make lint`" + ` compares. Every function has a role of its own, and no other
policy than these. *When* names the condition of template.yml under which a policy is there; a policy without is always
there. Where the resource is ` + "`*`" + `, AWS knows no other for these actions: template.yml says so at each.
`

// policyDocument is https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type policyDocument struct{ Statement []statement }

type statement struct {
	Effect    string
	Principal map[string]any
	Action    any
	Resource  any
	Condition map[string]map[string]any
}

// Markdown is a table of all policies: role, actions, resources.
func Markdown(t *cloudformation.Template) (string, error) {
	var b strings.Builder
	b.WriteString(head)
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		if r.Type != "AWS::IAM::Role" {
			continue
		}
		if err := role(&b, id, r); err != nil {
			return "", fmt.Errorf("role %s: %w", id, err)
		}
	}
	return b.String(), nil
}

func role(b *strings.Builder, id string, r cloudformation.Resource) error {
	if _, managed := r.Properties["ManagedPolicyArns"]; managed {
		return errors.New("it has managed policies, which this table does not show")
	}
	fmt.Fprintf(b, "\n## %s\n\n", id)
	if description, ok := r.Properties["Description"].(string); ok {
		fmt.Fprintf(b, "%s.", description)
	}
	if r.Condition != "" {
		fmt.Fprintf(b, " Only when %s.", r.Condition)
	}
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
		return fmt.Errorf("%v is no policy", policy)
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

// where is a statement's condition in words.
func where(conditions map[string]map[string]any) string {
	var all []string
	for _, operator := range slices.Sorted(maps.Keys(conditions)) {
		for _, key := range slices.Sorted(maps.Keys(conditions[operator])) {
			all = append(all, fmt.Sprintf("%s %s %s", code(key), operator, list(conditions[operator][key])))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ", where " + strings.Join(all, " and ")
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

// text is a value as template.yml writes it.
func text(value any) string {
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
