package manifests

import (
	"fmt"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
)

// CheckInline names the problems of manifests that are part of a request, as load-manifests
// will: for a caller that starts executions with it. The rules are those of the stack.
func CheckInline(rules Rules) func(f *input.Fields, request any) {
	return func(f *input.Fields, request any) {
		r, ok := request.(applymanifests.Request)
		if !ok || r.Manifests == nil || f.HasProblem("manifests") {
			return
		}
		of := rules
		of.Namespace = r.Namespace
		if hasSet(r) {
			of.Set = setOf(r)
		}
		given, err := ReadInline(r.Manifests, of)
		if err != nil {
			f.Problem("manifests", "%v", err)
			return
		}
		_, problems := gatesOf(given, r)
		for _, p := range problems {
			f.Problem(fmt.Sprintf("%s[%d]", p.gate, p.at), "%s", p.text)
		}
	}
}
