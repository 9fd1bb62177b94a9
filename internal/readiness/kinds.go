package readiness

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// readers decide for the kinds of which kstatus says what is not so, or nothing, each
// with the reason. The key is the group, if it has one, and the kind.
//
// An object that reaches a reader is not being deleted, and its status, if it names a
// generation, is about the present one.
var readers = map[string]func(object) verdict{
	// kstatus calls a Pod ready whose phase is Failed, and one failed that waits for a
	// node for longer than 15 seconds, which a new node takes. https://github.com/kubernetes-sigs/cli-utils/issues/633
	"Pod": pod,
	// It calls a Job ready once it has started. kustomize-controller and Helm read Jobs on
	// their own too. https://github.com/kubernetes-sigs/cli-utils/issues/329
	"batch/Job": job,
	// It calls a StatefulSet ready, whatever its pods do, if it is updated by deleting them,
	// and one of no replicas before anything has looked at it.
	"apps/StatefulSet": statefulSet,
	// It waits for pods to be updated that only a user updates.
	"apps/DaemonSet": daemonSet,
	// It does not wait until its controller has looked at it, which shows if it has no replicas,
	"apps/ReplicaSet": replicas,
	// and does not read this kind, whose status has the same fields.
	"ReplicationController": replicas,
	// It says how many replicas are missing, and not that a quota refuses them.
	"apps/Deployment": deployment,
	// It does not give up on a claim whose volume is lost.
	"PersistentVolumeClaim": volumeClaim,
	"PersistentVolume":      volume,
	// It is content with a cluster IP, which a load balancer has from the start.
	"Service":                   service,
	"networking.k8s.io/Ingress": ingress,
	// It takes the controller's work for granted.
	"policy/PodDisruptionBudget": disruptionBudget,
	// It reads none of these kinds.
	"autoscaling/HorizontalPodAutoscaler":           autoscaler,
	"apiregistration.k8s.io/APIService":             apiService,
	"certificates.k8s.io/CertificateSigningRequest": signingRequest,
	"Namespace": namespace,
	// Its observedGeneration is a string, and what it waits for is in its phase.
	// https://github.com/argoproj/argo-rollouts/blob/master/pkg/apis/rollouts/v1alpha1/types.go
	"argoproj.io/Rollout": rollout,
}

// notObserved is the verdict of a kind whose controller always says which generation
// it has looked at, and has not.
func notObserved(o object) (verdict, bool) {
	if _, observed := o.number("status", "observedGeneration"); observed {
		return verdict{}, false
	}
	return inProgress("its controller has not looked at it yet"), true
}

// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase
func pod(o object) verdict {
	switch phase := o.text("status", "phase"); phase {
	case "Succeeded":
		return verdict{status: status.CurrentStatus, ended: true}
	case "Failed":
		return failed("its phase is Failed" + because(o.text("status", "reason"), o.text("status", "message")) + o.troubles())
	case "Running":
		if c := o.condition("Ready"); c.isTrue() {
			return isReady()
		} else if trouble := o.troubles(); trouble != "" {
			return inProgress("it runs, and is not ready" + trouble)
		} else {
			return inProgress("it runs, and is not ready" + because(c.reason, c.message))
		}
	case "Pending", "":
		c := o.condition("PodScheduled")
		switch {
		case c.reason == "SchedulingGated":
			return inProgress("it has scheduling gates" + because("", c.message))
		case c.status == "False":
			return inProgress("it waits for a node" + because(c.reason, c.message))
		default:
			return inProgress("it has not started" + o.troubles())
		}
	default:
		return inProgress("its phase is " + phase)
	}
}

// maxTroubles is how many containers a message tells of.
const maxTroubles = 3

