package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnARNInAListIsTheClusterThatItNames(t *testing.T) {
	const (
		arn  = "arn:aws:eks:eu-west-1:444455556666:cluster/demo"
		role = "arn:aws:iam::444455556666:role/member"
	)
	for sentence, c := range map[string]struct {
		record, want string
		wrong        problems
	}{
		"alone":                       {arn + ",,", `"` + arn + `"`, nil},
		"with its Region":             {arn + ",eu-west-1,", `"` + arn + `"`, nil},
		"with another Region":         {arn + ",us-east-1,", `"` + arn + `"`, problems{"--filename list.csv:2: the ARN is of eu-west-1, and region is us-east-1"}},
		"with a role of its account":  {arn + ",," + role, `{"clusterName":"demo","region":"eu-west-1","roleArn":"` + role + `"}`, nil},
		"with a role of another":      {arn + ",,arn:aws:iam::111122223333:role/a", `{"clusterName":"demo","region":"eu-west-1","roleArn":"arn:aws:iam::111122223333:role/a"}`, problems{"--filename list.csv:2: the ARN is of account 444455556666, and roleArn of 111122223333"}},
		"with something else as role": {arn + ",,member", `{"clusterName":"demo","region":"eu-west-1","roleArn":"member"}`, problems{"--filename list.csv:2: the ARN is of account 444455556666, and roleArn of none"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			var wrong problems
			list := fileClusters{name: "list.csv"}
			list.readCSV("clusterName,region,roleArn\n"+c.record+"\n", &wrong)
			assert.Equal(t, c.wrong, wrong)
			assert.JSONEq(t, c.want, string(list.clusters[0]))
		})
	}
}
