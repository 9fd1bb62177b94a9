package jobs

import (
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
)

// reasonEvicted is the reason of a pod that a kubelet ended.
const reasonEvicted = "Evicted"

// hasBegun reports whether a container of the pod has run. Init containers do not count: what
// the Job is for may not have begun.
func (p *pod) hasBegun() bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(c containerStatus) bool {
		return c.State.Running != nil || c.State.Terminated != nil && c.State.Terminated.Reason != "ContainerStatusUnknown" || c.LastState.Terminated != nil
	})
}

// isInitializing reports whether an init container runs that will end: the pod comes closer
// to its start.
func (p *pod) isInitializing() bool {
	return slices.ContainsFunc(p.Status.InitContainerStatuses, func(c containerStatus) bool {
		return c.State.Running != nil && !p.isSidecar(c.Name)
	})
}

// isSidecar reports whether an init container keeps running beside the others.
// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
func (p *pod) isSidecar(name string) bool {
	for _, c := range p.Spec.InitContainers {
		if c.Name == name {
			return c.RestartPolicy == "Always"
		}
	}
	return false
}

// wanted is the container whose end matters if all went well: that of the request, or the
// first.
func (p *pod) wanted(container string) string {
	if container == "" && len(p.Spec.Containers) > 0 {
		return p.Spec.Containers[0].Name
	}
	return container
}

// maxMessage bounds what is kept of a kubelet's message, in bytes.
const maxMessage = 1 << 10

// ended are the pod's containers that ended: of those that ended well, only the one that
// matters.
func (p *pod) ended(container string) []runjob.EndedContainer {
	var all []runjob.EndedContainer
	wanted := p.wanted(container)
	for _, statuses := range [][]containerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for _, c := range statuses {
			t := c.State.Terminated
			if t == nil {
				t = c.LastState.Terminated
			}
			if t == nil || t.ExitCode == 0 && c.Name != wanted || p.isSidecar(c.Name) {
				continue
			}
			all = append(all, runjob.EndedContainer{
				Pod: p.Metadata.Name, Container: c.Name, ExitCode: t.ExitCode, Reason: contract.Clip(contract.OneLine(t.Reason), maxQuoted),
				Message: contract.Clip(sanitize(t.Message), maxMessage), FinishedAt: t.FinishedAt, Lines: []string{},
			})
		}
	}
	if len(all) == 0 && p.Status.Phase == "Failed" { // evicted, say, before a container ran
		reason := p.Status.Reason
		if reason == "" {
			reason = "Failed"
		}
		all = append(all, runjob.EndedContainer{
			Pod: p.Metadata.Name, ExitCode: noExitCode, Reason: contract.Clip(contract.OneLine(reason), maxQuoted), Message: contract.Clip(sanitize(p.Status.Message), maxMessage),
			FinishedAt: p.failedAt(), Lines: []string{},
		})
	}
	return all
}

// noExitCode is the exit code of a pod that failed without a container that ended.
const noExitCode = 255

// failedAt is about when a pod failed that no container of ended.
func (p *pod) failedAt() time.Time {
	var at time.Time
	for _, c := range p.Status.Conditions {
		if c.LastTransitionTime.After(at) {
			at = c.LastTransitionTime
		}
	}
	return at
}

// waiting returns why a container of the pod, or the pod, does not start: the reason, and a
// sentence. The reason is empty if nothing says so.
func (p *pod) waiting() (reason, sentence string) {
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return orElse(c.Reason, "Unschedulable"), strings.TrimRight(contract.OneLine(c.Message), ". ")
		}
	}
	for _, statuses := range [][]containerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range statuses {
			w := c.State.Waiting
			// The first two only say that the kubelet is at it, or is to begin.
			if w == nil || w.Reason == "PodInitializing" || w.Reason == "ContainerCreating" {
				continue
			}
			return w.Reason, "container " + c.Name + ": " + contract.OneLine(w.Message)
		}
	}
	return "", ""
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