// troubles are what containers of a pod wait for, or ended with.
func (o object) troubles() string {
	var texts []string
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, c := range o.list("status", list) {
			if len(texts) == maxTroubles {
				break // a message has no room for more
			}
			container := newObject(c)
			name := container.text("name")
			waits, ended := container.text("state", "waiting", "reason"), container.text("state", "terminated", "reason")
			code, _ := container.number("state", "terminated", "exitCode")
			switch {
			case waits != "" && waits != "ContainerCreating" && waits != "PodInitializing":
				texts = append(texts, fmt.Sprintf("container %s: %s%s", name, waits, because("", container.text("state", "waiting", "message"))))
			case code != 0:
				texts = append(texts, fmt.Sprintf("container %s ended with exit code %d%s", name, code, because(ended, container.text("state", "terminated", "message"))))
			}
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return " (" + strings.Join(texts, ", ") + ")"
}

// job waits for Complete and Failed, the two conditions that a Job ends with; the
// conditions that announce them come before its pods have ended.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions
func job(o object) verdict {
	active, _ := o.number("status", "active")
	succeeded, _ := o.number("status", "succeeded")
	unsuccessful, _ := o.number("status", "failed")
	counts := fmt.Sprintf("pods: %d active, %d succeeded, %d failed", active, succeeded, unsuccessful)
	for _, name := range []string{"Failed", "FailureTarget"} {
		if c := o.condition(name); c.isTrue() {
			return failed("it has failed" + because(c.reason, c.message))
		}
	}
	suspended, _ := o.at("spec", "suspend").(bool)
	switch {
	case o.condition("Complete").isTrue():
		return verdict{status: status.CurrentStatus, ended: true}
	case o.condition("SuccessCriteriaMet").isTrue():
		return inProgress("it has succeeded, and its last pods end (" + counts + ")")
	case suspended || o.condition("Suspended").isTrue():
		return inProgress("it is suspended")
	case o.text("status", "startTime") == "":
		return inProgress("it has not started")
	default:
		return inProgress("it has not completed (" + counts + ")")
	}
}

// deployment adds to what kstatus says why replicas cannot be made.
func deployment(o object) verdict {
	v := byKstatus(o)
	if c := o.condition("ReplicaFailure"); c.isTrue() && v.status != status.CurrentStatus {
		v.message += because(c.reason, c.message)
	}
	if paused, _ := o.at("spec", "paused").(bool); paused && v.status != status.CurrentStatus {
		v.message += ": it is paused"
	}
	return v
}

// statefulSet follows kubectl rollout status, and waits for the pods, but not for their
// update, if that is the user's to do.
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies
func statefulSet(o object) verdict {
	if v, waits := notObserved(o); waits {
		return v
	}
	want := o.numberOr(1, "spec", "replicas")
	ready := o.numberOr(0, "status", "readyReplicas")
	if o.numberOr(0, "spec", "minReadySeconds") > 0 {
		ready = o.numberOr(0, "status", "availableReplicas")
	}
	switch has := o.numberOr(0, "status", "replicas"); {
	case ready < want:
		return inProgress(fmt.Sprintf("%d of %d replicas are ready", ready, want))
	case has > want:
		return inProgress(fmt.Sprintf("%d replicas are to end", has-want))
	}
	if o.text("spec", "updateStrategy", "type") == "OnDelete" {
		return isReady()
	}
	partition := o.numberOr(0, "spec", "updateStrategy", "rollingUpdate", "partition")
	if updated := o.numberOr(0, "status", "updatedReplicas"); updated < want-partition {
		return inProgress(fmt.Sprintf("%d of %d replicas are updated", updated, want-partition))
	}
	if partition == 0 && o.text("status", "currentRevision") != o.text("status", "updateRevision") {
		return inProgress("its update is not complete")
	}
	return isReady()
}

// daemonSet lets kstatus take every pod for updated if that is the user's to do.
// https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/#daemonset-update-strategy
func daemonSet(o object) verdict {
	if o.text("spec", "updateStrategy", "type") == "OnDelete" {
		if status, ok := o.at("status").(map[string]any); ok {
			status["updatedNumberScheduled"] = status["desiredNumberScheduled"]
		}
	}
	return byKstatus(o)
}

func replicas(o object) verdict {
	if v, waits := notObserved(o); waits {
		return v
	}
	want := o.numberOr(1, "spec", "replicas")
	available, has := o.numberOr(0, "status", "availableReplicas"), o.numberOr(0, "status", "replicas")
	c := o.condition("ReplicaFailure")
	switch {
	case c.isTrue():
		return inProgress("a replica cannot be made or removed" + because(c.reason, c.message))
	case available < want:
		return inProgress(fmt.Sprintf("%d of %d replicas are available", available, want))
	case has > want:
		return inProgress(fmt.Sprintf("%d replicas are to end", has-want))
	default:
		return isReady()
	}
}

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
func volumeClaim(o object) verdict {
	switch phase := o.text("status", "phase"); phase {
	case "Bound":
		return isReady()
	case "Lost":
		return failed("its phase is Lost: the volume that it was bound to does not exist")
	case "":
		return inProgress("no volume is bound to it")
	default:
		return inProgress("no volume is bound to it (" + phase + "). If its storage class waits for the first consumer, it is bound once a pod uses it")
	}
}

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#phase
func volume(o object) verdict {
	switch phase := o.text("status", "phase"); phase {
	case "Available", "Bound", "Released":
		return isReady()
	case "Failed":
		return failed("its phase is Failed" + because(o.text("status", "reason"), o.text("status", "message")))
	default:
		return inProgress("it is not available yet" + because("", phase))
	}
}

// https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
func service(o object) verdict {
	if o.text("spec", "type") != "LoadBalancer" || o.hasAddress() || len(o.list("spec", "externalIPs")) > 0 {
		return isReady()
	}
	return inProgress("its load balancer has no address yet")
}

// ingress is not certain without an address: some controllers never write it.
// https://argo-cd.readthedocs.io/en/stable/faq/#why-is-my-application-stuck-in-progressing-state
func ingress(o object) verdict {
	if o.hasAddress() {
		return isReady()
	}
	return verdict{status: status.InProgressStatus, message: "no controller has written its address yet", unobserved: true}
}

// hasAddress reports whether a load balancer has an address.
func (o object) hasAddress() bool {
	for _, entry := range o.list("status", "loadBalancer", "ingress") {
		if address := newObject(entry); address.text("hostname") != "" || address.text("ip") != "" {
			return true
		}
	}
	return false
}

// disruptionBudget works once its controller has counted the pods, whether or not one of
// them may be disrupted.
// https://kubernetes.io/docs/tasks/run-application/configure-pdb/#check-the-status-of-the-pdb
func disruptionBudget(o object) verdict {
	if v, waits := notObserved(o); waits {
		return v
	}
	if c := o.condition("DisruptionAllowed"); c.status == "False" && c.reason == "SyncFailed" {
		return inProgress("its controller cannot count the pods" + because(c.reason, c.message))
	}
	return isReady()
}

// autoscaler works if it can scale and has metrics, or needs none because its target
// has no replicas. In autoscaling/v1 the conditions are in an annotation.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale-walkthrough/#appendix-horizontal-pod-autoscaler-status-conditions
func autoscaler(o object) verdict {
	var conditions []any
	if text := o.text("metadata", "annotations", "autoscaling.alpha.kubernetes.io/conditions"); json.Unmarshal([]byte(text), &conditions) == nil && o.at("status", "conditions") == nil {
		o = newObject(map[string]any{"status": map[string]any{"conditions": conditions}})
	}
	able, active := o.condition("AbleToScale"), o.condition("ScalingActive")
	switch {
	case able.status == "" && active.status == "":
		return inProgress("its controller has not looked at it yet")
	case !able.isTrue():
		return inProgress("it cannot scale" + because(able.reason, able.message))
	case !active.isTrue() && active.reason != "ScalingDisabled":
		return inProgress("it does not scale" + because(active.reason, active.message))
	default:
		return isReady()
	}
}

// https://kubernetes.io/docs/tasks/extend-kubernetes/setup-extension-api-server/
func apiService(o object) verdict {
	c := o.condition("Available")
	if c.isTrue() {
		return isReady()
	}
	return inProgress("its API is not available" + because(c.reason, c.message))
}

// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#request-signing-process
func signingRequest(o object) verdict {
	for _, name := range []string{"Denied", "Failed"} {
		if c := o.condition(name); c.isTrue() {
			return failed("it is " + strings.ToLower(name) + because(c.reason, c.message))
		}
	}
	if o.text("status", "certificate") != "" {
		return isReady()
	}
	return inProgress("it has no certificate yet")
}

func namespace(o object) verdict {
	if phase := o.text("status", "phase"); phase != "Active" {
		return inProgress("it is not active" + because("", phase))
	}
	return isReady()
}

func rollout(o object) verdict {
	message := because("", o.text("status", "message"))
	switch phase := o.text("status", "phase"); phase {
	case "Healthy":
		return isReady()
	case "Degraded":
		return failed("it is degraded" + message)
	case "":
		return byKstatus(o) // a version before 1.0
	default:
		return inProgress("its phase is " + phase + message)
	}
}
