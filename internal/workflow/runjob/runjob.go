// Package runjob is the workflow run-job, which runs a Kubernetes Job and waits for its end:
// how its input is read. internal/jobs reads the Job, creates and watches it.
package runjob

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

const (
	// maxKey is the longest key in S3, and maxVersion the longest version id.
	maxKey     = 1024
	maxVersion = 1024
	// maxOverrides bounds env and args, and maxOverrideBytes what they hold: they are in the
	// document that passes between states.
	maxOverrides     = 100
	maxOverrideBytes = 32 << 10
)

// Workflow is the workflow.
func Workflow() workflow.Workflow {
	seconds := func() map[string]any { return map[string]any{"minimum": 1, "maximum": runjob.MaxTimeoutSeconds} }
	return workflow.Workflow{
		Name:    runjob.Name,
		Summary: "Run a Job in a cluster, and wait for its end",
		Page:    "jobs.md",
		Request: reflect.TypeFor[runjob.Request](),
		Output:  reflect.TypeFor[runjob.Output](),
		Bounds: map[string]map[string]any{
			"runjob.Request.Job":            {"type": []string{"string", "object", "null"}},
			"runjob.Request.TimeoutSeconds": seconds(),
			"runjob.Request.StartSeconds":   seconds(),
		},
		// The namespace may be in the manifest, so load-job says which permissions it takes.
		Reader: func(func(string) string) workflow.Read {
			return func(f *input.Fields) (any, []contract.Check) { return Read(f), nil }
		},
		Changes:         func(any) bool { return true },
		Figures:         workflow.FiguresOf(figures),
		FleetParameters: "EnableJobs=true FleetWorkflows=pod-inventory,run-job",
	}
}

// figures are the Jobs that succeeded, and their exit codes and pods.
func figures(o runjob.Output) map[string]int {
	succeeded := 0
	if o.Succeeded {
		succeeded = 1
	}
	return map[string]int{"jobs": succeeded, "exitCode": o.End.ExitCode, "podsSucceeded": o.End.PodsSucceeded, "podsFailed": o.End.PodsFailed}
}

// Read reads a request.
func Read(f *input.Fields) runjob.Request {
	r := runjob.Request{
		Namespace: "default", TimeoutSeconds: runjob.DefaultTimeoutSeconds, StartSeconds: runjob.DefaultStartSeconds,
		Logs: runjob.LogsNone, Keep: runjob.KeepAlways, Env: map[string]string{}, Args: []string{},
	}
	r.Job = f.Raw("job")
	source, fromS3 := f.Object("source", `{"bucket":"manifests","key":"migrate.yaml"}`)
	source.String("bucket", &r.Source.Bucket)
	source.String("key", &r.Source.Key)
	source.String("versionId", &r.Source.VersionID)
	cronJob, fromCronJob := f.Object("cronJob", `{"namespace":"shop","name":"backup"}`)
	cronJob.String("namespace", &r.CronJob.Namespace)
	cronJob.String("name", &r.CronJob.Name)
	namespaced := f.Raw("namespace") != nil
	f.String("namespace", &r.Namespace)
	f.String("container", &r.Container)
	r.Env = env(f)
	f.Strings("args", &r.Args)
	f.Int("timeoutSeconds", &r.TimeoutSeconds)
	f.Int("startSeconds", &r.StartSeconds)
	f.String("logs", (*string)(&r.Logs))
	f.String("keep", (*string)(&r.Keep))
	r.Output = input.Destination(f, "output")
	f.String("stopped", &r.Stopped)

	switch given := count(r.Job != nil, fromS3, fromCronJob); {
	case given == 0:
		f.Problem("job", "missing: expected the manifest of a Job in job, an object of S3 in source, or the name of a CronJob in cronJob")
	case given > 1:
		f.Problem("job", "expected one of job, source and cronJob, not %d of them", given)
	}
	if r.Job != nil {
		checkJob(f, r.Job)
	}
	if fromS3 {
		checkSource(source, r.Source)
	}
	if fromCronJob {
		if r.CronJob.Namespace == "" && namespaced {
			r.CronJob.Namespace = r.Namespace
		}
		checkCronJob(cronJob, r.CronJob)
	}
	if len(validation.IsDNS1123Label(r.Namespace)) > 0 {
		f.Problem("namespace", "%s is not a valid namespace", f.Quote(r.Namespace))
	}
	if r.Container != "" && len(validation.IsDNS1123Label(r.Container)) > 0 {
		f.Problem("container", "%s is not a valid name of a container", f.Quote(r.Container))
	}
	if size := sizeOf(r.Env, r.Args); len(r.Env) > maxOverrides || len(r.Args) > maxOverrides || size > maxOverrideBytes {
		f.Problem("env", "env has %d variables and args %d arguments, of %d bytes in all: expected at most %d each, of %d bytes in all. Put them into the Job itself, in S3 (source)", len(r.Env), len(r.Args), size, maxOverrides, maxOverrideBytes)
	}
	for field, seconds := range map[string]int{"timeoutSeconds": r.TimeoutSeconds, "startSeconds": r.StartSeconds} {
		if seconds < 1 || seconds > runjob.MaxTimeoutSeconds {
			f.Problem(field, "%d: expected 1 to %d", seconds, runjob.MaxTimeoutSeconds)
		}
	}
	checkOneOf(f, "logs", string(r.Logs), runjob.LogsNone, runjob.LogsTail, runjob.LogsAll)
	checkOneOf(f, "keep", string(r.Keep), runjob.KeepAlways, runjob.KeepOnFailure, runjob.KeepNever)
	switch {
	case r.Logs == runjob.LogsAll && r.Output.Bucket == "":
		f.Problem("output", `missing: expected where to write the log to, because logs is "all"`)
	case r.Logs != runjob.LogsAll && r.Output.Bucket != "":
		f.Problem("output", `nothing is written there: expected logs "all" with it`)
	}
	if r.Stopped != "" && contract.ExecutionARN(r.Stopped).Machine() == "" {
		f.Problem("stopped", "%s is not the ARN of an execution", f.Quote(r.Stopped))
	}
	return r
}

