package fleet_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
)

func TestTheNameOfAnExecution(t *testing.T) {
	demo := contract.Target{ClusterName: "demo", Region: "eu-west-1"}
	for sentence, c := range map[string]struct {
		fleet   string
		target  contract.Target
		attempt int
		want    string
	}{
		"has the fleet's name and the cluster's":           {"nightly", demo, 1, `^nightly-demo-[a-z2-7]{12}$`},
		"has the number of the second attempt":             {"nightly", demo, 2, `^nightly-demo-[a-z2-7]{12}-2$`},
		"holds a whole UUID beside a short cluster's name": {"0f8fad5b-d9cb-469f-a165-70867728950e", demo, 1, `^0f8fad5b-d9cb-469f-a165-70867728950e-demo-[a-z2-7]{12}$`},
		"replaces what Step Functions does not allow":      {"über nacht/1.a", demo, 1, `^-ber-nacht-1-a-demo-[a-z2-7]{12}$`},
		"shortens both": {strings.Repeat("f", 80), contract.Target{ClusterName: strings.Repeat("c", 100)}, 2, `^f{24}-c{27}-[a-z2-7]{12}-2$`},
		"gives the room that a short fleet leaves to the cluster": {"f", contract.Target{ClusterName: strings.Repeat("c", 100)}, 1, `^f-c{50}-[a-z2-7]{12}$`},
	} {
		t.Run(sentence, func(t *testing.T) {
			name := fleet.ExecutionName(contractfleet.Fleet{Name: c.fleet}, c.target, c.attempt)
			assert.Regexp(t, c.want, name)
			assert.LessOrEqual(t, len(name)+len("-abcdefghijkl"), 80, "with room for what makes it this fleet's own")
			assert.Equal(t, name, fleet.ExecutionName(contractfleet.Fleet{Name: c.fleet}, c.target, c.attempt), "and is the same each time")
		})
	}
}

func TestNoTwoClustersOfAFleetShareAName(t *testing.T) {
	long := strings.Repeat("cluster-of-a-team-", 5)
	names := map[string]contract.Target{}
	for i := range 1000 {
		for _, region := range []string{"eu-west-1", "us-east-1"} {
			for _, role := range []string{"", "arn:aws:iam::444455556666:role/kubestep"} {
				target := contract.Target{ClusterName: fmt.Sprintf("%s%04d", long, i), Region: region, RoleARN: role}
				name := fleet.ExecutionName(contractfleet.Fleet{Name: "nightly"}, target, 1)
				assert.Zero(t, names[name], "%s is also the name for %v", name, target)
				names[name] = target
			}
		}
	}
	assert.NotEqual(t, fleet.ExecutionName(contractfleet.Fleet{Name: "a.b"}, contract.Target{ClusterName: "c"}, 1), fleet.ExecutionName(contractfleet.Fleet{Name: "a-b"}, contract.Target{ClusterName: "c"}, 1), "even if they look alike once replaced")
}
