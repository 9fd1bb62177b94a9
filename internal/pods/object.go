package pods

import (
	"bytes"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/util/duration"
)

// object is a pod as it is stored: what of it shows in a row. Its texts are of
// the memory that it was decoded from.
type object struct {
	namespace, name, phase, reason, node, ip []byte
	created                                  int64 // seconds
	deleted                                  bool
	gated, initialized, ready                bool
	initContainers                           []spec
	containers                               int
	initStatuses, statuses                   []containerStatus
	failed                                   error
}

type spec struct {
	name    []byte
	sidecar bool // an init container that keeps running
}

type containerStatus struct {
	name, reason                 []byte
	waiting, running, terminated bool
	exitCode, signal             int64
	restarts                     int
	ready, started               bool
}

// Fields, of https://github.com/kubernetes/api/blob/v0.37.2/core/v1/generated.proto.
const (
	podMetadata, podSpec, podStatus                                                                             = 1, 2, 3
	metadataName, metadataNamespace, metadataCreated, metadataDeleted                                           = 1, 3, 8, 9
	timeSeconds                                                                                                 = 1
	specContainers, specNode, specInitContainers                                                                = 2, 10, 20
	containerName, containerRestartPolicy                                                                       = 1, 24
	statusPhase, statusConditions, statusReason, statusContainers, statusInitContainers, statusIPs              = 1, 2, 4, 8, 10, 12
	conditionType, conditionStatus, conditionReason                                                             = 1, 2, 5
	podIP                                                                                                       = 1
	containerStatusName, containerStatusState, containerStatusReady, containerStatusRestarts, containerStatusOn = 1, 2, 4, 5, 9
	stateWaiting, stateRunning, stateTerminated                                                                 = 1, 2, 3
	waitingReason                                                                                               = 1
	terminatedExitCode, terminatedSignal, terminatedReason                                                      = 1, 2, 3
)

func (o *object) decode(message []byte) error {
	*o = object{initContainers: o.initContainers[:0], initStatuses: o.initStatuses[:0], statuses: o.statuses[:0]}
	o.walk(message, func(number protowire.Number, value []byte, _ uint64) {
		switch number {
		case podMetadata:
			o.walk(value, o.metadata)
		case podSpec:
			o.walk(value, o.spec)
		case podStatus:
			o.walk(value, o.status)
		}
	})
	return o.failed
}

func (o *object) walk(message []byte, each func(protowire.Number, []byte, uint64)) {
	if err := fields(message, each); err != nil && o.failed == nil {
		o.failed = err
	}
}

func (o *object) metadata(number protowire.Number, value []byte, _ uint64) {
	switch number {
	case metadataName:
		o.name = value
	case metadataNamespace:
		o.namespace = value
	case metadataCreated:
		o.walk(value, func(number protowire.Number, _ []byte, n uint64) {
			if number == timeSeconds {
				o.created = int64(n) //nolint:gosec // as protobuf encodes an int64
			}
		})
	case metadataDeleted:
		o.deleted = true
	}
}

func (o *object) spec(number protowire.Number, value []byte, _ uint64) {
	switch number {
	case specContainers:
		o.containers++
	case specNode:
		o.node = value
	case specInitContainers:
		var s spec
		o.walk(value, func(number protowire.Number, value []byte, _ uint64) {
			switch number {
			case containerName:
				s.name = value
			case containerRestartPolicy:
				s.sidecar = string(value) == "Always"
			}
		})
		o.initContainers = append(o.initContainers, s)
	}
}

func (o *object) status(number protowire.Number, value []byte, _ uint64) {
	switch number {
	case statusPhase:
		o.phase = value
	case statusReason:
		o.reason = value
	case statusConditions:
		o.condition(value)
	case statusContainers:
		o.statuses = append(o.statuses, o.containerStatus(value))
	case statusInitContainers:
		o.initStatuses = append(o.initStatuses, o.containerStatus(value))
	case statusIPs:
		if o.ip == nil {
			o.walk(value, func(number protowire.Number, value []byte, _ uint64) {
				if number == podIP {
					o.ip = value
				}
			})
		}
	}
}

func (o *object) condition(message []byte) {
	var kind, is, reason string
	o.walk(message, func(number protowire.Number, value []byte, _ uint64) {
		switch number {
		case conditionType:
			kind = string(value)
		case conditionStatus:
			is = string(value)
		case conditionReason:
			reason = string(value)
		}
	})
	switch kind {
	case "PodScheduled":
		o.gated = o.gated || reason == "SchedulingGated"
	case "Initialized":
		o.initialized = is == "True"
	case "Ready":
		o.ready = is == "True"
	}
}

