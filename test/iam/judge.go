package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/local/trail"
)

// Verdict is the result of evaluating a recording with the policies of its roles.
type Verdict struct {
	// Calls is the number of different calls of those roles that succeeded.
	Calls int
	// Denied names the calls that succeeded here, but that IAM would deny.
	Denied []string
	// Needless names the parts of policies that no call needed.
	Needless []string
}

// use is which part of a statement calls need.
type use struct {
	role, name string
	statement  statement
	actions    map[int]bool
	resources  map[int]bool
}

// ByService are actions that a service needs, and that no function and no state machine calls.
type ByService struct {
	// Roles are the IDs of the roles that the service acts with; none is all of them.
	Roles []string
	// Policy is the name of the policy; none is any.
	Policy  string
	Actions []string
	// Why names the service, and where that is documented.
	Why string
}

// NotRun is a policy, or part of one, whose calls no scenario makes. It is not reported as needless.
type NotRun struct{ Role, Policy, Why string }

// Judge judges a recording.
func Judge(ctx context.Context, s Simulator, recording []trail.Entry, services []ByService, notRun []NotRun) (Verdict, error) {
	roles := map[string]trail.Role{}   // by ARN, as they are at the time of an entry
	uses := map[string]*use{}          // by role's ID and statement's name
	callers := map[string]trail.Role{} // by request
	requests := map[string]Request{}   // by their JSON, because most are made many times
	for _, entry := range recording {
		switch {
		case entry.Role != nil:
			roles[entry.Role.ARN] = *entry.Role
			if err := collect(uses, *entry.Role); err != nil {
				return Verdict{}, err
			}
		case entry.Call != nil && entry.Call.Status >= 200 && entry.Call.Status < 400:
			role, ok := roles[entry.Call.Principal]
			if !ok {
				continue // a developer, or a role of another account
			}
			request, err := requestOf(*entry.Call, role)
			if err != nil {
				return Verdict{}, err
			}
			key, err := json.Marshal(request)
			if err != nil {
				return Verdict{}, fmt.Errorf("judge the recording: %w", err)
			}
			requests[string(key)], callers[string(key)] = request, role
		}
	}
	keys := slices.Sorted(maps.Keys(requests))
	var asked []Request
	for _, key := range keys {
		asked = append(asked, requests[key])
	}
	decisions, err := s.Decide(ctx, asked)
	if err != nil {
		return Verdict{}, err
	}
	verdict := Verdict{Calls: len(asked)}
	for i, decision := range decisions {
		role := callers[keys[i]]
		if !decision.Allowed() {
			verdict.Denied = append(verdict.Denied, denied(role, asked[i], decision))
		}
		// A statement is needed if no other statement allows the call.
		if len(decision.Allows) == 1 {
			for name, matches := range decision.Allows {
				uses[role.ID+name].needed(matches)
			}
		}
	}
	verdict.Needless = needless(uses, services, notRun)
	return verdict, nil
}

func collect(uses map[string]*use, role trail.Role) error {
	statements, err := Statements(role)
	if err != nil {
		return err
	}
	for name, text := range statements {
		u, ok := uses[role.ID+name]
		if !ok {
			u = &use{role: role.ID, name: name, actions: map[int]bool{}, resources: map[int]bool{}}
			uses[role.ID+name] = u
		}
		var s statement
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("role %s, policy %s: %w", role.ID, name, err)
		}
		// A parameter that is a list may be longer in one stack than in another.
		if len(s.Resource) > len(u.statement.Resource) {
			u.statement = s
		}
	}
	return nil
}

func requestOf(call trail.Call, role trail.Role) (Request, error) {
	statements, err := Statements(role)
	if err != nil {
		return Request{}, err
	}
	return Request{
		Principal: call.Principal, Action: call.Action, Resource: call.Resource, Account: call.Context["aws:ResourceAccount"],
		Context: call.Context, Statements: statements,
	}, nil
}

func denied(role trail.Role, r Request, d Decision) string {
	context, _ := json.Marshal(r.Context)
	if d.Error != "" {
		return fmt.Sprintf("%s made a call that IAM does not know, %s on %s: %s", role.ID, r.Action, r.Resource, d.Error)
	}
	return fmt.Sprintf("%s (%s) called %s on %s with %s, which is %s", role.ID, role.ARN, r.Action, r.Resource, context, d.Result)
}

func (u *use) needed(m Matches) {
	for _, i := range m.Actions {
		u.actions[i] = true
	}
	for _, i := range m.Resources {
		u.resources[i] = true
	}
}

func needless(uses map[string]*use, services []ByService, notRun []NotRun) []string {
	var all []string
	excused := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(uses)) {
		u := uses[key]
		optional := slices.ContainsFunc(notRun, func(n NotRun) bool { return n.Role == u.role && strings.HasPrefix(u.name, n.Policy+", ") })
		called := false
		for i, action := range u.statement.Action {
			byService := slices.ContainsFunc(services, func(s ByService) bool { return s.has(u, action) })
			switch {
			case byService && u.actions[i]:
				all = append(all, fmt.Sprintf("%s calls %s itself, which is said to be for a service", u.role, action))
			case byService:
				excused[action] = true
			case u.actions[i]:
				called = true
			case !optional:
				all = append(all, fmt.Sprintf("no call needs %s of %s, policy %s", action, u.role, u.name))
			}
		}
		for i, resource := range u.statement.Resource {
			if called && !optional && !u.resources[i] {
				all = append(all, fmt.Sprintf("no call needs the resource %s of %s, policy %s", resource, u.role, u.name))
			}
		}
	}
	for _, s := range services {
		for _, action := range s.Actions {
			if !excused[action] {
				all = append(all, fmt.Sprintf("no role has %s, which is said to be for a service: %s", action, s.Why))
			}
		}
	}
	return all
}

func (s ByService) has(u *use, action string) bool {
	return slices.Contains(s.Actions, action) && (len(s.Roles) == 0 || slices.Contains(s.Roles, u.role)) &&
		(s.Policy == "" || strings.HasPrefix(u.name, s.Policy+", "))
}
