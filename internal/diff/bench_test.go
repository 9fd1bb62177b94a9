package diff_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestep/kubestep/internal/diff"
)

// BenchmarkValues is a ConfigMap of ten settings and a file of a service's addresses, all of which change.
func BenchmarkValues(b *testing.B) {
	object := func(version string) map[string]any {
		data := map[string]any{"application.properties": strings.Repeat("service.endpoint=https://orders.internal.example.com/"+version+"\n", 10)}
		for setting := range 10 {
			data[fmt.Sprintf("SETTING_%02d", setting)] = fmt.Sprintf("value %d of the %s version", setting, version)
		}
		return map[string]any{"metadata": map[string]any{"name": "settings"}, "data": data}
	}
	old, next := object("first"), object("second")
	for b.Loop() {
		for _, change := range diff.Compare(old, next, diff.Rules{}) {
			change.Values()
		}
	}
}
