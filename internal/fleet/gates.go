package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
)

// A gate is passed by the machine: it waits, and asks CloudWatch. Summarize says which gate, and
// what the answer means.

const alarmOK = "OK"

// soaks reports whether the gate can be passed, and the last round begin, before the fleet ends.
func soaks(age time.Duration, gate contractfleet.Gate) bool {
	return left(age)-spare-time.Duration(gate.SoakSeconds)*time.Second > 0
}

// passage is the gate of a wave that is to be passed now.
func passage(wave int, gate contractfleet.Gate) contractfleet.Passage {
	return contractfleet.Passage{Wave: wave, SoakSeconds: gate.SoakSeconds, Alarms: gate.Alarms, Watched: len(gate.Alarms) > 0}
}

// filled has empty arrays in the place of none: a path to an element of null is an error.
func filled(gate contractfleet.Passage) contractfleet.Passage {
	for _, list := range []*[]string{&gate.Alarms, &gate.Seen.Names, &gate.Seen.States, &gate.Seen.CompositeNames, &gate.Seen.CompositeStates} {
		if *list == nil {
			*list = []string{}
		}
	}
	return gate
}

// refusal says why the gate is not passed; it is empty if it is.
func refusal(gate contractfleet.Passage) string {
	if gate.Failure.Error != "" {
		return fmt.Sprintf("its alarms could not be read: %s: %s", gate.Failure.Error, abbreviate(gate.Failure.Cause, maxBesideTarget))
	}
	seen := gate.Seen
	var bad []string
	for _, name := range gate.Alarms {
		state := "no alarm of CloudWatch in the fleet's Region"
		if i := slices.Index(seen.Names, name); i >= 0 && i < len(seen.States) {
			state = seen.States[i]
		} else if i := slices.Index(seen.CompositeNames, name); i >= 0 && i < len(seen.CompositeStates) {
			state = seen.CompositeStates[i]
		}
		if state != alarmOK {
			bad = append(bad, fmt.Sprintf("%s is %s", name, state))
		}
	}
	return strings.Join(bad, ", ")
}

// note says that a wave ended without waiting for what it applied; it is empty if it did.
func note(in contractfleet.Summarize) string {
	var request struct {
		Wait json.RawMessage `json:"wait"`
	}
	if in.Fleet.Workflow != applymanifests.Name || json.Unmarshal(in.Request, &request) != nil || len(request.Wait) > 0 && string(request.Wait) != "null" {
		return ""
	}
	return "The request has no wait: a cluster succeeded once its objects were applied, whether or not they got ready."
}
