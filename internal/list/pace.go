package list

import (
	"time"

	"github.com/kubestep/kubestep/internal/batch"
)

const (
	// firstPageRows is the limit of a page before anything is known of the rows.
	firstPageRows = 1000
	// minPageRows is the smallest limit that is worth a request.
	minPageRows = 100
	// maxPageRows bounds what is decoded before it counts, and with it the memory. Small
	// pages cost the API server more, which goes through all that is left of the list for each:
	// https://github.com/kubernetes/apiserver/blob/v0.37.2/pkg/storage/cacher/store/store_btree.go
	maxPageRows = 10_000
	// lastPageRows is about how many rows the last page of a long list has. While it is
	// decoded, there is no other for the API server to work on.
	lastPageRows = 2500
	// guessedRowBytes is taken for the bytes of a row before any was read: most rows have half
	// as many.
	guessedRowBytes = 400
	// growth bounds how much larger a page is than the largest so far.
	growth = 10
	// pageBytes and pageTime are the most that a page should take: the API server
	// holds all of a page while it sends it, and a page that fails is lost whole.
	pageBytes = 4 << 20
	pageTime  = 5 * time.Second
)

// pace chooses the limits of pages by what the earlier ones took.
type pace struct {
	largest     int // rows
	bytesPerRow int
	timePerRow  time.Duration
	slowest     time.Duration
}

// learn takes a page into account.
func (p *pace) learn(rows, bytes int, took time.Duration) {
	p.slowest = max(p.slowest, took)
	if rows == 0 {
		return
	}
	p.largest = max(p.largest, rows)
	p.bytesPerRow = max(p.bytesPerRow, bytes/rows)
	if rows >= minPageRows || p.timePerRow == 0 { // the time of a small page is mostly its request
		p.timePerRow = max(p.timePerRow, took/time.Duration(rows))
	}
}

// limit returns how many rows the next page may have, and whether there is time for
// it in what is left. Of the remaining rows, if they are known, it takes half, so that
// pages get smaller towards the end.
func (p *pace) limit(left time.Duration, remaining int) (int, bool) {
	if left <= batch.Caution*p.slowest {
		return 0, false
	}
	rows := firstPageRows
	if p.largest > 0 {
		rows = max(firstPageRows, p.largest*growth)
		rows = min(rows, maxPageRows, pageBytes/max(1, p.bytesPerRow), int(min(pageTime, left/batch.Caution)/max(1, p.timePerRow)))
	}
	if remaining > lastPageRows {
		rows = min(rows, max(remaining/2, lastPageRows))
	}
	return max(rows, minPageRows), true
}
