package stack

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/kubestep/kubestep/local/trail"
)

// Roles returns the roles of the stack, with their policies.
func (s Stack) Roles() ([]trail.Role, error) {
	evaluated, err := s.Evaluate()
	if err != nil {
		return nil, err
	}
	given := map[string]trail.Role{} // by ARN
	for _, r := range evaluated.OfType("AWS::Lambda::Function") {
		given[fmt.Sprint(r.Properties["Role"])] = trail.Role{Service: "lambda.amazonaws.com"}
	}
	for id, r := range evaluated.OfType(stateMachine) {
		given[fmt.Sprint(r.Properties["RoleArn"])] = trail.Role{Service: "states.amazonaws.com", SourceARN: evaluated.PhysicalIDs[id]}
	}
	for _, r := range evaluated.OfType("AWS::Scheduler::Schedule") {
		target, _ := r.Properties["Target"].(map[string]any)
		// EventBridge Scheduler assumes a role for the schedule's group.
		given[fmt.Sprint(target["RoleArn"])] = trail.Role{Service: "scheduler.amazonaws.com", SourceARN: s.arn("scheduler", "schedule-group/default")}
	}
	for id, r := range evaluated.OfType(eventRule) {
		for _, target := range targets(r.Properties) {
			given[fmt.Sprint(target["RoleArn"])] = trail.Role{Service: "events.amazonaws.com", SourceARN: s.arn("events", "rule/"+evaluated.PhysicalIDs[id])}
		}
	}
	var all []trail.Role
	for id, r := range evaluated.OfType("AWS::IAM::Role") {
		roleARN := arn.ARN{Partition: "aws", Service: "iam", AccountID: s.Account, Resource: "role/" + evaluated.PhysicalIDs[id]}.String()
		role, ok := given[roleARN]
		if !ok {
			return nil, fmt.Errorf("stack %s: no function, state machine, rule or schedule has the role %s", s.Name, id)
		}
		role.ID, role.ARN = id, roleARN
		if role.Trust, err = json.Marshal(r.Properties["AssumeRolePolicyDocument"]); err != nil {
			return nil, fmt.Errorf("stack %s: role %s: %w", s.Name, id, err)
		}
		policies, err := json.Marshal(r.Properties["Policies"])
		if err == nil {
			err = json.Unmarshal(policies, &role.Policies)
		}
		if err != nil {
			return nil, fmt.Errorf("stack %s: the policies of %s: %w", s.Name, id, err)
		}
		all = append(all, role)
	}
	return all, nil
}
