package pods

import (
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
)

// Decode counts the pods of a page, as a round does.
func Decode(r io.Reader) (int, error) {
	t := newTally(contract.Pods{}, DefaultMaxItems, newOrder(nil))
	_, err := decodeTable(r, func(metav1.ListMeta) {}, func(r *row) { t.row("shop", r) })
	return t.total, err
}
