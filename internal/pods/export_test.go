package pods

import (
	"io"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/list"
	workflowpods "github.com/kubestep/kubestep/internal/workflow/podinventory"
)

// Decode counts the pods of a page, as a round does.
func Decode(r io.Reader) (int, error) {
	t := newTally(podinventory.Pods{}, workflowpods.DefaultMaxItems, newOrder(nil))
	err := list.Decode(r, columns[:], func(r *list.Row) { t.row("shop", row{r}) })
	return t.total, err
}
