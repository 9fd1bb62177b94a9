package pods

import (
	"iter"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

// totals are counts by name, bounded in bytes: the first names in order are kept,
// and the others summed up. What is kept does not depend on the order in which
// they are added.
type totals struct {
	counts map[string]*int
	other  int
	cut    bool   // whether names were summed up
	last   string // of those that are kept, once they are cut
	left   int    // bytes
}

// perEntry is the bytes of an entry beside its name: quotes, colon, comma and a
// count of up to eight digits.
const perEntry = 12

func newTotals(bytes int, earlier map[string]int) totals {
	t := totals{counts: map[string]*int{}, left: bytes}
	for name, n := range earlier {
		if name != podinventory.Other {
			t.add(name, n)
		}
	}
	if other, cut := earlier[podinventory.Other]; cut {
		t.other += other
		t.cut, t.last = true, t.greatest()
	}
	return t
}

// greatest returns the last name in order; empty if there is none.
func (t *totals) greatest() string {
	greatest := ""
	for name := range t.counts {
		greatest = max(greatest, name)
	}
	return greatest
}

func (t *totals) addBytes(name []byte, n int) {
	if count, known := t.counts[string(name)]; known { // which does not allocate
		*count += n
		return
	}
	t.add(string(name), n)
}

func (t *totals) add(name string, n int) {
	if count, known := t.counts[name]; known {
		*count += n
		return
	}
	if t.cut && name > t.last {
		t.other += n
		return
	}
	count := n // a parameter that is kept would be allocated at each call
	t.counts[name] = &count
	t.left -= encodedSize(name) + perEntry
	for t.left < 0 {
		t.sumUp(t.greatest())
	}
}

// sumUp removes the last name, and adds its count to the others.
func (t *totals) sumUp(last string) {
	t.other += *t.counts[last]
	t.left += encodedSize(last) + perEntry
	delete(t.counts, last)
	t.cut, t.last = true, t.greatest()
}

// merge adds other totals. The names that those have summed up are summed up here
// too: the count of a part would look like the count of all.
func (t *totals) merge(more totals) {
	for name, n := range more.counts {
		t.add(name, *n)
	}
	if !more.cut {
		return
	}
	t.other += more.other
	t.cut, t.last = true, t.greatest()
	for len(t.counts) > 0 && t.last > more.last {
		t.sumUp(t.last)
	}
}

// all returns the counts, with what was summed up as podinventory.Other.
func (t *totals) all() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for name, n := range t.counts {
			if !yield(name, *n) {
				return
			}
		}
		if t.cut {
			yield(podinventory.Other, t.other)
		}
	}
}
