package pods

import "time"

const (
	// firstPage is how many rows a page has before anything is known of them.
	firstPage = 1000
	// smallestPage is worth its request.
	smallestPage = 100
	// growth bounds how much larger a page is than one that went well.
	growth = 10
	// pageBytes and pageTime are what a page should take: the API server holds all of a
	// page while it sends it, and a page that fails is lost as a whole.
	pageBytes = 4 << 20
	pageTime  = 5 * time.Second
	// reserve is kept of the function's time for the answer.
	reserve = time.Second
	// caution is how much longer than the slowest page so far the next may take.
	caution = 3
)

// pace sizes pages by what the ones before came to.
type pace struct {
	largest     int // rows
	bytesPerRow int
	timePerRow  time.Duration
	slowest     time.Duration
}

// learn takes in what a page came to.
func (p *pace) learn(rows, bytes int, took time.Duration) {
	p.slowest = max(p.slowest, took)
	if rows == 0 {
		return
	}
	p.largest = max(p.largest, rows)
	p.bytesPerRow = max(p.bytesPerRow, bytes/rows)
	if rows >= smallestPage || p.timePerRow == 0 { // small pages are mostly their request
		p.timePerRow = max(p.timePerRow, took/time.Duration(rows))
	}
}

// limit is how many rows the next page may have, and whether there is time for
// it in what is left.
func (p *pace) limit(left time.Duration) (int, bool) {
	if left <= caution*p.slowest {
		return 0, false
	}
	rows := firstPage
	if p.largest > 0 {
		rows = max(firstPage, p.largest*growth)
		rows = min(rows, pageBytes/max(1, p.bytesPerRow), int(min(pageTime, left/caution)/max(1, p.timePerRow)))
	}
	return max(rows, smallestPage), true
}
