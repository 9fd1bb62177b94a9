package pods

import (
	"cmp"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

// order sorts the items: the unhealthy pods first, then by the place of their
// namespace in the request (by its name, if the request is for all namespaces),
// then by name.
type order struct {
	rank map[string]int
}

func newOrder(namespaces []string) order {
	rank := make(map[string]int, len(namespaces))
	for i, namespace := range namespaces {
		rank[namespace] = i
	}
	return order{rank}
}

func (o order) namespaces(a, b string) int {
	return cmp.Or(cmp.Compare(o.rank[a], o.rank[b]), cmp.Compare(a, b))
}

func (o order) compare(a, b podinventory.Pod) int {
	return cmp.Or(
		health(!a.Unhealthy, !b.Unhealthy),
		o.namespaces(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}

// before reports whether a pod sorts ahead of other, without allocating.
func (o order) before(isHealthy bool, namespace string, name []byte, other podinventory.Pod) bool {
	if c := cmp.Or(health(isHealthy, !other.Unhealthy), o.namespaces(namespace, other.Namespace)); c != 0 {
		return c < 0
	}
	return string(name) < other.Name
}

func health(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
