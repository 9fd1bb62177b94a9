package cloudformation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/cloudformation"
)

func stack(parameters map[string]string) cloudformation.Stack {
	return cloudformation.Stack{
		Name: "one", Partition: "aws", Region: "eu-west-1", Account: "111122223333", Parameters: parameters,
		Secret: func(arn string) (string, error) { return "secret of " + arn, nil },
	}
}

func evaluate(t *testing.T, template string, parameters map[string]string) (*cloudformation.Evaluated, error) {
	t.Helper()
	parsed, err := cloudformation.Parse([]byte(template))
	require.NoError(t, err)
	return parsed.Evaluate(stack(parameters))
}

func TestAValueIsWhatCloudFormationWouldMakeOfIt(t *testing.T) {
	for sentence, c := range map[string]struct{ value, want string }{
		"a parameter":              {`{"Ref":"Name"}`, "x"},
		"a pseudo parameter":       {`{"Ref":"AWS::StackName"}`, "one"},
		"the ARN of a named role":  {`{"Fn::GetAtt":["Named","Arn"]}`, "arn:aws:iam::111122223333:role/x-role"},
		"that of one without name": {`{"Fn::GetAtt":["Unnamed","Arn"]}`, "arn:aws:iam::111122223333:role/one-Unnamed"},
		"a function's version":     {`{"Ref":"Version"}`, "arn:aws:lambda:eu-west-1:111122223333:function:f:1"},
		"a substitution":           {`{"Fn::Sub":"${AWS::Partition}/${Name}/${Named.Arn}/${!Name}"}`, "aws/x/arn:aws:iam::111122223333:role/x-role/${Name}"},
		"one of its own variables": {`{"Fn::Sub":["${v}-${Name}",{"v":{"Ref":"AWS::Region"}}]}`, "eu-west-1-x"},
		"a choice":                 {`{"Fn::If":["Yes","a","b"]}`, "a"},
		"the other choice":         {`{"Fn::If":["No","a",{"Fn::If":["AndOr","c","d"]}]}`, "c"},
		"a list that is joined":    {`{"Fn::Join":["+",{"Ref":"List"}]}`, "p+q"},
		"a dynamic reference":      {`{"Fn::Sub":"{{resolve:secretsmanager:${Secret}}}"}`, "secret of arn:aws:secretsmanager:eu-west-1:111122223333:secret:one-Secret"},
		"a log group's ARN":        {`{"Fn::GetAtt":["Logs","Arn"]}`, "arn:aws:logs:eu-west-1:111122223333:log-group:/l:*"},
		"an alias":                 {`{"Ref":"Alias"}`, "arn:aws:states:eu-west-1:111122223333:stateMachine:m:live"},
	} {
		t.Run(sentence, func(t *testing.T) {
			e, err := evaluate(t, `{
				"Parameters": {"Name": {"Type": "String", "Default": "x"}, "List": {"Type": "CommaDelimitedList", "Default": "p, q"}},
				"Conditions": {
					"Yes": {"Fn::Equals": [{"Ref": "Name"}, "x"]}, "No": {"Fn::Not": [{"Condition": "Yes"}]},
					"AndOr": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Or": [{"Condition": "No"}, {"Condition": "Yes"}]}]}
				},
				"Resources": {
					"Named": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Sub": "${Name}-role"}}},
					"Unnamed": {"Type": "AWS::IAM::Role", "Properties": {}},
					"Function": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "f"}},
					"Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
					"Secret": {"Type": "AWS::SecretsManager::Secret"},
					"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/l"}},
					"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"StateMachineName": "m"}},
					"MachineVersion": {"Type": "AWS::StepFunctions::StateMachineVersion", "Properties": {"StateMachineArn": {"Ref": "Machine"}}},
					"Alias": {"Type": "AWS::StepFunctions::StateMachineAlias", "Properties": {"Name": "live", "DeploymentPreference": {"StateMachineVersionArn": {"Ref": "MachineVersion"}}}}
				},
				"Outputs": {"It": {"Value": `+c.value+`}}
			}`, nil)
			require.NoError(t, err)
			assert.Equal(t, c.want, e.Outputs["It"])
		})
	}
}

