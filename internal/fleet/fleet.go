// Package fleet runs a workflow on many clusters, each as an execution of its own,
// and reports one outcome for each: which clusters there are (Finder), what became of
// one (Recorder), and what became of all (Summarizer).
package fleet

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// maxName bounds the name of an execution.
	// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html, name
	maxName = 80
	// hashLength is of the characters that tell apart what shortening makes alike:
	// 60 bits, so that no two of 10,000 clusters meet.
	hashLength = 12
	// attemptLength is of "-2".
	attemptLength = 2
	// minFleetName is how much of the fleet's name is left beside a long cluster's.
	minFleetName = 24
)

// ExecutionName is the name of the execution that runs the workflow on a cluster. The
// same fleet, cluster and attempt have the same name, so that nothing is started twice.
func ExecutionName(fleet string, target contract.Target, attempt int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", fleet, target.ClusterName, target.Region, target.RoleARN))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLength]

	const room = maxName - hashLength - attemptLength - len("--")
	fleet, cluster := plain(fleet), plain(target.ClusterName)
	fleet = clip(fleet, max(minFleetName, room-len(cluster)))
	name := fleet + "-" + clip(cluster, room-len(fleet)) + "-" + hash
	if attempt > 1 {
		name += fmt.Sprintf("-%d", attempt)
	}
	return name
}

// plain replaces what may not stand in an execution's name, or needs care in a key of S3.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r == '-', r == '_':
			return r
		default:
			return '-'
		}
	}, name)
}

func clip(name string, length int) string { return name[:min(len(name), length)] }

// folder begins the keys of what a fleet writes.
func folder(to contract.Destination, fleet string) string {
	prefix := strings.TrimSuffix(to.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return prefix + plain(fleet) + "/"
}

func outcomeKey(fleet contract.Fleet, execution string) string {
	return folder(fleet.Output, fleet.Name) + "outcomes/" + execution + ".json"
}

func listKey(fleet contract.Fleet, attempt int) string {
	return folder(fleet.Output, fleet.Name) + fmt.Sprintf("clusters-%d.json", attempt)
}
