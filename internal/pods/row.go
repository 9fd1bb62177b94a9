package pods

import (
	"bytes"
	"strings"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/list"
)

// The columns of a Table of pods that are read.
const (
	name = iota
	ready
	status
	restarts
	age
	ip
	node
	gates
)

// columns are their names and bounds.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/printers/internalversion/printers.go
var columns = [...]list.Column{
	name:     {Name: "Name", MaxBytes: 253, Required: true},
	ready:    {Name: "Ready", MaxBytes: 16},
	status:   {Name: "Status", MaxBytes: 64, Required: true},
	restarts: {Name: "Restarts", MaxBytes: 32},
	age:      {Name: "Age", MaxBytes: 16},
	ip:       {Name: "IP", MaxBytes: 64},
	node:     {Name: "Node", MaxBytes: 253},
	gates:    {Name: "Readiness Gates", MaxBytes: 16},
}

// row is a pod as it is printed.
type row struct{ *list.Row }

// restarts are printed as a number, or as "3 (5m ago)".
func (r row) restarts() int {
	n := 0
	for _, digit := range r.Cell(restarts) {
		if digit < '0' || digit > '9' || n > 1<<30 {
			break
		}
		n = n*10 + int(digit-'0')
	}
	return n
}

// healthy reports whether the pod has succeeded, or runs with all its containers ready
// and all its readiness gates true. The cells do not show the phase of a pod that is done:
// a pod is printed Completed between two runs of its container too, and after a node that
// shut down has stopped it. The reason of its condition does.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/printers/internalversion/printers.go, podSuccessConditions
func (r row) healthy() bool {
	switch string(r.Completed()) {
	case "Succeeded":
		return true
	case "Failed":
		return false
	default:
		return string(r.Cell(status)) == "Running" && all(r.Cell(ready)) && (len(r.Cell(gates)) == 0 || all(r.Cell(gates)))
	}
}

// all reports whether a text such as "2/2" counts all.
func all(text []byte) bool {
	of := bytes.IndexByte(text, '/')
	return of > 0 && bytes.Equal(text[:of], text[of+1:])
}

// pod returns the row as it is kept.
func (r row) pod(namespace string) podinventory.Pod {
	// One allocation for all texts of a pod.
	var texts strings.Builder
	var at [len(columns) + 1]int
	for column := range columns {
		if column != restarts && column != gates {
			texts.Write(r.Cell(column))
		}
		at[column+1] = texts.Len()
	}
	text := func(column int) string { return texts.String()[at[column]:at[column+1]] }
	return podinventory.Pod{
		Namespace: namespace, Name: text(name), Ready: text(ready), Status: text(status),
		Restarts: r.restarts(), Age: text(age), IP: text(ip), Node: text(node), Unhealthy: !r.healthy(),
	}
}
