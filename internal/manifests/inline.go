package manifests

import (
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
)

// CheckInline names the problems of manifests that are part of a request, as load-manifests
// will: for a caller that starts many executions with one request.
func CheckInline(allowedKinds []string) func(f *input.Fields, request any) {
	return func(f *input.Fields, request any) {
		r, ok := request.(applymanifests.Request)
		if !ok || r.Manifests == nil || f.HasProblem("manifests") {
			return
		}
		if _, err := ReadInline(r.Manifests, Rules{Namespace: r.Namespace, AllowedKinds: allowedKinds}); err != nil {
			f.Problem("manifests", "%v", err)
		}
	}
}
