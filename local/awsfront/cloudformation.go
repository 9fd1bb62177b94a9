package awsfront

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Deploy creates or updates a stack. The template is given as text or, if that is empty, by its URL. It returns the stack's
// outputs, and a function that deletes the stack.
type Deploy func(ctx context.Context, name, template, url string, parameters map[string]string) (outputs map[string]string, remove Remove, err error)

// Remove deletes a stack.
type Remove func(context.Context) error

// cloudFormation serves the calls of `aws cloudformation deploy`, describe-stacks and delete-stack. A change set is executed
// at once.
type cloudFormation struct {
	mu      sync.Mutex
	stacks  map[string]cloudFormationStack // by name
	changes map[string]changeSet           // by id
}

// cloudFormationStack is https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Stack.html
type cloudFormationStack struct {
	StackID      string `xml:"StackId"`
	StackName    string
	StackStatus  string
	CreationTime string
	Parameters   []cloudFormationParameter `xml:"Parameters>member"`
	Outputs      []cloudFormationOutput    `xml:"Outputs>member"`
	remove       Remove
}

type cloudFormationParameter struct{ ParameterKey, ParameterValue string }

type cloudFormationOutput struct{ OutputKey, OutputValue string }

type changeSet struct {
	stack, template, url string
	parameters           map[string]string
}

// stackName is the pattern of a stack's name: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

func invalid(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

func stackID(name string) string {
	return "arn:aws:cloudformation:local:000000000000:stack/" + name + "/1"
}

func (f *Front) createChangeSet(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	set := changeSet{stack: c.form.Get("StackName"), template: c.form.Get("TemplateBody"), url: c.form.Get("TemplateURL"), parameters: map[string]string{}}
	if !stackName.MatchString(set.stack) {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", set.stack, stackName)
	}
	f.cloudFormation.mu.Lock()
	defer f.cloudFormation.mu.Unlock()
	previous := map[string]string{}
	for _, p := range f.cloudFormation.stacks[set.stack].Parameters {
		previous[p.ParameterKey] = p.ParameterValue
	}
	for i := 1; ; i++ {
		parameter := "Parameters.member." + strconv.Itoa(i)
		name := c.form.Get(parameter + ".ParameterKey")
		if name == "" {
			break
		}
		set.parameters[name] = c.form.Get(parameter + ".ParameterValue")
		if c.form.Get(parameter+".UsePreviousValue") == "true" {
			set.parameters[name] = previous[name]
		}
	}
	id := c.form.Get("ChangeSetName")
	f.cloudFormation.changes[id] = set
	respond(w, c, struct {
		ID      string `xml:"Id"`
		StackID string `xml:"StackId"`
	}{id, stackID(set.stack)})
	return nil
}

// change returns a change set, or why there is none.
func (f *Front) change(c call) (string, changeSet, *apiError) {
	f.cloudFormation.mu.Lock()
	defer f.cloudFormation.mu.Unlock()
	id := c.form.Get("ChangeSetName")
	set, ok := f.cloudFormation.changes[id]
	if !ok {
		return "", changeSet{}, &apiError{http.StatusNotFound, "ChangeSetNotFound", "ChangeSet [" + id + "] does not exist"}
	}
	return id, set, nil
}

func (f *Front) describeChangeSet(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	id, set, err := f.change(c)
	if err != nil {
		return err
	}
	respond(w, c, struct{ ChangeSetName, StackName, Status, ExecutionStatus string }{id, set.stack, "CREATE_COMPLETE", "AVAILABLE"})
	return nil
}

func (f *Front) executeChangeSet(w http.ResponseWriter, r *http.Request, c call) *apiError {
	id, set, notFound := f.change(c)
	if notFound != nil {
		return notFound
	}
	outputs, remove, err := f.Deploy(r.Context(), set.stack, set.template, set.url, set.parameters)
	if err != nil {
		return invalid("%s", err)
	}
	s := cloudFormationStack{
		StackID: stackID(set.stack), StackName: set.stack, StackStatus: "CREATE_COMPLETE", CreationTime: f.Now().UTC().Format(time.RFC3339), remove: remove,
	}
	for _, name := range slices.Sorted(maps.Keys(set.parameters)) {
		s.Parameters = append(s.Parameters, cloudFormationParameter{name, set.parameters[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		s.Outputs = append(s.Outputs, cloudFormationOutput{name, outputs[name]})
	}
	f.cloudFormation.mu.Lock()
	if earlier, ok := f.cloudFormation.stacks[set.stack]; ok {
		s.StackStatus, s.CreationTime = "UPDATE_COMPLETE", earlier.CreationTime
	}
	f.cloudFormation.stacks[set.stack] = s
	delete(f.cloudFormation.changes, id)
	f.cloudFormation.mu.Unlock()
	respond(w, c, struct{}{})
	return nil
}

// stack returns a stack by its name or ID, or why there is none.
func (f *Front) stack(c call) (cloudFormationStack, *apiError) {
	f.cloudFormation.mu.Lock()
	defer f.cloudFormation.mu.Unlock()
	name := c.form.Get("StackName")
	for _, s := range f.cloudFormation.stacks {
		if name == s.StackName || name == s.StackID {
			return s, nil
		}
	}
	return cloudFormationStack{}, invalid("Stack with id %s does not exist", name)
}

// templateSummary lists the parameters that a stack has: `aws cloudformation deploy` keeps their values.
func (f *Front) templateSummary(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	s, err := f.stack(c)
	if err != nil {
		return err
	}
	respond(w, c, struct {
		Parameters []cloudFormationParameter `xml:"Parameters>member"`
	}{s.Parameters})
	return nil
}

func (f *Front) describeStacks(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	s, err := f.stack(c)
	if err != nil {
		return err
	}
	respond(w, c, struct {
		Stacks []cloudFormationStack `xml:"Stacks>member"`
	}{[]cloudFormationStack{s}})
	return nil
}

// deleteStack succeeds if there is no such stack, as CloudFormation does.
func (f *Front) deleteStack(w http.ResponseWriter, r *http.Request, c call) *apiError {
	if s, notFound := f.stack(c); notFound == nil {
		f.cloudFormation.mu.Lock()
		delete(f.cloudFormation.stacks, s.StackName)
		f.cloudFormation.mu.Unlock()
		if err := s.remove(r.Context()); err != nil {
			return invalid("%s", err)
		}
	}
	respond(w, c, struct{}{})
	return nil
}
