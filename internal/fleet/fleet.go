// Package fleet runs a workflow on many clusters, each as an execution of its own,
// and reports one outcome for each: which clusters there are (Finder), what became of
// one (Recorder), and what became of all (Summarizer).
package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/store"
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
// same fleet, request, cluster and attempt have the same name, so that nothing is started
// twice. A name leaves room for contractfleet.Fleet.Own, which the state UseOwnName adds.
func ExecutionName(fleet contractfleet.Fleet, target contract.Target, attempt int) string {
	sum := hash("%q %q %q %q %q", fleet.Name, fleet.Digest, target.ClusterName, target.Region, target.RoleARN)

	const room = maxName - hashLength - attemptLength - len("--") - len("-") - hashLength
	name, cluster := plain(fleet.Name), plain(target.ClusterName)
	name = clip(name, max(minFleetName, room-len(cluster)))
	name += "-" + clip(cluster, room-len(name)) + "-" + sum
	if attempt > 1 {
		name += fmt.Sprintf("-%d", attempt)
	}
	return name
}

// ran is the name of the execution that an outcome is of.
func ran(fleet contractfleet.Fleet, o contractfleet.Outcome) string {
	name := ExecutionName(fleet, o.Target, o.Attempt)
	if o.Own {
		name += "-" + fleet.Own
	}
	return name
}

func hash(format string, values ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, format, values...))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLength]
}

// Digest identifies what each cluster is asked, however it is written.
func Digest(workflow string, request json.RawMessage) (string, error) {
	if request == nil {
		request = json.RawMessage("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(request))
	decoder.UseNumber() // no number is rounded
	var canonical any
	if err := decoder.Decode(&canonical); err != nil {
		return "", fmt.Errorf("read the request: %w", err)
	}
	text, err := json.Marshal(canonical)
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	return hash("%q %s", workflow, text), nil
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

// folder begins the keys of what a fleet writes. No two executions have the same, so that
// fleets of one name do not read each other's lists or replace each other's reports.
func folder(fleet contractfleet.Fleet) string {
	return store.Prefix(fleet.Output) + contract.ExecutionARN(fleet.Execution).Folder()
}

// outcomeKey is the key of the outcome of an execution, whether or not its name ends in Own.
func outcomeKey(fleet contractfleet.Fleet, execution string) string {
	return folder(fleet) + "outcomes/" + strings.TrimSuffix(execution, "-"+fleet.Own) + ".json"
}

// allKey is the key of the list of all clusters, and roundKey of a round's list.
func allKey(fleet contractfleet.Fleet) string { return folder(fleet) + "clusters.json" }

func roundKey(fleet contractfleet.Fleet, round int) string {
	return folder(fleet) + fmt.Sprintf("clusters-%d.json", round)
}