func (o *object) containerStatus(message []byte) containerStatus {
	var s containerStatus
	o.walk(message, func(number protowire.Number, value []byte, n uint64) {
		switch number {
		case containerStatusName:
			s.name = value
		case containerStatusReady:
			s.ready = n != 0
		case containerStatusOn:
			s.started = n != 0
		case containerStatusRestarts:
			s.restarts = int(n) //nolint:gosec // as protobuf encodes an int32
		case containerStatusState:
			o.walk(value, func(number protowire.Number, value []byte, _ uint64) { o.state(&s, number, value) })
		}
	})
	return s
}

func (o *object) state(s *containerStatus, number protowire.Number, value []byte) {
	switch number {
	case stateRunning:
		s.running = true
	case stateWaiting:
		s.waiting = true
		o.walk(value, func(number protowire.Number, value []byte, _ uint64) {
			if number == waitingReason {
				s.reason = value
			}
		})
	case stateTerminated:
		s.terminated = true
		o.walk(value, func(number protowire.Number, value []byte, n uint64) {
			switch number {
			case terminatedExitCode:
				s.exitCode = int64(n) //nolint:gosec // as protobuf encodes an int32
			case terminatedSignal:
				s.signal = int64(n) //nolint:gosec // as protobuf encodes an int32
			case terminatedReason:
				s.reason = value
			}
		})
	}
}

// print writes the row that the API server would print of the pod, by the same rules:
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/printers/internalversion/printers.go, printPod
func (o *object) print(r *row, now time.Time) {
	r.reset()
	condition, readyContainers, restartCount := o.condense()
	all := o.containers
	for _, s := range o.initContainers {
		if s.sidecar {
			all++
		}
	}
	r.put(name, o.name)
	r.put(ready, strconv.AppendInt(append(strconv.AppendInt(nil, int64(readyContainers), 10), '/'), int64(all), 10))
	r.put(status, condition)
	r.put(restarts, strconv.AppendInt(nil, int64(restartCount), 10))
	r.put(age, []byte(duration.HumanDuration(now.Sub(time.Unix(o.created, 0)))))
	r.put(ip, o.ip)
	r.put(node, o.node)
}

// condense is what the states of all containers come to.
func (o *object) condense() (condition []byte, readyContainers, restartCount int) {
	condition = o.phase
	if len(o.reason) > 0 {
		condition = o.reason
	}
	if o.gated {
		condition = []byte("SchedulingGated")
	}

	initializing, sidecarReady, ofSidecars := "", 0, 0
	for i, c := range o.initStatuses {
		restartCount += c.restarts
		sidecar := o.sidecar(c.name)
		if sidecar {
			ofSidecars += c.restarts
		}
		if c.terminated && c.exitCode == 0 {
			continue
		}
		if sidecar && c.started {
			if c.ready {
				sidecarReady++
			}
			continue
		}
		switch {
		case c.terminated:
			initializing = "Init:" + c.ended()
		case c.waiting && len(c.reason) > 0 && string(c.reason) != "PodInitializing":
			initializing = "Init:" + string(c.reason)
		default:
			initializing = "Init:" + strconv.Itoa(i) + "/" + strconv.Itoa(len(o.initContainers))
		}
		break
	}
	readyContainers = sidecarReady
	if initializing != "" {
		condition = []byte(initializing)
	}
	if initializing == "" || o.initialized {
		restartCount = ofSidecars
		condition, readyContainers, restartCount = o.condenseContainers(condition, readyContainers, restartCount)
	}

	switch {
	case o.deleted && string(o.reason) == "NodeLost":
		condition = []byte("Unknown")
	case o.deleted && string(o.phase) != "Failed" && string(o.phase) != "Succeeded":
		condition = []byte("Terminating")
	}
	return condition, readyContainers, restartCount
}

// condenseContainers goes over those that are no init containers, the first of
// which has the last word.
func (o *object) condenseContainers(condition []byte, readyContainers, restartCount int) ([]byte, int, int) {
	running, failure := false, ""
	for i := len(o.statuses) - 1; i >= 0; i-- {
		c := o.statuses[i]
		restartCount += c.restarts
		switch {
		case c.waiting && len(c.reason) > 0:
			condition = c.reason
		case c.terminated:
			ended := c.ended()
			condition = []byte(ended)
			if c.exitCode != 0 {
				failure = ended
			}
		case c.ready && c.running:
			running = true
			readyContainers++
		}
	}
	if string(condition) == "Completed" {
		switch {
		case running && o.ready:
			condition = []byte("Running")
		case failure != "":
			condition = []byte(failure)
		case running:
			condition = []byte("NotReady")
		}
	}
	return condition, readyContainers, restartCount
}

// ended says how a container that has terminated did.
func (c containerStatus) ended() string {
	switch {
	case len(c.reason) > 0:
		return string(c.reason)
	case c.signal != 0:
		return "Signal:" + strconv.FormatInt(c.signal, 10)
	default:
		return "ExitCode:" + strconv.FormatInt(c.exitCode, 10)
	}
}

func (o *object) sidecar(container []byte) bool {
	for _, s := range o.initContainers {
		if bytes.Equal(s.name, container) {
			return s.sidecar
		}
	}
	return false
}
