package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// manager is the name by which kubestep owns the fields of the Job.
const manager = "kubestep"

// Creator creates Jobs.
type Creator struct {
	Source Source
	Kube   kube.Connector
}

// Create creates the Job of an execution, after a dry run. If the execution created it before,
// it only says so: a retry, a redrive or a second attempt creates nothing twice.
//
// Errors: InvalidInput, Forbidden, WebhookFailed, Unauthorized, Throttled,
// CertificateNotTrusted, ClusterUnreachable, and those of reading the Job.
func (c Creator) Create(ctx context.Context, in runjob.CreateJob) (runjob.Run, error) {
	before, err := progress(in.Progress)
	if err != nil {
		return runjob.Run{}, err
	}
	if before.Job.UID != "" {
		// It was created before the cluster was described again. It is not created again, even
		// if it is gone since: watch-job says what became of it.
		before.Cursor.Jobs, before.Cursor.Pods = "", ""
		return before, nil
	}
	conn, err := c.Kube.Connect(in.Session)
	if err != nil {
		return runjob.Run{}, err
	}
	defer conn.Close()
	manifest, err := c.manifest(ctx, conn, in)
	if err != nil {
		return runjob.Run{}, err
	}
	at := place{in.Execution, in.Job.Namespace, in.Job.Name}
	text, err := prepare(manifest, in.Request, at)
	if err != nil {
		return runjob.Run{}, err
	}
	created, err := c.create(ctx, conn, at, text)
	if err != nil {
		return runjob.Run{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	return runjob.Run{
		Job: runjob.CreatedJob{Namespace: at.namespace, Name: at.name, UID: created.Metadata.UID},
		Cursor: runjob.Cursor{
			Until: now.Add(time.Duration(in.Request.TimeoutSeconds)*time.Second + endGrace), Since: now, Read: []runjob.LogPlace{},
		},
		Log: runjob.Log{Parts: []runjob.Part{}},
	}, nil
}

// progress is what became of the Job before the cluster was described again.
func progress(text string) (runjob.Run, error) {
	var run runjob.Run
	if text == "" {
		return run, nil
	}
	if err := json.Unmarshal([]byte(text), &run); err != nil {
		return run, fmt.Errorf("read what became of the Job before the cluster was described again: %w", err)
	}
	return run, nil
}

// manifest is the manifest of the Job, wherever it is.
func (c Creator) manifest(ctx context.Context, conn *kube.Conn, in runjob.CreateJob) ([]byte, error) {
	from := in.Request.CronJob
	if from.Name == "" {
		o, err := c.Source.again(ctx, in)
		return o.JSON, err
	}
	cronJob, err := kube.Get(ctx, conn, "CronJob", "/apis", group, version, "namespaces", from.Namespace, "cronjobs", from.Name)
	what := fmt.Sprintf("CronJob %s/%s", from.Namespace, from.Name)
	if apierrors.IsNotFound(err) {
		return nil, contract.Errorf(contract.InvalidInput, "cronJob: cluster %s has no %s", conn.Cluster.Name, what)
	}
	if err != nil {
		return nil, conn.Explain(err, "get "+what)
	}
	return ofCronJob(cronJob)
}

func (c Creator) create(ctx context.Context, conn *kube.Conn, at place, text []byte) (*job, error) {
	client := objects.Client{Conn: conn, Manager: manager}
	target := jobTarget(at.namespace, at.name)
	target.JSON = text
	for _, dryRun := range []bool{true, false} {
		created, err := post(ctx, conn, at, text, dryRun)
		switch {
		case apierrors.IsAlreadyExists(err):
			return ours(ctx, conn, at)
		case err != nil:
			return nil, client.Explain(err, "create", target)
		case !dryRun:
			return created, nil
		}
	}
	panic("a dry run is followed by another run")
}

// jobTarget is where a Job is in the API.
func jobTarget(namespace, name string) objects.Target {
	return objects.Target{
		Object:   objects.Object{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: kindJob}, Namespace: namespace, Name: name, From: "as the execution creates it"},
		Resource: objects.Resource{Plural: "jobs", Namespaced: true, Served: true},
	}
}

// post creates the Job.
func post(ctx context.Context, conn *kube.Conn, at place, text []byte, dryRun bool) (*job, error) {
	request := conn.Post().AbsPath(jobsPath(at.namespace)...).MaxRetries(0).SetHeader("Content-Type", "application/json").
		Param("fieldManager", manager).Param("fieldValidation", "Strict").Body(text)
	if dryRun {
		request = request.Param("dryRun", "All")
	}
	answer, err := kube.Body(request.Do(kube.AtMost(ctx, kube.ObjectBytes)))
	if err != nil {
		return nil, err
	}
	return asJob(answer, at.name)
}

func asJob(answer []byte, name string) (*job, error) {
	if err := kube.IsObject(answer, kindJob, name); err != nil {
		return nil, err
	}
	var j job
	if json.Unmarshal(answer, &j) != nil || j.Metadata.UID == "" {
		return nil, kube.BadAnswer("it is not Job %s", name)
	}
	return &j, nil
}

// ours returns the Job that is there already, if it is the execution's.
func ours(ctx context.Context, conn *kube.Conn, at place) (*job, error) {
	there, err := get(ctx, conn, at.namespace, at.name)
	if err != nil {
		return nil, conn.Explain(err, fmt.Sprintf("get Job %s/%s", at.namespace, at.name))
	}
	if of := there.Metadata.Annotations[executionAnnotation]; of != at.execution {
		return nil, contract.Errorf(contract.InvalidInput, "Job %s/%s is in cluster %s already, and is not this execution's: its annotation %s is %q. Delete it, or give the Job in the input another name", at.namespace, at.name, conn.Cluster.Name, executionAnnotation, contract.Clip(of, maxQuoted))
	}
	return there, nil
}

// maxQuoted bounds what is quoted of others, in bytes.
const maxQuoted = 300

// get reads a Job.
func get(ctx context.Context, conn *kube.Conn, namespace, name string) (*job, error) {
	answer, err := kube.Body(conn.Get().AbsPath(append(jobsPath(namespace), name)...).MaxRetries(0).Do(kube.AtMost(ctx, kube.ObjectBytes)))
	if err != nil {
		return nil, err
	}
	return asJob(answer, name)
}

func jobsPath(namespace string) []string {
	return []string{"/apis", group, version, "namespaces", namespace, "jobs"}
}

// Deleter deletes Jobs.
type Deleter struct {
	Kube kube.Connector
}

// Delete deletes the Job of the execution, or of one that was stopped, and its pods. It deletes
// no other Job of that name: what it deletes has the execution's annotation, and the uid that
// was read.
//
// A Job that is gone already is no error. Nor is it, at the end of an execution, if the Job
// cannot be deleted: how it ended is known, and its time to live ends too.
//
// Errors: Unauthorized; for a stopped execution, those of Create.
func (d Deleter) Delete(ctx context.Context, in runjob.DeleteJob) (runjob.Deleted, error) {
	conn, err := d.Kube.Connect(in.Session)
	if err != nil {
		return runjob.Deleted{}, err
	}
	defer conn.Close()
	execution := in.Execution
	if in.Stopped != "" {
		execution = in.Stopped
	}
	deleted, err := remove(ctx, conn, in, execution)
	if err == nil {
		return deleted, nil
	}
	explained := conn.Explain(err, fmt.Sprintf("delete Job %s/%s", in.Job.Namespace, in.Job.Name))
	if in.Stopped != "" || explained.Name == contract.Unauthorized || explained.Name == contract.Throttled {
		return runjob.Deleted{}, explained
	}
	return runjob.Deleted{Why: contract.Clip(explained.Message, maxWhy)}, nil
}

const maxWhy = 2 << 10

func remove(ctx context.Context, conn *kube.Conn, in runjob.DeleteJob, execution string) (runjob.Deleted, error) {
	there, err := get(ctx, conn, in.Job.Namespace, in.Job.Name)
	gone := runjob.Deleted{Why: fmt.Sprintf("Job %s/%s is not there any more", in.Job.Namespace, in.Job.Name)}
	switch {
	case apierrors.IsNotFound(err):
		return gone, nil
	case err != nil:
		return runjob.Deleted{}, err
	case there.Metadata.Annotations[executionAnnotation] != execution, in.Created.UID != "" && in.Created.UID != there.Metadata.UID:
		return runjob.Deleted{Why: fmt.Sprintf("Job %s/%s is another one by now, and not of execution %s", in.Job.Namespace, in.Job.Name, execution)}, nil
	}
	_, err = objects.Client{Conn: conn}.Delete(ctx, jobTarget(in.Job.Namespace, in.Job.Name), there.Metadata.UID, "")
	switch {
	case apierrors.IsNotFound(err):
		return gone, nil
	case apierrors.IsConflict(err): // of the uid
		return runjob.Deleted{Why: fmt.Sprintf("Job %s/%s was replaced by another one meanwhile", in.Job.Namespace, in.Job.Name)}, nil
	case err != nil:
		return runjob.Deleted{}, err
	}
	return runjob.Deleted{Deleted: true}, nil
}
