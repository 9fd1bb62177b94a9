package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// What --output name prints of each workflow, as kubectl does: KIND.GROUP/NAME.

// decoded reads an output.
func decoded[Output any](document string) (output Output, err error) {
	if err := json.Unmarshal([]byte(document), &output); err != nil {
		return output, fmt.Errorf("the output is not one of this workflow: %w", err)
	}
	return output, nil
}

// podNames are the pods.
func podNames(document string) ([]string, error) {
	output, err := decoded[podinventory.Output](document)
	var names []string
	for _, pod := range output.Pods.Items {
		names = append(names, "pod/"+terminal.Line(pod.Name))
	}
	return names, err
}

// objectNames are the objects that change or, in a list of sets, these.
func objectNames(document string) ([]string, error) {
	output, err := decoded[applymanifests.Output](document)
	var names []string
	for _, o := range output.Plan.Objects {
		group, _, grouped := strings.Cut(o.APIVersion, "/")
		kind := strings.ToLower(o.Kind)
		if grouped {
			kind += "." + group
		}
		if o.Action != applymanifests.ActionUnchanged {
			names = append(names, terminal.Line(kind+"/"+o.Name))
		}
	}
	for _, set := range output.Sets {
		names = append(names, "configmap/"+terminal.Line(set.Name))
	}
	return names, err
}

// clusterNames are the clusters of a fleet whose outcomes are in its output.
func clusterNames(document string) ([]string, error) {
	output, err := decoded[fleet.Output](document)
	var names []string
	for _, o := range output.Outcomes {
		names = append(names, terminal.Line(o.ClusterName))
	}
	return names, err
}

// jobNames is the Job.
func jobNames(document string) ([]string, error) {
	output, err := decoded[runjob.Output](document)
	return []string{"job.batch/" + terminal.Line(output.Job.Name)}, err
}

// unnamed says what of an output has no name here, because the output does not have it: a count of
// the names would be wrong. It is empty if all have.
func unnamed(document string) string {
	var output struct {
		Pods struct {
			Items     []json.RawMessage `json:"items"`
			Total     int               `json:"total"`
			Truncated bool              `json:"truncated"`
		} `json:"pods"`
		Plan struct {
			Truncated bool `json:"truncated"`
		} `json:"plan"`
		Summary struct {
			Clusters int `json:"clusters"`
		} `json:"summary"`
		Outcomes []json.RawMessage `json:"outcomes"`
	}
	if err := json.Unmarshal([]byte(document), &output); err != nil {
		return "" // who decodes it in full says so
	}
	switch {
	case output.Pods.Truncated:
		return fmt.Sprintf("The output has %d of %d pods: see --max-items, and --archive for all of them.", len(output.Pods.Items), output.Pods.Total)
	case output.Plan.Truncated:
		return "The output does not have all objects: see --diff, which writes the whole difference to S3."
	case output.Summary.Clusters > len(output.Outcomes):
		return fmt.Sprintf("The output has %d of %d clusters: the report in S3 has all.", len(output.Outcomes), output.Summary.Clusters)
	}
	return ""
}
