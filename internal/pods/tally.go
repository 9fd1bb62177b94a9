package pods

import (
	"maps"
	"slices"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

const (
	// maxOutputBytes bounds what is told of the pods, in bytes, so that the whole state
	// stays well under the 262,144 that Step Functions passes on.
	maxOutputBytes = 64 << 10
	// maxNamespaceBytes and maxStatusBytes bound the totals in it: a container may
	// have any status, and a cluster may have thousands of namespaces.
	maxNamespaceBytes = 8 << 10
	maxStatusBytes    = 2 << 10
)

// tally counts pods and keeps the first of them in its own order, so that the
// result does not depend on the order in which pages arrive.
type tally struct {
	total       int
	unhealthy   int
	byNamespace totals
	byStatus    totals
	items       []podinventory.Pod // in order
	maxItems    int
	order       order
	// beyond is a pod from which on none needs to be kept; nil if there is none.
	beyond *podinventory.Pod
	// lines takes every pod of a page; nil if they are not written.
	lines *lines
}

// newTally continues from what earlier rounds counted.
func newTally(earlier podinventory.Pods, maxItems int, order order) *tally {
	t := &tally{
		total: earlier.Total, unhealthy: earlier.Unhealthy, byNamespace: newTotals(maxNamespaceBytes, earlier.ByNamespace), byStatus: newTotals(maxStatusBytes, earlier.ByStatus),
		maxItems: maxItems, order: order,
	}
	for _, pod := range earlier.Items {
		t.keep(pod)
	}
	return t
}

// page is a tally for one page, which counts once it is added: a page counts whole
// or not at all.
func (t *tally) page(namespace string) *tally {
	p := newTally(podinventory.Pods{}, t.maxItems, t.order)
	p.byNamespace.add(namespace, 0) // it shows even if it has no pods
	if len(t.items) == t.maxItems && t.maxItems > 0 {
		last := t.items[t.maxItems-1]
		p.beyond = &last
	}
	return p
}

// row counts a pod.
func (t *tally) row(namespace string, r row) {
	healthy := r.healthy()
	t.total++
	if !healthy {
		t.unhealthy++
	}
	t.byNamespace.add(namespace, 1)
	t.byStatus.addBytes(r.Cell(status), 1)
	if t.lines != nil {
		t.lines.add(namespace, r, healthy)
	}
	if t.maxItems == 0 {
		return
	}
	if t.beyond != nil && !t.order.before(healthy, namespace, r.Cell(name), *t.beyond) {
		return
	}
	if len(t.items) == t.maxItems && !t.order.before(healthy, namespace, r.Cell(name), t.items[t.maxItems-1]) {
		return
	}
	t.keep(r.pod(namespace))
}

// keep inserts a pod into the items, unless they are full of earlier ones.
func (t *tally) keep(pod podinventory.Pod) {
	at, twice := slices.BinarySearchFunc(t.items, pod, t.order.compare)
	if twice || at >= t.maxItems {
		return
	}
	if len(t.items) == t.maxItems {
		t.items = t.items[:len(t.items)-1]
	}
	t.items = slices.Insert(t.items, at, pod)
}

// add counts a page.
func (t *tally) add(page *tally) {
	t.total += page.total
	t.unhealthy += page.unhealthy
	t.byNamespace.merge(page.byNamespace)
	t.byStatus.merge(page.byStatus)
	for _, pod := range page.items {
		t.keep(pod)
	}
}

// pods returns what was counted, within the bounds of the output.
func (t *tally) pods() podinventory.Pods {
	p := podinventory.Pods{Total: t.total, Unhealthy: t.unhealthy, ByNamespace: maps.Collect(t.byNamespace.all()), ByStatus: maps.Collect(t.byStatus.all()), Items: []podinventory.Pod{}}
	left := maxOutputBytes - encodedSize(p)
	for _, pod := range t.items {
		if left -= encodedSize(pod) + 1; left < 0 {
			break
		}
		p.Items = append(p.Items, pod)
	}
	p.Truncated = len(p.Items) < p.Total
	return p
}

func encodedSize(v any) int {
	encoded, _ := contract.Encode(v) // strings and numbers: it cannot fail
	return len(encoded)
}
