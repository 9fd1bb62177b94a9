package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/follow"
)

var demo = contract.ClusterSummary{Name: "demo", Region: "eu-west-1", Version: "1.37", Status: "ACTIVE"}

func TestTable(t *testing.T) {
	for name, output := range map[string]podinventory.Output{
		"no pods": {Cluster: demo},
		"a namespace without pods": {
			Cluster: demo, Access: contract.Access{Allowed: true, Namespaces: []contract.NamespaceAccess{{Namespace: "shop", Allowed: true}, {Namespace: "shpo", Allowed: true}}},
			Pods: podinventory.Pods{Total: 1, ByNamespace: map[string]int{"shop": 1, "shpo": 0}, ByStatus: map[string]int{"Running": 1}},
		},
		"every namespace": {
			Cluster: demo, Access: contract.Access{Allowed: true, Namespaces: []contract.NamespaceAccess{{Namespace: "*", Allowed: true}}},
			Pods: podinventory.Pods{Total: 1, ByNamespace: map[string]int{"shop": 1}},
		},
		"one pod": {Cluster: demo, Pods: podinventory.Pods{
			Total: 1, ByNamespace: map[string]int{"default": 1}, ByStatus: map[string]int{"Pending": 1},
			Items: []podinventory.Pod{{Namespace: "default", Name: "report-1", Ready: "0/1", Status: "Pending", Age: "3s"}},
		}},
		"cut": {Cluster: demo, Pods: podinventory.Pods{
			Total: 9_901, ByNamespace: map[string]int{"shop": 9_000, "default": 901}, ByStatus: map[string]int{"Running": 9_900, "CrashLoopBackOff": 1},
			Items: []podinventory.Pod{
				{Namespace: "shop", Name: "worker-6c9d8f7b5-tn2vx", Ready: "0/1", Status: "CrashLoopBackOff", Restarts: 17, Age: "5d2h", IP: "10.0.2.63", Node: "ip-10-0-2-114.eu-west-1.compute.internal"},
			},
			Truncated: true,
		}},
		"many namespaces": {Cluster: demo, Pods: podinventory.Pods{Total: 78, ByNamespace: map[string]int{
			"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9, "j": 10, "k": 11, "l": 12,
		}}},
		"denied": {
			Cluster: demo,
			Access: contract.Access{Namespaces: []contract.NamespaceAccess{
				{Namespace: "default", Allowed: true}, {Namespace: "shop", Reason: "no RBAC policy matched"}, {Namespace: "vault"},
			}},
			Pods: podinventory.Pods{Total: 2, ByNamespace: map[string]int{"default": 2}, ByStatus: map[string]int{"Running": 1, "Pending": 1}},
		},
		"hostile": {
			Cluster: contract.ClusterSummary{Name: "de\x1bmo", Region: "\x07", Version: "\u009b2J"},
			Access:  contract.Access{Namespaces: []contract.NamespaceAccess{{Namespace: "a\x1b", Reason: "b\nc"}}},
			Pods: podinventory.Pods{
				Total: 1, ByNamespace: map[string]int{"a\tb": 1}, ByStatus: map[string]int{"\x1b[31mRed": 1},
				Items: []podinventory.Pod{{Namespace: "a\tb", Name: "x\ny", Ready: "\x1b", Status: "\x1b[31mRed", Age: "\r", IP: "\u202e", Node: "\xff"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := json.Marshal(output)
			require.NoError(t, err)
			got, err := podTable(follow.Execution{Output: string(document), Stopped: time.Time{}.Add(2400 * time.Millisecond)}, paper{})
			require.NoError(t, err)
			golden(t, "table-"+name, got)
			assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]", got)
		})
	}
}
