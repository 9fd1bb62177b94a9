package report_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/fleet"
)

var picture = flag.String("picture", "", "the `folder` to write the pictures of README to")

// sample is a realistic fleet.
func sample() []fleet.Outcome {
	regions, stages := []string{"eu-west-1", "eu-central-1", "us-east-1", "ap-southeast-2"}, []string{"prod", "stage", "dev"}
	teams := []string{"payments", "search", "checkout", "ml", "edge", "tools", "data"}
	var all []fleet.Outcome
	for i := range 86 {
		o := well(fmt.Sprintf("%s-%s-%02d", teams[i%7], stages[i%3], i))
		o.Region, o.Seconds = regions[i%4], float64(i%13)/3+1.2
		o.Totals = map[string]int{"pods": (i*7919)%1400 + 12, "unhealthy": (i * i) % 7}
		if i%3 == 1 {
			o.RoleARN = "arn:aws:iam::444455556666:role/kubestep-member"
		}
		switch {
		case i%17 == 3:
			o.Status, o.Error, o.Totals = fleet.StatusFailed, "Unauthorized", nil
			o.Cause = fmt.Sprintf("Cluster %s does not accept the token of arn:aws:iam::111122223333:role/kubestep-mint-token, because the role is not mapped. Map it: aws eks create-access-entry --cluster-name %s …", o.ClusterName, o.ClusterName)
		case i%31 == 5:
			o.Status, o.Error, o.Totals, o.Attempt, o.Seconds = fleet.StatusFailed, "ClusterUnreachable", nil, 2, 63
			o.Cause = fmt.Sprintf("The API server of cluster %s did not answer within 10 s. Open port 443 of its security group to the functions.", o.ClusterName)
		case i == 44:
			o.Status, o.Error, o.Cause, o.Totals, o.Seconds = fleet.StatusTimedOut, "States.Timeout", "The execution ran out of time.", nil, 900
		}
		all = append(all, o)
	}
	return all
}

// It writes the pictures: go test ./internal/fleet/report -run Picture -picture ../../../docs/fleet
func TestThePicturesOfREADME(t *testing.T) {
	if *picture == "" {
		t.Skip("no folder for the pictures: -picture")
	}
	r := of(sample()...)
	r.Summary.Fleet, r.Fleet.Name, r.Request = "nightly", "nightly", `{"namespaces":["*"]}`
	b := startBrowser(t).open(t, page(t, r), 1160, 900)
	for _, scheme := range []string{"light", "dark"} {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		var shot struct{ Data []byte }
		b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
		require.NoError(t, os.WriteFile(filepath.Join(*picture, "report-"+scheme+".png"), shot.Data, 0o600))
	}
}
