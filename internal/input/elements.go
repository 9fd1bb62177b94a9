package input

import "encoding/json"

// Elements reads an array as it is; nil if the member is missing or null. want says
// what is expected, such as "an array of clusters".
func (f *Fields) Elements(key, want string) []json.RawMessage {
	raw := f.Raw(key)
	if raw == nil {
		return nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		f.Problem(key, "expected %s, not %s", want, kind(raw))
		return nil
	}
	return elements
}

// Element reads an object that is an element of an array. field is where, such as
// "clusters[1]", and want says what is expected there.
func (f *Fields) Element(field string, raw json.RawMessage, want string) *Fields {
	return f.element(field, ".", raw, want)
}

// Line reads an object that is a line of a file. field is where, such as "line 3".
func (f *Fields) Line(field string, raw json.RawMessage, want string) *Fields {
	return f.element(field, ": ", raw, want)
}

func (f *Fields) element(field, separator string, raw json.RawMessage, want string) *Fields {
	nested := &Fields{prefix: f.prefix + field + separator, found: f.found}
	if err := json.Unmarshal(raw, &nested.members); err != nil || nested.members == nil {
		nested.members, nested.notObject = nil, true
		f.Problem(field, "expected %s, not %s", want, kind(raw))
		return nested
	}
	f.nested = append(f.nested, nested)
	return nested
}