func TestWhatHasNoValueOrWhoseConditionFailsIsLeftOut(t *testing.T) {
	e, err := evaluate(t, `{
		"Parameters": {"On": {"Type": "String", "Default": "no"}},
		"Conditions": {"IsOn": {"Fn::Equals": [{"Ref": "On"}, "yes"]}},
		"Resources": {
			"Always": {"Type": "AWS::IAM::Role", "Properties": {
				"Path": {"Fn::If": ["IsOn", "/p/", {"Ref": "AWS::NoValue"}]},
				"Policies": ["a", {"Fn::If": ["IsOn", "b", {"Ref": "AWS::NoValue"}]}]}},
			"Sometimes": {"Type": "AWS::IAM::Role", "Condition": "IsOn"}
		},
		"Outputs": {"It": {"Condition": "IsOn", "Value": "x"}}
	}`, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"Policies": []any{"a"}}, e.Resources["Always"].Properties)
	assert.NotContains(t, e.Resources, "Sometimes")
	assert.Empty(t, e.Outputs)
}

func TestAMistakeIsAnErrorThatNamesIt(t *testing.T) {
	for sentence, c := range map[string]struct {
		parameters, resources string
		given                 map[string]string
		want                  string
	}{
		"a parameter that does not exist":     {`{}`, `{}`, map[string]string{"X": "1"}, "no parameter X"},
		"a parameter without a value":         {`{"P":{"Type":"String"}}`, `{}`, nil, "parameter P has no value"},
		"a value that is not allowed":         {`{"P":{"Type":"String","AllowedValues":["a"]}}`, `{}`, map[string]string{"P": "b"}, `parameter P: "b" is not one of [a]`},
		"a value that does not match":         {`{"P":{"Type":"String","AllowedPattern":"[a-z]+"}}`, `{}`, map[string]string{"P": "a1"}, `"a1" does not match`},
		"a value that begins as it must not":  {`{"P":{"Type":"String","AllowedPattern":"^(?!b:|a:)[a-z:]+$"}}`, `{}`, map[string]string{"P": "a:b"}, `"a:b" does not match`},
		"a number that is not one":            {`{"P":{"Type":"Number"}}`, `{}`, map[string]string{"P": "x"}, `"x" is not a number`},
		"a reference to nothing":              {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"RoleName":{"Ref":"Nobody"}}}}`, nil, "resource R: RoleName: Ref: there is no resource Nobody"},
		"a resource that depends on itself":   {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"RoleName":{"Ref":"R"}}}}`, nil, "depends on itself"},
		"a reference to what is left out":     {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"RoleName":{"Ref":"Q"}}},"Q":{"Type":"AWS::IAM::Role","Condition":"Never"}}`, nil, "resource Q is not part of the stack: its condition Never is false"},
		"a type that is not known":            {`{}`, `{"R":{"Type":"AWS::New::Thing"}}`, nil, "does not know the type AWS::New::Thing"},
		"a function that is not known":        {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"Path":{"Fn::Cidr":[]}}}}`, nil, "Fn::Cidr: local/cloudformation cannot evaluate it"},
		"an attribute that is not known":      {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"Path":{"Fn::GetAtt":["Q","RoleId"]}}},"Q":{"Type":"AWS::IAM::Role"}}`, nil, "does not know the attribute RoleId of AWS::IAM::Role"},
		"a list in a text":                    {`{"L":{"Type":"CommaDelimitedList","Default":"a,b"}}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"Path":{"Fn::Sub":"${L}"}}}}`, nil, "[a b] is not text"},
		"a condition that is text":            {`{}`, `{"R":{"Type":"AWS::IAM::Role","Condition":"Text"}}`, nil, "condition Text: yes is not a condition"},
		"a condition that does not exist":     {`{}`, `{"R":{"Type":"AWS::IAM::Role","Condition":"Absent"}}`, nil, "there is no condition Absent"},
		"a choice without an else":            {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"Path":{"Fn::If":["Never","a"]}}}}`, nil, "Fn::If: local/cloudformation cannot evaluate it with the argument [Never a]"},
		"a dynamic reference of another kind": {`{}`, `{"R":{"Type":"AWS::IAM::Role","Properties":{"Path":"{{resolve:ssm:x}}"}}}`, nil, "cannot resolve the dynamic reference"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := evaluate(t, `{"Parameters":`+c.parameters+`,"Conditions":{"Never":{"Fn::Equals":["a","b"]},"Text":"yes"},"Resources":`+c.resources+`}`, c.given)
			require.ErrorContains(t, err, c.want)
		})
	}
}
