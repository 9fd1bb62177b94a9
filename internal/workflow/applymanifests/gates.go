package applymanifests

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
)

// readGates reads which Jobs must complete before and after the others, and how long they
// may take. Whether the manifests have them is for whoever reads these.
func readGates(f *input.Fields, r *applymanifests.Request, waits bool) {
	r.Before, r.After = []string{}, []string{}
	r.Jobs = applymanifests.Jobs{TimeoutSeconds: applymanifests.DefaultJobSeconds, StartSeconds: applymanifests.DefaultStartSeconds, Logs: applymanifests.JobLogsNone}
	f.Strings("before", &r.Before)
	f.Strings("after", &r.After)
	jobs, limited := f.Object("jobs", `{"timeoutSeconds":900}`)
	jobs.Int("timeoutSeconds", &r.Jobs.TimeoutSeconds)
	jobs.Int("startSeconds", &r.Jobs.StartSeconds)
	jobs.String("logs", (*string)(&r.Jobs.Logs))

	known := slices.Contains(applymanifests.Modes(), r.Mode)
	gates := 0
	for _, gate := range []struct {
		field string
		names []string
	}{{"before", r.Before}, {"after", r.After}} {
		if len(gate.names) == 0 {
			continue
		}
		gates++
		switch {
		case known && !r.Mode.HasManifests():
			f.Problem(gate.field, "no Job is applied in mode %q", r.Mode)
		case len(gate.names) > applymanifests.MaxGateJobs:
			f.Problem(gate.field, "%d Jobs: expected at most %d", len(gate.names), applymanifests.MaxGateJobs)
		}
		for _, name := range gate.names {
			if !isJobName(name) {
				f.Problem(gate.field, "%s: expected a Job of the manifests, as NAME or NAMESPACE/NAME", input.Quote(name))
			}
		}
	}
	if len(r.After) > 0 && !waits && r.Mode == applymanifests.ModeApply {
		r.Wait.TimeoutSeconds = applymanifests.DefaultWaitSeconds
	}
	for field, seconds := range map[string]int{"timeoutSeconds": r.Jobs.TimeoutSeconds, "startSeconds": r.Jobs.StartSeconds} {
		if seconds < 1 || seconds > applymanifests.MaxWaitSeconds {
			jobs.Problem(field, "%d: expected 1 to %d", seconds, applymanifests.MaxWaitSeconds)
		}
	}
	if all := []applymanifests.JobLogs{applymanifests.JobLogsNone, applymanifests.JobLogsTail}; !slices.Contains(all, r.Jobs.Logs) {
		jobs.Problem("logs", "%s: expected %s", input.Quote(string(r.Jobs.Logs)), oneOf(all))
	}
	switch all := gates*r.Jobs.TimeoutSeconds + r.Wait.TimeoutSeconds; {
	case limited && gates == 0:
		f.Problem("jobs", "no Job is waited for: expected one in before or after")
	case gates > 0 && all > applymanifests.MaxWaitSeconds && !f.HasProblem("wait") && !jobs.HasProblem("timeoutSeconds"):
		jobs.Problem("timeoutSeconds", "%d, for before and for after, and %d of wait are %d: expected at most %d together. Run a Job that takes longer with run-job", r.Jobs.TimeoutSeconds, r.Wait.TimeoutSeconds, all, applymanifests.MaxWaitSeconds)
	}
}

// isJobName reports whether a text is the name of a Job, or that after its namespace.
func isJobName(text string) bool {
	namespace, name, both := strings.Cut(text, "/")
	if !both {
		name = text
	}
	return len(validation.IsDNS1123Subdomain(name)) == 0 && (!both || len(validation.IsDNS1123Label(namespace)) == 0)
}
