package iam_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/trail"
	"github.com/kubestep/kubestep/test/iam"
)

const (
	readerARN = "arn:aws:iam::111122223333:role/reader"
	demo      = "arn:aws:eks:eu-west-1:111122223333:cluster/demo"
)

// simulator skips the test without Node.js.
func simulator(t *testing.T) iam.Simulator {
	t.Helper()
	s, found := iam.Find("../..")
	if !found {
		t.Skip("make test installs the IAM simulator, if there is Node.js")
	}
	return s
}

// permitted is a role with a policy of these statements.
func permitted(statements ...string) trail.Entry {
	document := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[%s]}`, strings.Join(statements, ","))
	return trail.Entry{Role: &trail.Role{ID: "Reader", ARN: readerARN, Policies: []trail.Policy{{Name: "all", Document: json.RawMessage(document)}}}}
}

func called(principal, action, resource string, status int) trail.Entry {
	return trail.Entry{Call: &trail.Call{Principal: principal, Action: action, Resource: resource, Status: status, Context: map[string]string{"aws:ResourceAccount": "111122223333"}}}
}

func TestARecordingIsHeldAgainstThePolicies(t *testing.T) {
	s := simulator(t)
	const (
		describe = `{"Effect":"Allow","Action":"eks:DescribeCluster","Resource":"` + demo + `"}`
		write    = `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"aws:ResourceAccount":"444455556666"}}}`
		logs     = `{"Effect":"Allow","Action":["logs:CreateLogStream"],"Resource":"*"}`
	)
	described := called(readerARN, "eks:DescribeCluster", demo, 200)
	services := []iam.ByService{{Actions: []string{"logs:CreateLogStream"}, Why: "Lambda does"}}
	for sentence, c := range map[string]struct {
		recording        []trail.Entry
		denied, needless []string
	}{
		"all is called, and allowed": {[]trail.Entry{permitted(describe, logs), described}, nil, nil},
		"a call that no statement allows": {
			[]trail.Entry{permitted(logs), described},
			[]string{`Reader (` + readerARN + `) called eks:DescribeCluster on ` + demo + ` with {"aws:ResourceAccount":"111122223333"}, which is ImplicitlyDenied`}, nil,
		},
		"a call that a condition does not allow": {
			[]trail.Entry{permitted(write, logs), called(readerARN, "s3:PutObject", "arn:aws:s3:::b/k", 200)},
			[]string{`Reader (` + readerARN + `) called s3:PutObject on arn:aws:s3:::b/k with {"aws:ResourceAccount":"111122223333"}, which is ImplicitlyDenied`},
			[]string{"no call needs s3:PutObject of Reader, policy all, statement 1"},
		},
		"a call that failed need not be allowed":      {[]trail.Entry{permitted(describe, logs), described, called(readerARN, "eks:DescribeCluster", demo+"2", 404)}, nil, nil},
		"nor one of a role that is not the stack's":   {[]trail.Entry{permitted(describe, logs), described, called(readerARN+"2", "eks:DescribeCluster", demo+"2", 200)}, nil, nil},
		"a call counts with the policies of its time": {[]trail.Entry{permitted(describe, logs), described, permitted(logs)}, nil, nil},
		"a call that IAM does not know": {
			[]trail.Entry{permitted(describe, logs), described, called(readerARN, "eks:Describe", "*", 200)},
			[]string{`Reader made a call that IAM does not know, eks:Describe on *: {"message":"invalid.action"}`}, nil,
		},
		"a statement that no call needs": {
			[]trail.Entry{permitted(describe, logs, `{"Effect":"Allow","Action":"eks:ListClusters","Resource":"*"}`), described},
			nil, []string{"no call needs eks:ListClusters of Reader, policy all, statement 3"},
		},
		"an action of a statement that no call needs": {
			[]trail.Entry{permitted(logs, `{"Effect":"Allow","Action":["eks:DescribeCluster","eks:DeleteCluster"],"Resource":"`+demo+`"}`), described},
			nil, []string{"no call needs eks:DeleteCluster of Reader, policy all, statement 2"},
		},
		"a resource of a statement that no call needs": {
			[]trail.Entry{permitted(logs, `{"Effect":"Allow","Action":"eks:DescribeCluster","Resource":["`+demo+`","`+demo+`2"]}`), described},
			nil, []string{"no call needs the resource " + demo + "2 of Reader, policy all, statement 2"},
		},
		"two statements of which each alone would do": {
			[]trail.Entry{permitted(describe, describe, logs), described},
			nil, []string{"no call needs eks:DescribeCluster of Reader, policy all, statement 1", "no call needs eks:DescribeCluster of Reader, policy all, statement 2"},
		},
		"an action for a service that no role has": {
			[]trail.Entry{permitted(describe), described}, nil, []string{"no role has logs:CreateLogStream, which is said to be for a service: Lambda does"},
		},
		"an action for a service that code calls": {
			[]trail.Entry{permitted(describe, logs), described, called(readerARN, "logs:CreateLogStream", "arn:aws:logs:eu-west-1:111122223333:log-group:g:log-stream:s", 200)},
			nil,
			[]string{
				"Reader calls logs:CreateLogStream itself, which is said to be for a service",
				"no role has logs:CreateLogStream, which is said to be for a service: Lambda does",
			},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			verdict, err := iam.Judge(t.Context(), s, c.recording, services, nil)
			require.NoError(t, err)
			assert.Equal(t, c.denied, verdict.Denied)
			assert.Equal(t, c.needless, verdict.Needless)
		})
	}
}
