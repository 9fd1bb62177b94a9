package batch

import "slices"

// Ledger has a letter for each object, in an order that all rounds share: it passes between
// them as a string. A small letter says what was found out about an object, and the capital
// that what follows from it is done.
type Ledger []byte

const (
	// Pending is the letter of an object that is left to do.
	Pending = '.'
	// HalfDone is the letter of an object that was changed, and is left to be completed.
	HalfDone = 'h'
)

// NewLedger goes on with the letters of earlier rounds. An object without one is pending.
func NewLedger(earlier string, objects int) Ledger {
	l := Ledger(earlier)
	for len(l) < objects {
		l = append(l, Pending)
	}
	return l[:objects]
}

// Capital returns the capital of a letter.
func Capital(letter byte) byte { return letter - 'a' + 'A' }

// Small returns the small letter of a capital.
func Small(letter byte) byte { return letter - 'A' + 'a' }

// IsDone reports whether a letter is a capital.
func IsDone(letter byte) bool { return letter >= 'A' && letter <= 'Z' }

// IsChanged reports whether a letter is of an object that is not as it was.
func IsChanged(letter byte) bool { return IsDone(letter) || letter == HalfDone }

// IsLeft reports whether a letter is of an object that is left to do.
func IsLeft(letter byte) bool { return letter == Pending || letter == HalfDone }

// Has reports whether any object has such a letter.
func (l Ledger) Has(such func(letter byte) bool) bool { return slices.ContainsFunc(l, such) }

// Count counts the objects that have such a letter.
func (l Ledger) Count(such func(letter byte) bool) int {
	n := 0
	for _, letter := range l {
		if such(letter) {
			n++
		}
	}
	return n
}

// Is returns a function that reports whether a letter is one of some, or their capital.
func Is(letters ...byte) func(letter byte) bool {
	return func(letter byte) bool {
		return slices.Contains(letters, letter) || IsDone(letter) && slices.Contains(letters, Small(letter))
	}
}
