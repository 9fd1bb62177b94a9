package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/store"
)

const group, version, kindJob = "batch", "v1", "Job"

// Source reads Jobs, wherever they are.
type Source struct {
	S3 store.S3
	// Group is the Kubernetes group that the stack maps its role to: a refusal says how to
	// bind it.
	Group string
}

// DefaultGroup is the group that rbac/jobs binds.
const DefaultGroup = "kubestep-job-runners"

// Load reads and checks the Job, and says where it is created and which permissions that
// takes. A CronJob's template is not read yet: that takes a token.
//
// Errors: InvalidInput, AccessDenied, AWSUnreachable, Throttled.
func (s Source) Load(ctx context.Context, in runjob.LoadJob) (runjob.LoadedJob, error) {
	of := in.Request.Stopped
	if of == "" {
		of = in.Execution
	}
	if from := in.Request.CronJob; from.Name != "" {
		return s.loaded(in, of, from.Namespace, from.Name, runjob.LoadedJob{}), nil
	}
	o, read, err := s.read(ctx, in.Execution, in.Request)
	if err != nil {
		return runjob.LoadedJob{}, err
	}
	if in.Request.Stopped == "" {
		// Overrides that fit no container are known before the cluster is asked.
		if _, err := prepare(o.JSON, in.Request, place{of, o.Namespace, jobName(o.Name, of)}); err != nil {
			return runjob.LoadedJob{}, err
		}
	}
	return s.loaded(in, of, o.Namespace, o.Name, read), nil
}

func (s Source) loaded(in runjob.LoadJob, execution, namespace, name string, read runjob.LoadedJob) runjob.LoadedJob {
	read.Namespace, read.Name = namespace, jobName(name, execution)
	read.Checks = checks(in.Request, namespace, s.Group)
	return read
}

// read reads the manifest of the Job, and what identifies it.
func (s Source) read(ctx context.Context, execution string, request runjob.Request) (objects.Object, runjob.LoadedJob, error) {
	if request.Source.Bucket == "" {
		o, err := readInline(request)
		return o, runjob.LoadedJob{SHA256: hash(o.JSON)}, err
	}
	text, versionID, err := store.New(s.S3, execution).Get(ctx, sourceObject(request.Source), manifests.MaxBytes)
	if err != nil {
		return objects.Object{}, runjob.LoadedJob{}, err
	}
	all, err := manifests.Read(text, rules(request))
	if err != nil {
		return objects.Object{}, runjob.LoadedJob{}, err
	}
	o, err := oneJob(all)
	return o, runjob.LoadedJob{VersionID: versionID, SHA256: hash(o.JSON)}, err
}

// again reads what load-job read.
func (s Source) again(ctx context.Context, in runjob.CreateJob) (objects.Object, error) {
	request := in.Request
	if in.Job.VersionID != "" {
		request.Source.VersionID = in.Job.VersionID
	}
	o, read, err := s.read(ctx, in.Execution, request)
	if err == nil && read.SHA256 != in.Job.SHA256 {
		err = contract.Errorf(contract.InvalidInput, "source: %s changed while the execution ran. Start another one, and enable versioning in the bucket, so that an execution reads one version", sourceObject(in.Request.Source))
	}
	return o, err
}

func sourceObject(from runjob.Source) store.Object {
	return store.Object{Field: "source", Bucket: from.Bucket, Key: from.Key, VersionID: from.VersionID}
}

func rules(request runjob.Request) manifests.Rules {
	return manifests.Rules{Namespace: request.Namespace}
}

// readInline reads a Job of an execution input, by the rules of manifests there: it may
// hold no Secret.
func readInline(request runjob.Request) (objects.Object, error) {
	value := request.Job
	if len(value) > 0 && value[0] == '{' {
		value = append(append(json.RawMessage{'['}, value...), ']')
	}
	all, err := manifests.ReadInline(value, rules(request))
	if err != nil {
		return objects.Object{}, err
	}
	return oneJob(all)
}

