package documents

import (
	"bytes"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
)

// Small parts are read several at once. What a part takes while it is read is bounded by
// its length: it has no anchors.
const (
	maxSmall = 32 << 10
	// maxBatch bounds the parts that are read ahead, in bytes.
	maxBatch = 256 << 10
	// maxReaders bounds the parts that are read at once.
	maxReaders = 2
)

func (p part) isSmall() bool { return len(p.text) <= maxSmall && bytes.IndexByte(p.text, '&') < 0 }

// batches gathers small parts that follow each other. Any other is a batch of its own.
func batches(parts iter.Seq[part]) iter.Seq[[]part] {
	return func(yield func([]part) bool) {
		var small []part
		bytes := 0
		flush := func() bool {
			if len(small) == 0 {
				return true
			}
			some := small
			small, bytes = nil, 0
			return yield(some)
		}
		for p := range parts {
			if !p.isSmall() {
				if !flush() || !yield([]part{p}) {
					return
				}
				continue
			}
			if bytes += len(p.text); bytes > maxBatch && !flush() {
				return
			}
			small = append(small, p)
		}
		flush()
	}
}

// result is a part that was read.
type result struct {
	documents []Document
	problem   *Problem
}

func (r result) pass(pass func(Document) bool) *Problem {
	for _, d := range r.documents {
		if !pass(d) {
			return nil
		}
	}
	return r.problem
}

// ahead reads a batch of small parts. It returns nil if that gains nothing.
func (r *reader) ahead(some []part) []result {
	readers := min(maxReaders, runtime.GOMAXPROCS(0), len(some))
	if readers < 2 {
		return nil
	}
	results := make([]result, len(some))
	var next atomic.Int64
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			one := reader{encoding: r.encoding} // without anchors nothing expands
			for i := int(next.Add(1)) - 1; i < len(some); i = int(next.Add(1)) - 1 {
				results[i].problem = one.read(some[i], func(d Document) bool {
					results[i].documents = append(results[i].documents, d)
					return true
				})
			}
		})
	}
	group.Wait()
	return results
}
