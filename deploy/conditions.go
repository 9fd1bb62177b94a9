package deploy

import "strings"

// Condition is a condition of the template.
type Condition struct {
	Name string
	Is   Value
}

// conditions are all conditions. Those of a workflow alone are in its file, or follow from what it has.
func (s Stack) conditions() []Condition {
	all := []Condition{
		{"HasClusterName", isSet("ClusterName")},
		{"HasClusterArns", anySet("ClusterArns")},
		{"HasRoleArns", anySet("RoleArns")},
		{"HasAccessEntry", and("HasClusterName", isTrue("CreateAccessEntry"))},
		{"HasNoAccessEntry", Value{yaml: "!Not [!Condition HasAccessEntry]"}},
		{"HasVpc", anySet("SubnetIds")},
		{"HasSchedule", isSet("ScheduleExpression")},
		{"HasOutputBucket", isSet("OutputBucket")},
		{"HasOutputKey", isSet("OutputKeyArn")},
		{"HasOrganization", isSet("OrganizationId")},
		{"HasExternalId", isSet("ExternalId")},
		{"HasAlarmTopic", isSet("AlarmTopicArn")},
		{"HasReservedConcurrency", isSet("ReservedConcurrency")},
		{"HasMintTokenRoleName", isSet("MintTokenRoleName")},
		{"HasPermissionsBoundary", isSet("PermissionsBoundaryArn")},
		{"HasEncryptionKey", isSet("EncryptionKeyArn")},
		{"CreatesKey", Value{yaml: "!Not [!Condition HasEncryptionKey]"}},
		{"LogsExecutionData", isTrue("LogExecutionData")},
		{"MovesGradually", Value{yaml: "!Not [!Equals [!Ref DeploymentType, ALL_AT_ONCE]]"}},
	}
	var schedules []string
	for _, m := range s.Machines() {
		all = append(all, s.conditionsOf(m)...)
		if m.Schedule != "" {
			schedules = append(schedules, "!Condition Has"+m.Schedule)
		}
	}
	return append(all, Condition{"HasAnySchedule", Value{yaml: "!Or [" + strings.Join(schedules, ", ") + "]"}})
}

// conditionsOf are the conditions of a machine alone. Those of the first workflow are the stack's.
func (s Stack) conditionsOf(m Machine) []Condition {
	all := m.Conditions
	if m.Identity == "" || m.Prefix == "" {
		return all
	}
	when := m.When()
	if m.OnDemand {
		all = append(all, Condition{when, isTrue("Enable" + m.Prefix)})
	}
	all = append(all,
		Condition{m.mayRun(), and(when, s.IsChosen(m))},
		Condition{"Has" + m.Part("AccessEntry"), and(when, Value{yaml: "!Condition HasAccessEntry"})},
		Condition{"HasNo" + m.Part("AccessEntry"), and(when, Value{yaml: "!Condition HasNoAccessEntry"})},
		Condition{"Has" + m.Part("RoleArns"), and(when, anySet(m.Part("RoleArns")))},
		Condition{m.mayAssume(), Value{yaml: "!And [!Condition " + m.mayRun() + ", !Condition Has" + m.Part("RoleArns") + "]"}},
	)
	if m.Schedule != "" {
		all = append(all, Condition{"Has" + m.Schedule, and(when, isSet(m.Schedule+"Expression"))})
	}
	return all
}

// and is whether a condition and a value are true; without a condition, whether the value is.
func and(condition string, is Value) Value {
	if condition == "" {
		return is
	}
	return Value{yaml: "!And [!Condition " + condition + ", " + is.yaml + "]"}
}
