// Package deploy is what a stack of kubestep has, as Go values: state machines with their functions, identities, roles, alarms,
// parameters and outputs. Stack.Template renders them as template.yml, and Stack.SecurityPage as the tables of docs/security.md.
//
// A workflow is a function in a file of its own, which `make workflows` adds to the list of them.
package deploy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Machine is a state machine, with everything that is there for it alone.
type Machine struct {
	// Name is the name of its definition in statemachine/, such as pod-inventory.
	Name string
	// Prefix begins the logical ids, parameters and outputs of what belongs to it. The first workflow has none.
	Prefix string
	// OnDemand says that it is deployed only if the parameter EnablePREFIX is true.
	OnDemand bool
	// Identity is whom clusters know it as: a mint-token, which this describes, with a role that they map to a group, and with a key
	// that seals its tokens, so that no function of another machine can open them. A machine without one connects to no cluster.
	Identity string
	// Functions are its own. One with an identity also invokes describe-cluster and a mint-token of its own.
	Functions []Function
	// Also are functions of other machines that it invokes too, if those machines are there.
	Also []Function
	// Distributed says that it has a distributed Map.
	Distributed bool
	// Policies are what its role may do besides invoking the functions, logging and tracing.
	Policies []Policy
	// Schedule is the logical id of its schedule, and begins the names of the schedule's parameters. It may have none.
	Schedule string
	// EndsStopped says that a rule starts an execution with the event of one that was aborted or timed out, to end what that left
	// in the cluster.
	EndsStopped bool
	// Alarms are on the executions' metrics, besides those that each machine has.
	Alarms []Alarm
	// Counts is the metric that its executions leave for each cluster.
	Counts Counts
	// Parameters are for this machine alone; EnablePREFIX, PREFIXKubernetesGroup, PREFIXRoleArns, SCHEDULEExpression and
	// SCHEDULEInput are among them, unless the machine is the first one.
	Parameters Group
	// Conditions are the template's conditions for this machine alone, besides those that follow from the fields above.
	Conditions []Condition
}

// Function is a Lambda function with a role of its own. Zeros are the defaults of Globals.
type Function struct {
	Name, Description string
	// Code is the folder of functions/, if it is not Name.
	Code            string
	Memory, Timeout int
	// MemoryWhy is a comment.
	MemoryWhy string
	// Connects says that it connects to a cluster: it can open tokens, and joins the VPC, if there is one.
	Connects    bool
	Environment []Variable
	// Policies are what its role may do besides logging and tracing.
	Policies []Policy
	// Role is the description of its role, and RoleName its name, if the stack decides about it.
	Role     string
	RoleName Value
	RoleWhy  string
	// ByPeople says that people invoke it, and no machine.
	ByPeople bool
	// When is the condition of its machine.
	When string
}

// Variable is an environment variable.
type Variable struct {
	Name  string
	Value Value
	Why   string
}

// Alarm is on a metric of Step Functions about the executions of a machine.
type Alarm struct {
	// Name ends the alarm's logical id.
	Name, Metric string
	// Says is what it says of the machine, in which STACK-NAME is the machine's name.
	Says    string
	Minutes int
}

// Counts is a metric of the functions: its name, and what a widget with it is called.
type Counts struct{ Metric, Title string }

// Stack is a stack of these workflows.
type Stack struct{ Workflows []Machine }

// Kubestep is the stack of all workflows, by their prefixes: the first workflow, which has none, comes first.
func Kubestep() Stack {
	all := workflows()
	slices.SortFunc(all, func(a, b Machine) int { return strings.Compare(a.Prefix, b.Prefix) })
	return Stack{all}
}

// Machines returns all state machines.
func (s Stack) Machines() []Machine { return append(slices.Clone(s.Workflows), s.fleet()) }

// ID is the machine's logical id.
func (m Machine) ID() string { return camel(m.Name) }

// When is the condition under which it is deployed; empty for always.
func (m Machine) When() string {
	if m.OnDemand {
		return "Enables" + m.Prefix
	}
	return ""
}

