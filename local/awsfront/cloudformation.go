package awsfront

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Stacks creates, updates and deletes what stacks are made of.
type Stacks interface {
	// Deploy takes the template as text or, where that is empty, by its URL, and returns the stack's outputs.
	Deploy(ctx context.Context, name, template, url string, parameters map[string]string) (map[string]string, error)
	Delete(ctx context.Context, name string) error
}

// cloudFormation is CloudFormation as far as `aws cloudformation deploy` and delete-stack ask for it: change sets, each
// carried out at once. What a stack is made of is for Stacks to say.
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
}

// stackName is what CloudFormation accepts as one: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

type cloudFormationParameter struct{ ParameterKey, ParameterValue string }

type cloudFormationOutput struct{ OutputKey, OutputValue string }

type changeSet struct {
	stack, template, url string
	parameters           map[string]string
}

func (f *Front) cloudFormationHandler(operation string) handler {
	switch operation {
	case "CreateChangeSet":
		return f.createChangeSet
	case "DescribeChangeSet":
		return f.describeChangeSet
	case "ExecuteChangeSet":
		return f.executeChangeSet
	case "GetTemplateSummary":
		return f.templateSummary
	case "DescribeStacks":
		return f.describeStacks
	case "DeleteStack":
		return f.deleteStack
	}
	return func(http.ResponseWriter, *http.Request, call) *apiError {
		return invalid("the local CloudFormation has no " + operation)
	}
}

func invalid(message string) *apiError {
	return &apiError{http.StatusBadRequest, "ValidationError", message}
}

func stackID(name string) string {
	return "arn:aws:cloudformation:local:000000000000:stack/" + name + "/1"
}

func (f *Front) createChangeSet(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	if name := c.form.Get("StackName"); !stackName.MatchString(name) {
		return invalid(fmt.Sprintf("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", name, stackName))
	}
	set := changeSet{stack: c.form.Get("StackName"), template: c.form.Get("TemplateBody"), url: c.form.Get("TemplateURL"), parameters: map[string]string{}}
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
	type result struct {
		ID      string `xml:"Id"`
		StackID string `xml:"StackId"`
	}
	respond(w, c, "CreateChangeSetResult", result{id, stackID(set.stack)})
	return nil
}

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
	type result struct{ ChangeSetName, StackName, Status, ExecutionStatus string }
	respond(w, c, "DescribeChangeSetResult", result{id, set.stack, "CREATE_COMPLETE", "AVAILABLE"})
	return nil
}

func (f *Front) executeChangeSet(w http.ResponseWriter, r *http.Request, c call) *apiError {
	id, set, notFound := f.change(c)
	if notFound != nil {
		return notFound
	}
	outputs, err := f.Stacks.Deploy(r.Context(), set.stack, set.template, set.url, set.parameters)
	if err != nil {
		return invalid(err.Error())
	}
	s := cloudFormationStack{StackID: stackID(set.stack), StackName: set.stack, StackStatus: "CREATE_COMPLETE", CreationTime: f.Now().UTC().Format(time.RFC3339)}
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
	respond(w, c, "ExecuteChangeSetResult", struct{}{})
	return nil
}

// templateSummary tells the parameters that a stack has, which a further deployment keeps.
func (f *Front) templateSummary(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	f.cloudFormation.mu.Lock()
	defer f.cloudFormation.mu.Unlock()
	s, ok := f.cloudFormation.stacks[c.form.Get("StackName")]
	if !ok {
		return invalid(fmt.Sprintf("Stack with id %s does not exist", c.form.Get("StackName")))
	}
	type declaration struct{ ParameterKey string }
	type result struct {
		Parameters []declaration `xml:"Parameters>member"`
	}
	var summary result
	for _, p := range s.Parameters {
		summary.Parameters = append(summary.Parameters, declaration{p.ParameterKey})
	}
	respond(w, c, "GetTemplateSummaryResult", summary)
	return nil
}

func (f *Front) describeStacks(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	f.cloudFormation.mu.Lock()
	defer f.cloudFormation.mu.Unlock()
	name := c.form.Get("StackName")
	var found []cloudFormationStack
	for _, key := range slices.Sorted(maps.Keys(f.cloudFormation.stacks)) {
		if s := f.cloudFormation.stacks[key]; name == "" || name == s.StackName || name == s.StackID {
			found = append(found, s)
		}
	}
	if name != "" && len(found) == 0 {
		return invalid(fmt.Sprintf("Stack with id %s does not exist", name))
	}
	type result struct {
		Stacks []cloudFormationStack `xml:"Stacks>member"`
	}
	respond(w, c, "DescribeStacksResult", result{found})
	return nil
}

func (f *Front) deleteStack(w http.ResponseWriter, r *http.Request, c call) *apiError {
	name := c.form.Get("StackName")
	f.cloudFormation.mu.Lock()
	_, ok := f.cloudFormation.stacks[name]
	delete(f.cloudFormation.stacks, name)
	f.cloudFormation.mu.Unlock()
	if ok { // the deletion of a stack that is not there succeeds
		if err := f.Stacks.Delete(r.Context(), name); err != nil {
			return invalid(err.Error())
		}
	}
	respond(w, c, "", nil)
	return nil
}

// respond writes an answer in the query protocol.
func respond(w http.ResponseWriter, c call, element string, result any) {
	response := struct {
		XMLName  xml.Name
		Result   any
		Metadata struct {
			RequestID string `xml:"RequestId"`
		} `xml:"ResponseMetadata"`
	}{XMLName: xml.Name{Local: c.operation + "Response"}}
	if element != "" {
		response.Result = wrapped{element, result}
	}
	response.Metadata.RequestID = uuid()
	writeXML(w, http.StatusOK, response)
}

// wrapped is a value in an element of that name.
type wrapped struct {
	element string
	value   any
}

// MarshalXML writes it.
func (v wrapped) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(v.value, xml.StartElement{Name: xml.Name{Local: v.element}}) //nolint:wrapcheck // of the encoder, for the encoder
}
