package deploy

import (
	"regexp"
	"strconv"
	"strings"
)

// Value is a value in the template.
type Value struct {
	// yaml is the value as template.yml has it, on one line or, if it is a block, on several.
	yaml string
	// text is the value as a table of docs/security.md shows it.
	text string
	// anchor is the YAML anchor of a value that the template has more than once.
	anchor string
}

// ref is a parameter's value, or the name or ARN of a resource.
func ref(id string) Value { return Value{yaml: "!Ref " + id, text: "${" + id + "}"} }

// att is an attribute of a resource, such as FunctionLogs.Arn.
func att(attribute string) Value {
	return Value{yaml: "!GetAtt " + attribute, text: "${" + attribute + "}"}
}

// sub is a text in which CloudFormation replaces ${…}.
func sub(text string) Value { return Value{yaml: "!Sub " + strconv.Quote(text), text: text} }

// text is a text as it is.
func text(s string) Value { return Value{yaml: quote(s), text: s} }

// choice is one of two values, by a condition of the template.
func choice(condition string, then, otherwise Value) Value {
	return Value{
		yaml: "!If [" + condition + ", " + then.yaml + ", " + otherwise.yaml + "]",
		text: then.text + " (if " + condition + ")",
	}
}

// list is a list of texts.
func list(texts ...string) Value {
	return Value{yaml: flow(texts), text: strings.Join(texts, ", ")}
}

// nothing leaves a property out.
func nothing() Value { return ref("AWS::NoValue") }

// as gives a value the anchor by which the template repeats it.
func (v Value) as(anchor string) Value {
	v.anchor = anchor
	return v
}

// String is the value as the template has it.
func (v Value) String() string { return v.yaml }

// secret is the value of a secret, which CloudFormation reads.
func secret(id string) Value {
	return sub("{{resolve:secretsmanager:${" + id + "}:SecretString::${SecretStage}:}}")
}

func attestationKey() Value { return secret("AttestationKey").as("attestationKey") }

// encryptionKey is the key that encrypts variables and secrets.
func encryptionKey() Value {
	return choice("CreatesKey", att("Key.Arn"), ref("EncryptionKeyArn")).as("key")
}

func boundary() Value {
	return choice("HasPermissionsBoundary", ref("PermissionsBoundaryArn"), nothing()).as("boundary")
}

func alarmTopic() Value {
	return Value{yaml: "!If [HasAlarmTopic, [!Ref AlarmTopicArn], !Ref AWS::NoValue]", anchor: "topic"}
}

func randomKey() Value {
	return Value{yaml: "PasswordLength: 64\nExcludePunctuation: true", anchor: "randomKey"}
}

func vpc() Value {
	return Value{yaml: "Fn::If:\n  - HasVpc\n  - SubnetIds: !Ref SubnetIds\n    SecurityGroupIds: !Ref SecurityGroupIds\n  - !Ref AWS::NoValue", anchor: "vpc"}
}

// isSet is whether a parameter is not empty.
func isSet(parameter string) Value { return Value{yaml: "!Not [!Equals [!Ref " + parameter + `, ""]]`} }

// anySet is whether a parameter that is a list is not empty.
func anySet(parameter string) Value {
	return Value{yaml: `!Not [!Equals [!Join ["", !Ref ` + parameter + `], ""]]`}
}

func isTrue(parameter string) Value { return Value{yaml: "!Equals [!Ref " + parameter + `, "true"]`} }

// plain matches what YAML reads as the same text without quotes, in a list too.
var plain = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9]*:)?[A-Za-z][A-Za-z0-9_./ -]*[A-Za-z0-9*.]$`)

// quote returns a text as YAML writes it.
func quote(s string) string {
	if plain.MatchString(s) && s != "true" && s != "false" {
		return s
	}
	return strconv.Quote(s)
}

// flow returns a list on one line.
func flow(texts []string) string {
	all := make([]string, len(texts))
	for i, s := range texts {
		all[i] = quote(s)
	}
	return "[" + strings.Join(all, ", ") + "]"
}
