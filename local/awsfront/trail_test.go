package awsfront

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/trail"
)

func TestACallIsRecordedAsIAMSeesIt(t *testing.T) {
	const (
		machineRole = "arn:aws:iam::111111111111:role/machine"
		own         = "111111111111"
		other       = "222222222222"
	)
	w := newWorld(t)
	var recorded []trail.Call
	w.front.Record = func(c trail.Call) { recorded = append(recorded, c) }
	w.front.Roles.Put(Role{ARN: otherRole, Trusts: []string{callerRole}, ExternalID: "agreed"})
	w.front.Faults.Add(Fault{Service: "lambda", Resource: "broken", Status: http.StatusTooManyRequests})
	issued, err := w.authority.Issue(callerRole, "list-pods", w.now.AddDate(1, 0, 0))
	require.NoError(t, err)
	account := func(id string) map[string]string { return map[string]string{"aws:ResourceAccount": id} }
	for sentence, c := range map[string]struct {
		method, path, body, service string
		header                      []string
		want                        trail.Call
	}{
		"a function's version, invoked for a state machine": {
			http.MethodPost, functions + "arn:aws:lambda:eu-west-1:111111111111:function:list-pods:3/invocations", "{}", "lambda", []string{RoleHeader, machineRole},
			trail.Call{Principal: machineRole, Action: "lambda:InvokeFunction", Resource: "arn:aws:lambda:eu-west-1:111111111111:function:list-pods:3", Context: account(own), Status: 200},
		},
		"a function, invoked without a version": {
			http.MethodPost, functions + "list-pods/invocations", "{}", "lambda", nil,
			trail.Call{Principal: callerRole, Action: "lambda:InvokeFunction", Resource: "arn:aws:lambda:eu-west-1:111111111111:function:list-pods", Context: account(own), Status: 200},
		},
		"a call that a fault applies to": {
			http.MethodPost, functions + "broken/invocations?Qualifier=1", "{}", "lambda", nil,
			trail.Call{Principal: callerRole, Action: "lambda:InvokeFunction", Resource: "arn:aws:lambda:eu-west-1:111111111111:function:broken:1", Context: account(own), Status: 429},
		},
		"a cluster that is not there": {
			http.MethodGet, "/clusters/demo", "", "eks", nil,
			trail.Call{Principal: callerRole, Action: "eks:DescribeCluster", Resource: "arn:aws:eks:eu-west-1:111111111111:cluster/demo", Context: account(own), Status: 404},
		},
		"a role that is assumed": {
			http.MethodPost, "/", "Action=AssumeRole&RoleSessionName=me&ExternalId=agreed&RoleArn=" + otherRole, "sts", []string{"Content-Type", "application/x-www-form-urlencoded"},
			trail.Call{Principal: callerRole, Action: "sts:AssumeRole", Resource: otherRole, Context: map[string]string{"aws:ResourceAccount": other, "sts:ExternalId": "agreed"}, Status: 200},
		},
		"a topic that is told": {
			http.MethodPost, "/", "Action=Publish&Message=waits&TopicArn=arn:aws:sns:eu-west-1:111111111111:changes", "sns", []string{"Content-Type", "application/x-www-form-urlencoded"},
			trail.Call{Principal: callerRole, Action: "sns:Publish", Resource: "arn:aws:sns:eu-west-1:111111111111:changes", Context: account(own), Status: 200},
		},
		"an execution by an alias": {
			http.MethodPost, "/", `{"stateMachineArn":"arn:aws:states:eu-west-1:111111111111:stateMachine:m:live"}`, "states", []string{"X-Amz-Target", "AWSStepFunctions.StartExecution", RoleHeader, machineRole},
			trail.Call{Principal: machineRole, Action: "states:StartExecution", Resource: "arn:aws:states:eu-west-1:111111111111:stateMachine:m", Context: map[string]string{"aws:ResourceAccount": own, "states:StateMachineQualifier": "live"}, Status: 200},
		},
		"an execution that is waited for": {
			http.MethodPost, "/", `{"executionArn":"arn:aws:states:eu-west-1:111111111111:execution:m:e"}`, "states", []string{"X-Amz-Target", "AWSStepFunctions.DescribeExecution", RoleHeader, machineRole},
			trail.Call{Principal: machineRole, Action: "states:DescribeExecution", Resource: "arn:aws:states:eu-west-1:111111111111:execution:m:e", Context: account(own), Status: 200},
		},
		"an execution whose history is read": {
			http.MethodPost, "/", `{"executionArn":"arn:aws:states:eu-west-1:111111111111:execution:m:e"}`, "states", []string{"X-Amz-Target", "AWSStepFunctions.GetExecutionHistory"},
			trail.Call{Principal: callerRole, Action: "states:GetExecutionHistory", Resource: "arn:aws:states:eu-west-1:111111111111:execution:m:e", Context: account(own), Status: 200},
		},
		"an alarm that is read": {
			http.MethodPost, "/", "Action=DescribeAlarms&AlarmNames.member.1=errors", "monitoring", []string{"Content-Type", "application/x-www-form-urlencoded"},
			trail.Call{Principal: callerRole, Action: "cloudwatch:DescribeAlarms", Resource: "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:errors", Context: account(own), Status: 200},
		},
		"an alarm that is read, in JSON": {
			http.MethodPost, "/", `{"AlarmNames":["errors"]}`, "monitoring", []string{"X-Amz-Target", "GraniteServiceVersion20100801.DescribeAlarms"},
			trail.Call{Principal: callerRole, Action: "cloudwatch:DescribeAlarms", Resource: "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:errors", Context: account(own), Status: 200},
		},
		"an object that is written": {
			http.MethodPut, "/bucket/a%20prefix/part-1", "x", "s3", nil,
			trail.Call{Principal: callerRole, Action: "s3:PutObject", Resource: "arn:aws:s3:::bucket/a prefix/part-1", Context: account(own), Status: 200},
		},
		"a bucket that is listed": {
			http.MethodGet, "/bucket?list-type=2", "", "s3", nil,
			trail.Call{Principal: callerRole, Action: "s3:ListBucket", Resource: "arn:aws:s3:::bucket", Context: account(own), Status: 200},
		},
		"a call that is not known here, with a resource that no policy should allow": {
			http.MethodGet, functions + "list-pods/configuration", "", "lambda", nil,
			trail.Call{Principal: callerRole, Action: "lambda:", Resource: "*", Context: account(own), Status: 501},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			recorded = nil
			header := slices.Concat(c.header, []string{"Authorization", "AWS4-HMAC-SHA256 Credential=" + issued.AccessKeyID + "/20261123/eu-west-1/" + c.service + "/aws4_request, SignedHeaders=host, Signature=00",
				"X-Amz-Security-Token", issued.SessionToken})

			w.send(c.method, c.path, c.body, header...)

			assert.Equal(t, []trail.Call{c.want}, recorded)
		})
	}

	t.Run("but not what needs no permission", func(t *testing.T) {
		recorded = nil
		w.send(http.MethodGet, "/?Action=GetCallerIdentity&X-Amz-Credential="+issued.AccessKeyID+"%2F20261123%2Feu-west-1%2Fsts%2Faws4_request", "", "X-Amz-Security-Token", issued.SessionToken)
		assert.Empty(t, recorded)
	})
}
