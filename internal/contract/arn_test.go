package contract_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestAnARNHasItsParts(t *testing.T) {
	for arn, parts := range map[contract.ARN][5]string{
		"arn:aws:eks:eu-west-1:111122223333:cluster/demo":                      {"aws", "eks", "eu-west-1", "111122223333", "cluster/demo"},
		"arn:aws-cn:iam::111122223333:role/a/path/name":                        {"aws-cn", "iam", "", "111122223333", "role/a/path/name"},
		"arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:night": {"aws", "states", "eu-west-1", "111122223333", "execution:kubestep-fleet:night"},
		"arn:aws:s3:::bucket": {"aws", "s3", "", "", "bucket"},
		"":                    {},
		"me":                  {},
		"a:b:c:d:e:f":         {},
		"arn:aws:states":      {},
	} {
		assert.Equal(t, parts, [5]string{arn.Partition(), arn.Service(), arn.Region(), arn.Account(), arn.Resource()}, arn)
	}
}

func TestTheExecutionsOfAStateMachineNameNoAlias(t *testing.T) {
	const executions = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet"
	for machine, want := range map[contract.MachineARN][4]string{
		"arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-fleet":      {"kubestep-fleet", "", executions, executions + ":one"},
		"arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-fleet:live": {"kubestep-fleet", "live", executions, executions + ":one"},
		"arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-fleet:7":    {"kubestep-fleet", "7", executions, executions + ":one"},
		"arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:one":     {"", "", "", ":one"},
		"arn:aws:states:eu-west-1:111122223333:stateMachine:stateMachine:live":   {"stateMachine", "live", "arn:aws:states:eu-west-1:111122223333:execution:stateMachine", "arn:aws:states:eu-west-1:111122223333:execution:stateMachine:one"},
		"": {"", "", "", ":one"},
	} {
		assert.Equal(t, want, [4]string{machine.Name(), machine.Qualifier(), machine.Executions(), string(machine.Execution("one"))}, machine)
	}
}

func TestAnExecutionHasAFolderThatNoOtherHas(t *testing.T) {
	for execution, want := range map[contract.ExecutionARN][3]string{
		"arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:night": {"kubestep-fleet", "night", "111122223333/eu-west-1/kubestep-fleet/night/"},
		"a:b:night": {"", "night", "night/"},
		"night":     {"", "night", "night/"},
		"":          {"", "", "/"},
	} {
		assert.Equal(t, want, [3]string{execution.Machine(), execution.Name(), execution.Folder()}, execution)
	}
}
