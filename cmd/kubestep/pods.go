package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/shell"
)

// podTable is the pods as `kubectl get pods -A` prints them, and their totals.
func podTable(execution follow.Execution, style paper) (string, error) {
	var output podinventory.Output
	if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
		return "", fmt.Errorf("pod-inventory does not write such an output: %w", err)
	}
	elapsed := execution.Stopped.Sub(execution.Started)
	var b bytes.Buffer
	pods := output.Pods
	if len(pods.Items) > 0 {
		writeRows(&b, pods.Items, style)
		if more := pods.Total - len(pods.Items); more > 0 {
			fmt.Fprintf(&b, "… and %d more\n", more)
		}
		b.WriteByte('\n')
	}

	cluster := output.Cluster
	if pods.Total == 0 {
		// The counts would all be 0.
		pods.ByStatus, pods.ByNamespace = nil, nil
	}
	fmt.Fprintf(&b, "%s in cluster %s (Kubernetes %s, %s), in %.1f s\n", count(pods.Total),
		terminal.Line(cluster.Name), terminal.Line(cluster.Version), terminal.Line(cluster.Region), elapsed.Seconds())
	if pods.Unhealthy > 0 {
		fmt.Fprintf(&b, "unhealthy:    %d\n", pods.Unhealthy)
	}
	if len(pods.ByStatus) > 0 {
		fmt.Fprintf(&b, "by status:    %s\n", totals(pods.ByStatus))
	}
	if len(pods.ByNamespace) > 0 {
		fmt.Fprintf(&b, "by namespace: %s\n", totals(pods.ByNamespace))
	}
	b.WriteString(empty(output))
	for _, access := range output.Access.Namespaces {
		if access.Allowed {
			continue
		}
		fmt.Fprintf(&b, "%s  %s", style.Red("not allowed:"), terminal.Line(access.Namespace))
		if access.Reason != "" {
			fmt.Fprintf(&b, " (%s)", terminal.Line(access.Reason))
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// maxEmpty is how many namespaces without pods are named.
const maxEmpty = 5

// empty names the namespaces that were asked for and have no pods. The API server lists none
// of a namespace that does not exist, either.
func empty(output podinventory.Output) string {
	var names []string
	for _, access := range output.Access.Namespaces {
		if access.Allowed && output.Pods.ByNamespace[access.Namespace] == 0 && access.Namespace != contract.AllNamespaces {
			names = append(names, access.Namespace)
		}
	}
	if _, summed := output.Pods.ByNamespace[podinventory.Other]; summed || len(names) == 0 {
		return ""
	}
	words := make([]string, 0, maxEmpty)
	for _, name := range names[:min(maxEmpty, len(names))] {
		words = append(words, shell.Quote(name))
	}
	text := fmt.Sprintf("no pods in:   %s", terminal.Line(strings.Join(contract.Few(names, maxEmpty), ", ")))
	return text + fmt.Sprintf(" (or no such namespace: kubectl get namespace %s)\n", terminal.Line(strings.Join(words, " ")))
}

// writeRows writes the columns of kubectl get pods, with IP and NODE only if it is to be wide.
func writeRows(b *bytes.Buffer, pods []podinventory.Pod, on paper) {
	head := []string{"NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if on.wide {
		head = append(head, "IP", "NODE")
	}
	rows := [][]string{head}
	for _, pod := range pods {
		row := []string{cell(pod.Namespace), cell(pod.Name), cell(pod.Ready), cell(pod.Status), strconv.Itoa(pod.Restarts), cell(pod.Age)}
		if on.wide {
			row = append(row, cell(pod.IP), cell(pod.Node))
		}
		rows = append(rows, row)
	}
	on.table(b, rows, "NAME", "STATUS") // which people copy and read
}

// cell is a value as kubectl prints it.
func cell(value string) string {
	if value == "" {
		return "<none>"
	}
	return terminal.Line(value)
}

func count(pods int) string {
	switch pods {
	case 0:
		return "No pods match"
	case 1:
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", pods)
}

// totals lists the largest counts, the largest first.
func totals(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	const most = 10
	var parts []string
	for _, name := range names[:min(most, len(names))] {
		parts = append(parts, fmt.Sprintf("%s %d", terminal.Line(name), counts[name]))
	}
	if more := len(names) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("… and %d more", more))
	}
	return strings.Join(parts, ", ")
}