func count(given ...bool) int {
	n := 0
	for _, is := range given {
		if is {
			n++
		}
	}
	return n
}

func checkOneOf[T ~string](f *input.Fields, field, value string, among ...T) {
	if !slices.Contains(among, T(value)) {
		f.Problem(field, "%s: expected %q, %q or %q", f.Quote(value), among[0], among[1], among[2])
	}
}

func checkJob(f *input.Fields, job json.RawMessage) {
	switch {
	case len(job) > runjob.MaxInline:
		f.Problem("job", "%d bytes: expected at most %d in the execution input. Put the Job into S3 and name it by source (--source)", len(job), runjob.MaxInline)
	case job[0] != '"' && job[0] != '{':
		f.Problem("job", "expected the manifest of a Job, as an object or a string of YAML")
	}
}

func checkSource(f *input.Fields, source runjob.Source) {
	if source.Bucket == "" {
		f.Problem("bucket", "missing: expected the name of an S3 bucket")
	} else {
		input.CheckBucket(f, "bucket", source.Bucket)
	}
	if source.Key == "" || len(source.Key) > maxKey {
		f.Problem("key", "expected 1 to %d bytes, not %d", maxKey, len(source.Key))
	}
	if len(source.VersionID) > maxVersion {
		f.Problem("versionId", "expected at most %d bytes, not %d", maxVersion, len(source.VersionID))
	}
}

func checkCronJob(f *input.Fields, cronJob runjob.CronJob) {
	switch {
	case cronJob.Namespace == "":
		f.Problem("namespace", "missing: expected the namespace of the CronJob")
	case len(validation.IsDNS1123Label(cronJob.Namespace)) > 0:
		f.Problem("namespace", "%s is not a valid namespace", f.Quote(cronJob.Namespace))
	}
	switch {
	case cronJob.Name == "":
		f.Problem("name", "missing: expected the name of a CronJob")
	case len(validation.IsDNS1123Subdomain(cronJob.Name)) > 0:
		f.Problem("name", "%s is not a valid name of a CronJob", f.Quote(cronJob.Name))
	}
}

// env reads the environment variables: an object of strings.
func env(f *input.Fields) map[string]string {
	read := map[string]string{}
	raw := f.Raw("env")
	if raw == nil {
		return read
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		f.Problem("env", `expected an object of strings such as {"VERSION":"5.1.0"}`)
		return read
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		var value *string
		switch {
		case !variableName.MatchString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
			f.Problem("env", "%s is not a valid name of an environment variable", f.Quote(name))
		case json.Unmarshal(members[name], &value) != nil || value == nil:
			f.Problem("env."+name, "expected a string: put it in quotes")
		default:
			read[name] = *value
		}
	}
	return read
}

// Kubernetes takes more characters; these are the ones that need no escaping anywhere.
var variableName = regexp.MustCompile(`^[A-Za-z_.-][A-Za-z0-9_.-]*$`)

func sizeOf(env map[string]string, args []string) int {
	size := 0
	for name, value := range env {
		size += len(name) + len(value)
	}
	for _, arg := range args {
		size += len(arg)
	}
	return size
}
