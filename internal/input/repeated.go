package input

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// plainKey are the keys that a path has without quotes.
var plainKey = regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`)

// level is an object or an array that is being read.
type level struct {
	keys  map[string]bool // nil for an array
	key   string
	value bool // what follows is a value, not a key
	index int  // of the item
}

// Repeated returns where a key is in an object of a JSON value once more, such as
// "output.bucket". Programs differ in which of the values they take, so what one has checked
// is not what another does. It returns the first of many.
func Repeated(raw json.RawMessage) []string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var levels []level
	var repeated []string
	for {
		token, err := decoder.Token()
		if err != nil || len(repeated) == maxProblems { // the end, or what is wrong is said elsewhere
			return repeated
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels); n > 0 {
			now := &levels[n-1]
			key, isKey := token.(string)
			switch {
			case now.keys == nil:
				now.index++
			case now.value:
				now.value = false
			case isKey:
				now.key, now.value = key, true
				if !now.keys[key] {
					now.keys[key] = true
					continue
				}
				repeated = append(repeated, path(levels))
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{keys: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
}

// path is where a key is, in so many bytes that a person reads it.
func path(levels []level) string {
	const most = 300
	var b strings.Builder
	for _, l := range levels {
		switch {
		case b.Len() > most:
			return b.String() + "…"
		case l.keys == nil:
			fmt.Fprintf(&b, "[%d]", l.index-1)
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		if plainKey.MatchString(l.key) {
			b.WriteString(l.key)
		} else {
			b.WriteString(Quote(l.key))
		}
	}
	return b.String()
}
