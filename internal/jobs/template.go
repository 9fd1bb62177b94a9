package jobs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// executionAnnotation has the ARN of the execution that a Job is of: a second attempt
	// recognizes the Job by it, and an administrator finds the execution.
	executionAnnotation = "kubestep/execution"
	// managedByLabel is https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
	managedByLabel = "app.kubernetes.io/managed-by"

	// minTTL is how long an ended Job stays at least, in seconds: a round of watching and its
	// retries must find it. keptTTL is how long, if the manifest does not say, and the Job is
	// not deleted at its end.
	minTTL  = 900
	keptTTL = 24 * 3600
)

// place is where a Job is created, and for which execution.
type place struct{ execution, namespace, name string }

// prepare makes the Job that is created of a manifest.
//
// It always has a deadline and a time to live, so that nothing outlives the execution by
// much, whatever becomes of that.
func prepare(manifest []byte, request runjob.Request, at place) ([]byte, error) {
	object, err := kube.Object(manifest)
	if err != nil {
		return nil, contract.Errorf(contract.InvalidInput, "The Job cannot be read: %w", err)
	}
	name := given(object)
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return nil, contract.Errorf(contract.InvalidInput, "Job %s has no spec", name)
	}
	metadata := child(object, "metadata")
	metadata["name"], metadata["namespace"] = at.name, at.namespace
	child(metadata, "annotations")[executionAnnotation] = at.execution
	if labels := child(metadata, "labels"); labels[managedByLabel] == nil {
		labels[managedByLabel] = "kubestep"
	}
	delete(object, "status")
	spec["activeDeadlineSeconds"] = atMost(spec["activeDeadlineSeconds"], int64(request.TimeoutSeconds))
	spec["ttlSecondsAfterFinished"] = ttl(spec["ttlSecondsAfterFinished"])
	if err := override(spec, request, name); err != nil {
		return nil, err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode the Job: %w", err)
	}
	return text, nil
}

// given is the name of an object.
func given(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return contract.OneLine(name)
}

// child is the object in a field, which is made if there is none.
func child(of map[string]any, field string) map[string]any {
	object, ok := of[field].(map[string]any)
	if !ok {
		object = map[string]any{}
		of[field] = object
	}
	return object
}

// atMost is a number of the manifest, if it is one and is smaller.
func atMost(value any, most int64) any {
	switch n := value.(type) {
	case nil:
		return most
	case int64:
		return min(n, most)
	default:
		return value // the API server says what is wrong with it
	}
}

func ttl(value any) any {
	switch n := value.(type) {
	case nil:
		return int64(keptTTL)
	case int64:
		if n >= 0 {
			return max(n, minTTL)
		}
	}
	return value
}

// override puts env and args of the request in the place of the container's.
func override(spec map[string]any, request runjob.Request, name string) error {
	if request.Container == "" && len(request.Env) == 0 && len(request.Args) == 0 {
		return nil
	}
	template, _ := spec["template"].(map[string]any)
	podSpec, _ := template["spec"].(map[string]any)
	containers, _ := podSpec["containers"].([]any)
	var names []string
	var chosen map[string]any
	for _, c := range containers {
		container, _ := c.(map[string]any)
		of, _ := container["name"].(string)
		names = append(names, contract.OneLine(of))
		if of == request.Container || request.Container == "" && chosen == nil {
			chosen = container
		}
	}
	switch {
	case chosen == nil && len(names) == 0:
		return contract.Errorf(contract.InvalidInput, "Job %s has no containers", name)
	case chosen == nil:
		return contract.Errorf(contract.InvalidInput, "container: Job %s has no container %s: expected one of %s", name, request.Container, strings.Join(contract.Few(names, maxNamed), ", "))
	case request.Container == "" && len(names) > 1 && len(request.Env)+len(request.Args) > 0:
		return contract.Errorf(contract.InvalidInput, "container: missing: expected the name of the container that env and args are for, because Job %s has several: %s", name, strings.Join(contract.Few(names, maxNamed), ", "))
	}
	if len(request.Args) > 0 {
		args := make([]any, len(request.Args))
		for i, arg := range request.Args {
			args[i] = arg
		}
		chosen["args"] = args
	}
	env, _ := chosen["env"].([]any)
	env = slices.DeleteFunc(slices.Clone(env), func(entry any) bool {
		variable, _ := entry.(map[string]any)
		of, _ := variable["name"].(string)
		_, overridden := request.Env[of]
		return overridden
	})
	for _, variable := range slices.Sorted(maps.Keys(request.Env)) {
		env = append(env, map[string]any{"name": variable, "value": request.Env[variable]})
	}
	if len(env) > 0 {
		chosen["env"] = env
	}
	return nil
}

// ofCronJob is the manifest of the Job that a CronJob would create now, with the annotation
// and the owner by which `kubectl create job --from` marks it.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/kubectl/pkg/cmd/create/create_job.go
func ofCronJob(cronJob map[string]any) ([]byte, error) {
	spec, _ := cronJob["spec"].(map[string]any)
	template, _ := spec["jobTemplate"].(map[string]any)
	metadata, _ := template["metadata"].(map[string]any)
	owner, _ := cronJob["metadata"].(map[string]any)
	annotations := map[string]any{"cronjob.kubernetes.io/instantiate": "manual"}
	if own, ok := metadata["annotations"].(map[string]any); ok {
		maps.Copy(annotations, own)
	}
	job := map[string]any{
		"apiVersion": group + "/" + version, "kind": kindJob,
		"metadata": map[string]any{
			"name": owner["name"], "annotations": annotations, "labels": metadata["labels"],
			"ownerReferences": []any{map[string]any{"apiVersion": group + "/" + version, "kind": "CronJob", "name": owner["name"], "uid": owner["uid"], "controller": true}},
		},
		"spec": template["spec"],
	}
	text, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("encode the Job of the CronJob: %w", err)
	}
	return text, nil
}

// maxNamed is how many things a sentence names.
const maxNamed = 10
