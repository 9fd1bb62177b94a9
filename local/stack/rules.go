package stack

import "fmt"

const eventRule = "AWS::Events::Rule"

// Rule is a rule on the status of executions, as local/awsfront has it.
type Rule struct {
	Name               string
	Statuses, Machines []string
	Target, Role       string
}

// Rules returns the stack's rules, one for each target.
func (s Stack) Rules() ([]Rule, error) {
	evaluated, err := s.Evaluate()
	if err != nil {
		return nil, err
	}
	var all []Rule
	for id, r := range evaluated.OfType(eventRule) {
		pattern, _ := r.Properties["EventPattern"].(map[string]any)
		detail, _ := pattern["detail"].(map[string]any)
		for _, target := range targets(r.Properties) {
			all = append(all, Rule{
				Name: evaluated.PhysicalIDs[id], Statuses: texts(detail["status"]), Machines: texts(detail["stateMachineArn"]),
				Target: fmt.Sprint(target["Arn"]), Role: fmt.Sprint(target["RoleArn"]),
			})
		}
	}
	return all, nil
}

func targets(properties map[string]any) []map[string]any {
	list, _ := properties["Targets"].([]any)
	var all []map[string]any
	for _, item := range list {
		if target, ok := item.(map[string]any); ok {
			all = append(all, target)
		}
	}
	return all
}

func texts(list any) []string {
	items, _ := list.([]any)
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = fmt.Sprint(item)
	}
	return all
}