// Part is the logical id, the parameter or the output of what each machine has.
func (m Machine) Part(name string) string {
	if m.Identity != "" && (name == "Role" || name == "Logs") {
		name = "StateMachine" + name
	}
	return m.Prefix + name
}

// Invoked returns the functions that the machine invokes, with everything that a function has.
func (m Machine) Invoked() []Function {
	all := slices.DeleteFunc(m.Own(), func(f Function) bool { return f.ByPeople })
	all = append(all, m.Also...)
	if m.Identity == "" {
		return all
	}
	return append([]Function{{Name: describeCluster}}, all...)
}

// Own returns the functions that are there for this machine alone, with everything that a function has.
func (m Machine) Own() []Function {
	var all []Function
	if m.Identity != "" {
		all = append(all, m.mintToken())
	}
	for _, f := range m.Functions {
		if f.Connects {
			f.Environment = append([]Variable{{Name: "KUBESTEP_SEAL_KEY", Value: m.sealKey()}}, f.Environment...)
			f.Policies = append([]Policy{joinVPC()}, f.Policies...)
		}
		all = append(all, f)
	}
	for i := range all {
		all[i].When = m.When()
	}
	return all
}

func (m Machine) sealKey() Value { return secret(m.Part("SealKey")).as(lower(m.Part("SealKey"))) }

// longestRole is how long the name of a role may be.
const longestRole = 64

// mintToken returns the function that signs tokens of the machine's identity.
func (m Machine) mintToken() Function {
	name := kebab(m.Prefix, "mint-token")
	roleName := choice("HasMintTokenRoleName", ref("MintTokenRoleName"), sub("${AWS::StackName}-mint-token"))
	why := "The role that the cluster maps to the group. A presigned sts:GetCallerIdentity needs no permission."
	if m.Prefix != "" {
		suffix := kebab(m.Prefix, "")
		roleName = choice("HasMintTokenRoleName", sub("${MintTokenRoleName}-"+suffix), sub("${AWS::StackName}-"+name))
		why = fmt.Sprintf("The role that the cluster maps to the group. If MintTokenRoleName is set, it may have %d characters.", longestRole-len("-"+suffix))
	}
	f := Function{
		Name: name, Code: "mint-token", Description: m.Identity,
		Environment: []Variable{
			{
				Name: "KUBESTEP_SEAL_KEY", Value: m.sealKey(),
				Why: "CloudFormation reads a secret again only when the function changes. A label in the reference makes a rotation\nsuch a change, for all functions that hold the key.",
			},
			{Name: "KUBESTEP_ROLE_ARN", Value: att(camel(name) + "Role.Arn")},
			{Name: "KUBESTEP_EXTERNAL_ID", Value: ref("ExternalId")},
			{Name: "KUBESTEP_ATTESTATION_KEY", Value: attestationKey()},
			{Name: "KUBESTEP_KUBERNETES_GROUP", Value: ref(m.Prefix + "KubernetesGroup")},
		},
		Role: "What " + name + " may do, and whom the cluster maps to a group", RoleName: roleName, RoleWhy: why,
		Policies: []Policy{m.assumeRoles()},
	}
	if m.Prefix != "" { // the first one serves any machine, as it always did
		f.Environment = append(f.Environment, Variable{Name: "KUBESTEP_STATE_MACHINE", Value: sub("${AWS::StackName}-" + m.Name)})
	}
	return f
}

// describeCluster is the function that each workflow begins with.
const describeCluster = "describe-cluster"

