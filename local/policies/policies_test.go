package policies_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/policies"
)

func TestARowSaysWhoMayDoWhatToWhatAndWhen(t *testing.T) {
	template, err := cloudformation.Parse([]byte(`{"Resources":{"WorkKey":{"Type":"AWS::KMS::Key","Properties":{"KeyPolicy":{"Statement":[
		{"Sid":"Decrypt","Effect":"Allow","Principal":{"AWS":[{"Fn::GetAtt":["WorkRole","Arn"]}]},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringLike":{"kms:ViaService":"lambda.*"}}}]}}},
		"WorkRole":{"Type":"AWS::IAM::Role","Condition":"HasWork","Properties":{
		"Description": "What work may do",
		"AssumeRolePolicyDocument":{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]},
		"Policies":[
			{"PolicyName":"logs","PolicyDocument":{"Statement":[{"Effect":"Allow","Action":["logs:A","logs:B"],"Resource":{"Fn::GetAtt":["Logs","Arn"]}}]}},
			{"PolicyName":"roles","PolicyDocument":{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":{"Ref":"RoleArns"},
				"Condition":{"Fn::If":["HasOrganization",{"StringEquals":{"aws:ResourceOrgID":{"Ref":"OrganizationId"}}},{"Ref":"AWS::NoValue"}]}}]}},
			{"Fn::If":["HasBucket",{"PolicyName":"output","PolicyDocument":{"Statement":[
				{"Effect":"Deny","Action":"s3:PutObject","Resource":{"Fn::Sub":"arn:${AWS::Partition}:s3:::${Bucket}/*"},"Condition":{"StringEquals":{"aws:SourceAccount":{"Ref":"AWS::AccountId"}}}}]}},{"Ref":"AWS::NoValue"}]}
		]}}}}`))
	require.NoError(t, err)
	table, err := policies.Markdown("# By hand\n"+policies.Marker+"something old\n", template)
	require.NoError(t, err)
	assert.Contains(t, table, "# By hand\n"+policies.Marker+"\n## WorkKey\n", "what people wrote stays, what was generated goes")
	assert.Contains(t, table, "| Decrypt | Allow | `${WorkRole.Arn}` | `kms:Decrypt` | where `kms:ViaService` StringLike `lambda.*` |\n")
	assert.Contains(t, table, "## WorkRole\n\nWhat work may do. Only when HasWork. Assumed by `lambda.amazonaws.com`.\n")
	assert.Contains(t, table, "| logs |  | Allow | `logs:A`<br>`logs:B` | `${Logs.Arn}` |\n")
	assert.Contains(t, table, "| roles |  | Allow | `sts:AssumeRole` | `${RoleArns}`, where `aws:ResourceOrgID` StringEquals `${OrganizationId}` (if HasOrganization) |\n")
	assert.Contains(t, table, "| output | HasBucket | Deny | `s3:PutObject` | `arn:${AWS::Partition}:s3:::${Bucket}/*`, where `aws:SourceAccount` StringEquals `${AWS::AccountId}` |\n")
}

func TestAPolicyThatTheTableCannotShowIsAnError(t *testing.T) {
	for sentence, properties := range map[string]string{
		"a managed policy":               `"ManagedPolicyArns":["x"],"AssumeRolePolicyDocument":{"Statement":[{"Effect":"Allow"}]}`,
		"something that is not a policy": `"Policies":["x"],"AssumeRolePolicyDocument":{"Statement":[{"Effect":"Allow"}]}`,
		"a role without a trust policy":  `"Policies":[]`,
	} {
		template, err := cloudformation.Parse([]byte(`{"Resources":{"R":{"Type":"AWS::IAM::Role","Properties":{` + properties + `}}}}`))
		require.NoError(t, err)
		_, err = policies.Markdown(policies.Marker, template)
		assert.Error(t, err, sentence)
	}
}

func TestATextWithoutTheMarkerIsNotOverwritten(t *testing.T) {
	_, err := policies.Markdown("# By hand\n", &cloudformation.Template{})
	assert.ErrorContains(t, err, "make security")
}
