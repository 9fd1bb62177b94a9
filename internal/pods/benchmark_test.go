package pods_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/pods"
)

func BenchmarkAPageOf10000Pods(b *testing.B) {
	rows := make([]string, 10_000)
	for i := range rows {
		rows[i] = row(fmt.Sprintf("orders-7c9f6d5b84-%05d", i), "2/2", "Running")
	}
	page := table("", rows...)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		n, err := pods.Decode(strings.NewReader(page))
		require.NoError(b, err)
		require.Equal(b, len(rows), n)
	}
}