// oneJob returns the Job that is all that was read.
func oneJob(all []objects.Object) (objects.Object, error) {
	if len(all) == 1 && all[0].Group == group && all[0].Version == version && all[0].Kind == kindJob {
		return all[0], nil
	}
	var texts []string
	for _, o := range all {
		texts = append(texts, fmt.Sprintf("%s of %s (%s)", objects.Describe(o.Kind, o.Namespace, o.Name), o.GroupVersion(), o.From))
	}
	const named = 5
	return objects.Object{}, contract.Errorf(contract.InvalidInput, "Expected one Job of batch/v1 and nothing else, not %s. Apply other objects with apply-manifests first", strings.Join(contract.Few(texts, named), ", "))
}

// CheckInline names the problems of a Job that is part of a request, as load-job will: for a
// caller that starts executions with it.
func CheckInline(f *input.Fields, request any) {
	r, ok := request.(runjob.Request)
	if !ok || r.Job == nil || f.HasProblem("job") {
		return
	}
	o, err := readInline(r)
	if err == nil {
		_, err = prepare(o.JSON, r, place{name: o.Name})
	}
	if err != nil {
		f.Problem("job", "%v", err)
	}
}

// CheckInFleet is CheckInline for a request of a fleet, which plans with the longest time
// that a cluster may take.
func CheckInFleet(f *input.Fields, request any) {
	if r, ok := request.(runjob.Request); ok && r.TimeoutSeconds > runjob.MaxFleetTimeoutSeconds {
		f.Problem("timeoutSeconds", "%d: expected at most %d in a fleet", r.TimeoutSeconds, runjob.MaxFleetTimeoutSeconds)
	}
	CheckInline(f, request)
}

// hash is the hash of a manifest, without the differences that passing it on may make.
func hash(text []byte) string {
	if decoded, err := kube.Object(text); err == nil {
		if canonical, err := json.Marshal(decoded); err == nil {
			text = canonical
		}
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

const (
	// maxJobName bounds the name of a Job. It begins the names of its pods and, with an index
	// of up to five digits, their host names, which have 63 characters at most; it is also the
	// value of a label, which has as many.
	// https://kubernetes.io/docs/concepts/workloads/controllers/job/#writing-a-job-spec
	maxJobName = 52
	hashLength = 10
)

// jobName is the name of the Job of an execution: the name that the manifest has, and a hash of
// the execution's ARN. So each attempt of the execution creates the same one, and another
// execution, of another stack too, another.
func jobName(name, execution string) string {
	sum := sha256.Sum256([]byte(execution))
	suffix := "-" + hex.EncodeToString(sum[:])[:hashLength]
	name = strings.ReplaceAll(name, ".", "-") // pods with dots in their names have no host name
	if most := maxJobName - len(suffix); len(name) > most {
		name = strings.TrimRight(name[:most], "-")
	}
	return name + suffix
}

// checks are the permissions that an execution needs in the namespace.
func checks(request runjob.Request, namespace, kubernetesGroup string) []contract.Check {
	fix := "kubectl apply -k rbac/jobs -n " + namespace
	if kubernetesGroup != "" && kubernetesGroup != DefaultGroup {
		fix = fmt.Sprintf("kubectl kustomize rbac/jobs | sed s/%s/%s/ | kubectl apply -f - -n %s", DefaultGroup, kubernetesGroup, namespace)
	}
	var all []contract.Check
	add := func(of, resource string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, contract.Check{Verb: verb, Group: of, Resource: resource, Namespace: namespace, Fix: fix})
		}
	}
	add(group, "jobs", "create", "get", "list", "watch", "delete")
	add("", "pods", "list", "watch")
	add("", "events", "list")
	if request.Logs != runjob.LogsNone {
		add("", "pods/log", "get")
	}
	if request.CronJob.Name != "" {
		all = append(all, contract.Check{Verb: "get", Group: group, Resource: "cronjobs", Namespace: namespace, Name: request.CronJob.Name, Fix: fix})
	}
	return all
}