func (s Stack) describeCluster() Function {
	f := Function{
		Name: describeCluster, Description: "Checks the input and says where the cluster is",
		Environment: []Variable{
			{Name: "KUBESTEP_CACHE_TTL", Value: ref("CacheTtl")},
			{Name: "KUBESTEP_CLUSTER_NAME", Value: ref("ClusterName")},
			{Name: "KUBESTEP_EXTERNAL_ID", Value: ref("ExternalId")},
			{Name: "KUBESTEP_ATTESTATION_KEY", Value: attestationKey()},
			{Name: "KUBESTEP_KUBERNETES_GROUP", Value: ref("KubernetesGroup")},
		},
	}
	for _, w := range s.Workflows {
		f.Policies = append(f.Policies, w.assumeRoles())
	}
	f.Policies = append(f.Policies, describeOne(), describeFurther())
	return f
}

// Version is the version of the function by which a machine under that condition invokes it.
func (f Function) Version(when string) Value {
	version := ref(f.ID() + ".Version")
	if f.When == "" || f.When == when {
		return version
	}
	return choice(f.When, version, text("not-deployed"))
}

// ID is the function's logical id.
func (f Function) ID() string { return camel(f.Name) + "Function" }

// Built is the folder of functions/ that it is built from.
func (f Function) Built() string { return cmp.Or(f.Code, f.Name) }

// ExecutionRole is the function's role.
func (f Function) ExecutionRole() Role {
	return Role{
		ID: camel(f.Name) + "Role", Name: f.RoleName, When: f.When, Why: f.RoleWhy,
		Description: cmp.Or(f.Role, "What "+f.Name+" may do"),
		Trust:       trusts("lambda", "lambdaTrust"),
		Policies:    append([]Policy{writeLogs(), sendTraces(), decryptVariables()}, f.Policies...),
	}
}

// State is the name of the state that invokes the function, which is also what the definition calls it.
func (f Function) State() string { return camel(f.Built()) }

// Functions returns all functions.
func (s Stack) Functions() []Function {
	all := []Function{s.describeCluster()}
	for _, m := range s.Machines() {
		all = append(all, m.Own()...)
	}
	return all
}

// Roles returns all roles.
func (s Stack) Roles() []Role {
	var all []Role
	for _, f := range s.Functions() {
		all = append(all, f.ExecutionRole())
	}
	for _, m := range s.Machines() {
		all = append(all, m.Role())
		if m.Schedule != "" {
			all = append(all, m.ScheduleRole())
		}
		if m.EndsStopped {
			all = append(all, m.StoppedRole())
		}
	}
	return all
}

// AllAlarms returns the alarms on the machine's executions.
func (m Machine) AllAlarms() []Alarm {
	return append([]Alarm{
		{Name: "ExecutionsFailedAlarm", Metric: "ExecutionsFailed", Minutes: 1, Says: "An execution of STACK-NAME failed. Its error and cause say how to fix it."},
		{Name: "ExecutionsTimedOutAlarm", Metric: "ExecutionsTimedOut", Minutes: 1, Says: "An execution of STACK-NAME timed out. An update that is under way is rolled back."},
	}, m.Alarms...)
}

// Of is what the alarm says of a machine.
func (a Alarm) Of(machine string) string {
	return strings.ReplaceAll(a.Says, "STACK-NAME", "${AWS::StackName}-"+machine)
}

// ARNOutput is the output with the ARN by which to start executions.
func (m Machine) ARNOutput() string {
	if m.Identity == "" {
		return m.Prefix + "Arn"
	}
	return m.Prefix + "StateMachineArn"
}

// MintTokenRole is the logical id of the role that clusters know.
func (m Machine) MintTokenRole() string { return m.mintToken().ExecutionRole().ID }

// Username is the name that aws-auth gives the role in a cluster.
func (m Machine) Username() string { return strings.TrimSuffix("kubestep-"+kebab(m.Prefix, ""), "-") }

// camel returns list-pods as ListPods.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "-") {
		if word == "rbac" {
			word = "RBAC"
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// kebab returns Apply and mint-token as apply-mint-token.
func kebab(prefix, name string) string {
	var b strings.Builder
	for i, r := range prefix {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.Trim(strings.ToLower(b.String())+"-"+name, "-")
}

// lower returns SealKey as sealKey.
func lower(id string) string { return strings.ToLower(id[:1]) + id[1:] }
