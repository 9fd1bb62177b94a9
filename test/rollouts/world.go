package rollouts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/workflows"
	"github.com/kubestep/kubestep/test/asl"
	"github.com/kubestep/kubestep/test/hosted"
)

const (
	account = "arn:aws:states:eu-west-1:111122223333:"
	self    = account + "execution:kubestep-fleet:nightly"
	another = account + "execution:kubestep-fleet:another"
	locks   = "locks"
	// machine begins the ARNs of the machines of workflows.
	machine = account + "stateMachine:kubestep-"
)

// epoch is before each rollout.
var epoch = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

// Event is something that happened.
type Event struct {
	At   time.Time
	What What
	// Of is what it happened to; nil if that is no execution of a cluster.
	Of *Run
	// Wave is the wave whose gate it is about: 0 is before the first.
	Wave int
	// Good reports whether alarms are OK.
	Good bool
}

// What is what happened.
type What string

// What may happen.
const (
	Asked    What = "the machine asked for a start"
	Began    What = "an execution began"
	Ended    What = "an execution ended"
	Recorded What = "an outcome was recorded"
	Unkept   What = "an outcome was not recorded"
	Summed   What = "a round was added up"
	Alarmed  What = "alarms were read"
	Requests What = "an approval was asked for"
	Approved What = "a gate was approved"
	Replayed What = "an earlier decision was sent again"
	Stopped  What = "the fleet was stopped"
	Redriven What = "the fleet was redriven"
)

// Run is an execution of a cluster, or what was asked to become one.
type Run struct {
	Kind    Kind
	Cluster string
	Attempt int
	Name    string
	// Own reports whether it has the fleet's own name for it.
	Own bool
	// Theirs reports whether somebody else had started it.
	Theirs bool
	Fate   Fate
	// Status is empty before it has ended. Began is false of what never became an execution.
	Began         bool
	Status, Error string
	Input         map[string]any

	id           int
	from, to     time.Time
	done, abort  chan struct{}
	startedCalls int
}

// World is what the machine calls, and what it did.
type World struct {
	Rollout Rollout
	Log     []Event
	// Output and Err are how the execution of the fleet ended.
	Output any
	Err    error
	// Summary is the last that Summarize said.
	Summary struct {
		Summary  contractfleet.Summary
		Outcomes []contractfleet.Outcome
		Cause    string
	}
	// Ran are the executions of all clusters, in their order.
	Ran []*Run
	// Faults counts what went wrong.
	Faults map[string]int
	// Lost reports whether another rollout has taken the lock of the set from it.
	Lost bool
	// Refused counts decisions that the function approve did not take.
	Refused int
	// Largest is the largest data of a state.
	Largest asl.Size
	// Rounds counts the answers of Summarize.
	Rounds int

	execution *asl.Execution
	functions map[string]hosted.Function
	storage   *storage
	approver  approval.Approver
	began     time.Time
	group     sync.WaitGroup

	mu      sync.Mutex // guards what follows, and what is above
	byName  map[string]*Run
	own     string
	calls   map[string]int
	status  types.ExecutionStatus
	waiting *asl.Task
	// decision is the last that the function approve made, sealed.
	decision any
	wave     int // whose gate is being passed
}

// NewWorld makes the world of a rollout, whose machine is as defined.
func NewWorld(definition asl.Machine, r Rollout) (*World, error) {
	sealer, err := proof.NewSealer(strings.Repeat("s", 32))
	if err != nil {
		return nil, err
	}
	w := &World{Rollout: r, Faults: map[string]int{}, byName: map[string]*Run{}, calls: map[string]int{}, status: types.ExecutionStatusRunning, storage: &storage{}}
	w.storage.fault = w.faultOfStorage
	objects := fleet.Store{S3: w.storage}
	finder := fleet.Finder{
		EKS: func(region, _, _ string) fleet.EKS { return regional{w, region} }, Store: objects, Executions: w, Now: time.Now,
		Locks: contract.Destination{Bucket: locks}, Defaults: contract.Target{Region: "eu-west-1"}, Approves: true,
		Workflows: fleet.Workflows(workflows.All(), func(name string) string {
			for _, workflow := range workflows.All() {
				if name == "KUBESTEP_"+workflow.Variable() {
					return machine + workflow.Name + ":live"
				}
			}
			return ""
		}),
		Checks: map[string]func(*input.Fields, any){applymanifests.Name: manifests.CheckInline(manifests.Rules{}), runjob.Name: jobs.CheckInFleet},
	}
	w.functions = map[string]hosted.Function{
		string(contractfleet.FunctionFindClusters):    hosted.New(finder.Find),
		string(contractfleet.FunctionSummarize):       hosted.New(fleet.Summarizer{Store: objects, Sealer: sealer, Now: time.Now}.Summarize),
		string(contractfleet.FunctionRecordOutcome):   hosted.New(fleet.Recorder{Workflows: workflows.All(), Store: objects}.Record),
		string(contractfleet.FunctionRequestApproval): hosted.New(approval.Requester{Function: "kubestep-approve", SNS: func(string, string) approval.SNS { return topic{w} }}.Request),
	}
	w.approver = approval.Approver{API: w, Sealer: sealer, Machines: []string{"kubestep-apply-manifests", "kubestep-fleet"}, Now: time.Now}
	text, err := json.Marshal(r.Input())
	if err != nil {
		return nil, err
	}
	w.execution = &asl.Execution{Machine: definition, ARN: self, Do: w.do, Object: func(_ context.Context, bucket, key string) ([]byte, error) {
		body := w.storage.get(bucket, key)
		if body == nil {
			return nil, fmt.Errorf("there is no s3://%s/%s", bucket, key)
		}
		return body, nil
	}}
	return w, json.Unmarshal(text, &w.execution.Input)
}

// Run runs the rollout to its end. Call it in a bubble of testing/synctest.
func (w *World) Run(ctx context.Context) {
	w.began = time.Now()
	for _, id := range []string{w.Rollout.Former, w.Rollout.Newest} {
		w.storage.put(w.Rollout.Sources, key, id, []byte("kind: ConfigMap # "+id))
	}
	if w.Rollout.Lock != Free {
		w.storage.seize(locks, lockOf(another))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if w.Rollout.Stop > 0 {
		timer := time.AfterFunc(time.Duration(w.Rollout.Stop)*time.Second, func() {
			w.log(Event{What: Stopped})
			stop(asl.ErrStopped)
		})
		w.Output, w.Err = w.execution.Run(ctx)
		timer.Stop()
	} else {
		w.Output, w.Err = w.execution.Run(ctx)
	}
	if w.Rollout.Stop > 0 && w.Err != nil {
		w.redrive(context.WithoutCancel(ctx))
	}
	w.end()
	w.Largest = w.execution.Largest()
	w.group.Wait() // for what ends later
}

// redrive lets the execution run again, later.
func (w *World) redrive(ctx context.Context) {
	w.end()
	time.Sleep(time.Duration(w.Rollout.Later) * time.Second)
	if w.Rollout.Taken {
		lost := w.storage.replace(locks, lockOf(another))
		w.mu.Lock()
		w.Lost = lost
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.status = types.ExecutionStatusRunning
	w.mu.Unlock()
	w.log(Event{What: Redriven})
	w.Output, w.Err = w.execution.Redrive(ctx)
}

func (w *World) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case errors.Is(w.Err, asl.ErrStopped):
		w.status = types.ExecutionStatusAborted
	case w.Err != nil:
		w.status = types.ExecutionStatusFailed
	default:
		w.status = types.ExecutionStatusSucceeded
	}
	w.waiting = nil
}

// lockOf is the lock of a set as the execution that has it writes it.
func lockOf(execution string) []byte { return []byte(`{"execution":"` + execution + `"}`) }

func (w *World) log(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(e)
}

func (w *World) add(e Event) {
	e.At = time.Now()
	w.Log = append(w.Log, e)
}

// nth counts the calls of what has a name, from 1.
func (w *World) nth(of string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[of]++
	return w.calls[of]
}

func (w *World) count(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Faults[fault]++
}

// faultOfStorage is the error of a request of S3: at most two of each object, and six in all of what a function reads or writes many of.
func (w *World) faultOfStorage(operation, key string) (before, after error) {
	if w.Rollout.Denied > 0 && time.Since(w.began) > time.Duration(w.Rollout.Denied)*time.Second {
		w.count("S3 refuses everything")
		return refused("AccessDenied"), nil
	}
	n := w.nth(operation + key)
	random := source(w.Rollout.Seed, operation, key, n)
	if n > 2 || random.Float64() > w.Rollout.Faulty/3 {
		return nil, nil
	}
	if !strings.Contains(key, "/outcomes/") || operation == "GetObject" {
		if w.nth("faults of S3") > 4 {
			return nil, nil
		}
	}
	if random.IntN(2) == 0 {
		w.count("S3 throttles")
		return refused("SlowDown"), nil
	}
	w.count("S3's answer is lost")
	return nil, errors.New("connection reset by peer")
}

// do does a task of the machine.
func (w *World) do(ctx context.Context, task asl.Task) (any, error) {
	switch task.Resource {
	case "lambda:invoke":
		return w.invoke(ctx, task)
	case "lambda:invoke.waitForTaskToken":
		return w.ask(ctx, task)
	case "states:startExecution.sync:2":
		return w.start(ctx, task.Parameters)
	case "aws-sdk:sfn:describeExecution":
		return w.describe(task.Parameters)
	case "aws-sdk:cloudwatch:describeAlarms":
		return w.alarms(task.Parameters)
	default:
		return nil, fmt.Errorf("the resource %s is not known here", task.Resource)
	}
}

// only returns an error if parameters are not exactly these: those of another name would be refused by the service, or do nothing.
func only(parameters map[string]any, names ...string) error {
	if got := slices.Sorted(maps.Keys(parameters)); !slices.Equal(got, names) {
		return fmt.Errorf("the parameters are %v: expected %v", got, names)
	}
	return nil
}

// invoke invokes a function, which may fail at first.
func (w *World) invoke(ctx context.Context, task asl.Task) (any, error) {
	if err := only(task.Parameters, "FunctionName", "Payload"); err != nil {
		return nil, err
	}
	name := task.Function()
	payload, err := json.Marshal(task.Parameters["Payload"])
	if err != nil {
		return nil, err
	}
	identity, run := task.State, (*Run)(nil)
	if name == string(contractfleet.FunctionRecordOutcome) {
		cluster := task.Parameters["Payload"].(map[string]any)["cluster"].(map[string]any)
		identity += fmt.Sprint(cluster["execution"])
		if run = w.named(fmt.Sprint(cluster["execution"])); run == nil {
			return nil, fmt.Errorf("an outcome of %v, which nobody has started", cluster["execution"])
		}
	}
	n := w.nth(identity)
	random := source(w.Rollout.Seed, identity, n)
	time.Sleep(time.Duration(1+random.IntN(200)) * time.Millisecond)
	if run != nil && run.Fate.Odd == Lost {
		w.log(Event{What: Unkept, Of: run})
		w.count("an outcome is lost")
		return nil, asl.Error{Name: "Lambda.ServiceException", Cause: "it cannot serve"}
	}
	fault := ""
	if random.Float64() < w.Rollout.Faulty && n <= 2 {
		fault = []string{"Lambda cannot serve", "a function's answer is lost", "a function crashes after its work", "a function takes too long"}[random.IntN(4)]
		w.count(fault)
	}
	if fault == "Lambda cannot serve" {
		return nil, asl.Error{Name: "Lambda.ServiceException", Cause: "it cannot serve"}
	}
	function, ok := w.functions[name]
	if !ok {
		return nil, fmt.Errorf("there is no function %s", name)
	}
	if name == string(contractfleet.FunctionSummarize) {
		w.log(Event{What: Summed})
	}
	answer, err := function(ctx, payload)
	if err != nil {
		return nil, err
	}
	switch fault {
	case "a function's answer is lost":
		return nil, asl.Error{Name: "Lambda.SdkClientException", Cause: "no answer"}
	case "a function crashes after its work":
		return nil, asl.Error{Name: "Runtime.ExitError", Cause: "signal: killed"}
	case "a function takes too long":
		if task.Token != "" { // its time is somebody's to decide
			break
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var result any
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, err
	}
	return map[string]any{"Payload": result}, w.look(task.State, run, answer)
}

// look keeps what a function has answered.
func (w *World) look(state string, run *Run, answer []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case run != nil:
		var recorded contractfleet.RecordedOutcome
		if err := json.Unmarshal(answer, &recorded); err != nil {
			return err
		}
		if recorded.Execution == contractfleet.StandingEnded {
			w.add(Event{What: Recorded, Of: run})
		}
	case state == "FindClusters":
		var found contractfleet.FoundClusters
		if err := json.Unmarshal(answer, &found); err != nil {
			return err
		}
		w.own = found.Fleet.Own
		w.storage.put(w.Rollout.Sources, key, "v3-too-late", []byte("kind: ConfigMap"))
	case state == "Summarize":
		var run contractfleet.Run
		if err := json.Unmarshal(answer, &run); err != nil {
			return err
		}
		w.Rounds++
		w.wave = run.Gate.Wave
		if run.Summary.Clusters > 0 {
			w.Summary.Summary, w.Summary.Outcomes, w.Summary.Cause = run.Summary, run.Outcomes, run.Cause
		}
	}
	return nil
}

// named is the execution of that name, whichever machine it is of.
func (w *World) named(name string) *Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byName[name]
}

// read is what the parameters of startExecution ask for.
func (w *World) read(parameters map[string]any) (*Run, error) {
	if err := only(parameters, "Input", "Name", "StateMachineArn"); err != nil {
		return nil, err
	}
	in, _ := parameters["Input"].(map[string]any)
	run := &Run{Name: fmt.Sprint(parameters["Name"]), Input: in, Cluster: fmt.Sprint(in["clusterName"]), Attempt: 1, Kind: Change, done: make(chan struct{}), abort: make(chan struct{})}
	source, _ := in["source"].(map[string]any)
	switch {
	case parameters["StateMachineArn"] == machine+"run-job:live":
		run.Kind = Job
	case parameters["StateMachineArn"] != machine+"apply-manifests:live":
		return nil, fmt.Errorf("a start of %v", parameters["StateMachineArn"])
	case source["versionId"] == w.Rollout.Former:
		run.Kind = Rollback
	}
	shared, isOwn := strings.CutSuffix(run.Name, "-"+w.own)
	run.Own = isOwn
	if strings.HasSuffix(shared, "-2") {
		run.Attempt = 2
	}
	run.Fate = w.Rollout.Fate(run.Kind, run.Cluster, run.Attempt)
	return run, nil
}

var exists = asl.Error{Name: "StepFunctions.ExecutionAlreadyExistsException", Cause: "Execution Already Exists"}

// start starts an execution, and waits for its end, as startExecution.sync:2 does.
func (w *World) start(ctx context.Context, parameters map[string]any) (any, error) {
	run, err := w.read(parameters)
	if err != nil {
		return nil, err
	}
	random := source(w.Rollout.Seed, "start", run.Name)
	time.Sleep(time.Duration(1+random.IntN(100)) * time.Millisecond)
	w.mu.Lock()
	if ctx.Err() != nil {
		w.mu.Unlock()
		return nil, ctx.Err()
	}
	known := w.byName[run.Name]
	first := known == nil
	if first {
		known = run
		w.byName[run.Name] = run
		run.id = len(w.Ran)
		w.Ran = append(w.Ran, run)
		w.add(Event{What: Asked, Of: run})
		w.there(run)
	}
	known.startedCalls++
	throttled := known.Fate.Odd == NeverStarts || known.Fate.Odd == Throttled && known.startedCalls <= 3
	switch {
	case throttled && !known.Began:
		w.Faults["a start is throttled"]++
		if known.Fate.Odd == NeverStarts {
			known.Status, known.Error = "FAILED", "StepFunctions.ThrottlingException"
			w.add(Event{What: Ended, Of: known})
		}
		w.mu.Unlock()
		return nil, asl.Error{Name: "StepFunctions.ThrottlingException", Cause: "Rate exceeded"}
	case !known.Began:
		w.begin(known)
	case known.Theirs, known.Status != "", !same(known.Input, run.Input):
		w.mu.Unlock()
		return nil, exists
	default: // Step Functions answers a repeated request as it did the first, while the execution runs
		w.Faults["a start is repeated"]++
	}
	w.mu.Unlock()
	select {
	case <-known.done:
	case <-ctx.Done():
		if !w.Rollout.Kept || known.Fate.Odd == Hangs {
			w.stop(known)
		}
		return nil, ctx.Err()
	}
	described, err := known.described(false)
	if err != nil {
		return nil, err
	}
	if known.Status == "SUCCEEDED" {
		return described, nil
	}
	cause, err := json.Marshal(described)
	return nil, errors.Join(err, asl.Error{Name: "States.TaskFailed", Cause: string(cause[:min(len(cause), 32_768)])})
}

func same(one, other map[string]any) bool {
	a, _ := json.Marshal(one)
	b, _ := json.Marshal(other)
	return string(a) == string(b)
}

// there makes an execution of the name, if somebody else has started one.
func (w *World) there(run *Run) {
	odd := run.Fate.Odd
	takes := odd == RunsAlready || odd == EndedAlready || odd == EndedBefore || odd == Foreign
	if odd != Taken && (run.Own || !takes) {
		return
	}
	w.Faults[string(odd)]++
	run.Theirs, run.Began = true, true
	theirs := maps.Clone(run.Input)
	theirs["AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"] = another
	run.from = w.began.Add(-time.Hour)
	if odd == Foreign || odd == Taken {
		theirs["force"] = "of somebody else"
	}
	run.Input = theirs
	switch odd {
	case RunsAlready:
		w.goOn(run)
	case EndedAlready:
		w.finish(run, time.Now())
	case EndedBefore:
		run.Status, run.to = "SUCCEEDED", w.began.Add(-time.Minute)
	default:
		run.Status, run.to = "SUCCEEDED", time.Now()
	}
}

// begin begins an execution.
func (w *World) begin(run *Run) {
	run.Began, run.from = true, time.Now()
	w.add(Event{What: Began, Of: run})
	w.goOn(run)
}

// goOn lets an execution run to its end.
func (w *World) goOn(run *Run) {
	takes := time.Duration(run.Fate.Seconds)*time.Second + time.Duration(run.id)*time.Millisecond // no two end at once
	if run.Fate.Odd == Hangs {
		takes = 3 * time.Hour
		w.Faults[string(Hangs)]++
	}
	w.group.Go(func() {
		select {
		case <-time.After(takes):
		case <-run.abort:
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if run.Status == "" {
			w.finish(run, time.Now())
		}
	})
}

// finish ends an execution as is its fate.
func (w *World) finish(run *Run, at time.Time) {
	run.Status, run.Error, run.to = run.Fate.Status, run.Fate.Error, at
	w.add(Event{What: Ended, Of: run})
	close(run.done)
}

// stop stops an execution.
func (w *World) stop(run *Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if run.Status != "" {
		return
	}
	run.Status, run.Error, run.to = "ABORTED", "", time.Now()
	w.Faults["an execution is stopped"]++
	w.add(Event{What: Ended, Of: run})
	close(run.abort)
	close(run.done)
}

// described is the description of an execution, whose input and output are text if the SDK asked for it.
func (r *Run) described(asText bool) (map[string]any, error) {
	d := map[string]any{
		"ExecutionArn": account + "execution:kubestep-" + map[Kind]string{Change: "apply-manifests", Rollback: "apply-manifests", Job: "run-job"}[r.Kind] + ":" + r.Name,
		"Name":         r.Name, "Status": cmp.Or(r.Status, "RUNNING"), "Input": any(r.Input),
		"StartDate": float64(r.from.UnixMilli()),
	}
	if asText {
		d["StartDate"] = r.from.UTC().Format(time.RFC3339Nano)
	}
	switch {
	case r.Status == "":
	case asText:
		d["StopDate"] = r.to.UTC().Format(time.RFC3339Nano)
	default:
		d["StopDate"] = float64(r.to.UnixMilli())
	}
	switch {
	case r.Status == "SUCCEEDED" && r.Kind == Job:
		d["Output"] = any(runjob.Output{Succeeded: true})
	case r.Status == "SUCCEEDED":
		d["Output"] = any(applied(r.Fate))
	case r.Error != "":
		d["Error"], d["Cause"] = r.Error, "Cluster "+r.Cluster+" said "+r.Error+"."
	}
	for _, member := range []string{"Input", "Output"} {
		value, there := d[member]
		if !there {
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		if asText {
			d[member] = string(text)
			continue
		}
		var plain any
		if err := json.Unmarshal(text, &plain); err != nil {
			return nil, err
		}
		d[member] = plain
	}
	return d, nil
}

// describe is describeExecution.
func (w *World) describe(parameters map[string]any) (any, error) {
	if err := only(parameters, "ExecutionArn"); err != nil {
		return nil, err
	}
	asked := fmt.Sprint(parameters["ExecutionArn"])
	run := w.named(asked[strings.LastIndex(asked, ":")+1:])
	if run == nil {
		return nil, asl.Error{Name: "Sfn.ExecutionDoesNotExistException", Cause: "Execution Does Not Exist"}
	}
	if run.Fate.Odd == Undescribed && w.nth("describe "+run.Name) <= 2 {
		w.count(string(Undescribed))
		return nil, asl.Error{Name: "Sfn.ThrottlingException", Cause: "Rate exceeded"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	described, err := run.described(true)
	if err == nil && described["ExecutionArn"] != asked {
		err = asl.Error{Name: "Sfn.ExecutionDoesNotExistException", Cause: "Execution Does Not Exist: " + asked}
	}
	return described, err
}

// alarms is describeAlarms, of the gate that is being passed.
func (w *World) alarms(parameters map[string]any) (any, error) {
	if err := only(parameters, "AlarmNames", "AlarmTypes"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	wave := w.wave
	w.mu.Unlock()
	gate := w.Rollout.Waves[wave-1].Gate
	n := w.nth(fmt.Sprint("alarms of wave ", wave))
	if gate.Unreadable || n == 1 && w.Rollout.Faulty > 0 {
		w.count("alarms cannot be read")
		return nil, asl.Error{Name: "CloudWatch.CloudWatchException", Cause: "it cannot serve"}
	}
	metric, composite, good := []any{}, []any{}, true
	for _, name := range parameters["AlarmNames"].([]any) {
		at := slices.IndexFunc(gate.Alarms, func(a Alarm) bool { return a.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the alarm %v is none of wave %d", name, wave)
		}
		a := gate.Alarms[at]
		good = good && a.State == "OK"
		described := map[string]any{"AlarmName": a.Name, "StateValue": a.State}
		switch {
		case a.State == "":
		case a.Composite:
			composite = append(composite, described)
		default:
			metric = append(metric, described)
		}
	}
	w.log(Event{What: Alarmed, Wave: wave, Good: good && len(parameters["AlarmNames"].([]any)) == len(gate.Alarms)})
	return map[string]any{"MetricAlarms": metric, "CompositeAlarms": composite}, nil
}

// ask requests an approval, and has somebody answer it.
func (w *World) ask(ctx context.Context, task asl.Task) (any, error) {
	payload := task.Parameters["Payload"].(map[string]any)
	w.mu.Lock()
	w.waiting = &task
	wave := w.wave
	w.add(Event{What: Requests, Wave: wave})
	w.mu.Unlock()
	answer, err := w.invoke(ctx, task)
	if err != nil {
		return nil, err
	}
	asked := w.Rollout.First
	if wave > 0 {
		asked = w.Rollout.Waves[wave-1].Gate.Approval
	}
	rollout, _ := payload["rollout"].(map[string]any)
	w.group.Go(func() { w.answer(context.WithoutCancel(ctx), *asked, wave, task.Token, fmt.Sprint(rollout["digest"])) })
	return answer, nil
}

// answer is what somebody does about an approval.
func (w *World) answer(ctx context.Context, a Approval, wave int, token, digest string) {
	in := applymanifests.ApprovePlan{Execution: self, Digest: digest, By: "ada"}
	decide := func(in applymanifests.ApprovePlan) {
		answered, err := w.approver.Approve(ctx, in)
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case err != nil:
			w.Refused++
		case answered.Approved:
			w.add(Event{What: Approved, Wave: wave})
		}
	}
	time.Sleep(time.Duration(a.After) * time.Second)
	if a.Wrong {
		wrong := in
		wrong.Digest = strings.Repeat("A", len(digest))
		decide(wrong)
		wrong = in
		wrong.Execution = another
		decide(wrong)
	}
	switch {
	case a.Answer == Nobody:
		return
	case a.Answer == Late:
		time.Sleep(time.Duration(a.Seconds-a.After)*time.Second + time.Millisecond)
	case a.Answer == Rejects:
		in.Reject, in.Reason = true, "not on a Friday"
	case a.Answer == Replays && w.decided() != nil:
		w.log(Event{What: Replayed, Wave: wave})
		_ = w.execution.Resume(token, w.decided())
		return
	case a.Answer == Forges, a.Answer == Replays: // there is none yet
		_ = w.execution.Resume(token, map[string]any{"digest": digest, "at": time.Now().UTC().Format(time.RFC3339), "by": "eve", "approved": true, "reason": "", "seal": "Zm9yZ2Vk"})
		return
	}
	decide(in)
	if a.Twice {
		decide(in)
	}
}

// decided is the last decision that the function approve sealed; nil if there is none.
func (w *World) decided() any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decision
}

// topic stands in for SNS.
type topic struct{ w *World }

func (t topic) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	t.w.mu.Lock()
	asked := t.w.Rollout.First
	if t.w.wave > 0 {
		asked = t.w.Rollout.Waves[t.w.wave-1].Gate.Approval
	}
	t.w.mu.Unlock()
	if asked.Answer == Deaf {
		return nil, refused("NotFound")
	}
	return &sns.PublishOutput{MessageId: aws.String("m1")}, nil
}

// regional stands in for EKS in a Region.
type regional struct {
	w      *World
	region string
}

func (r regional) ListClusters(context.Context, *eks.ListClustersInput, ...func(*eks.Options)) (*eks.ListClustersOutput, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	out := &eks.ListClustersOutput{}
	for _, c := range r.w.Rollout.Clusters {
		if c.Region == r.region {
			out.Clusters = append(out.Clusters, c.Name)
		}
	}
	if r.w.own != "" && r.region == "eu-west-1" { // it began
		out.Clusters = append(out.Clusters, "new")
	}
	return out, nil
}

func (r regional) DescribeCluster(context.Context, *eks.DescribeClusterInput, ...func(*eks.Options)) (*eks.DescribeClusterOutput, error) {
	return nil, errors.New("no tags are asked for")
}

// DescribeExecution is of a fleet: this one, or the one that has the lock.
func (w *World) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case *in.ExecutionArn == self:
		return &sfn.DescribeExecutionOutput{Status: w.status}, nil
	case w.Rollout.Lock == Held, w.Lost:
		return &sfn.DescribeExecutionOutput{Status: types.ExecutionStatusRunning}, nil
	default:
		return &sfn.DescribeExecutionOutput{Status: types.ExecutionStatusFailed}, nil
	}
}

// GetExecutionHistory has the last events, for the function approve.
func (w *World) GetExecutionHistory(context.Context, *sfn.GetExecutionHistoryInput, ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		return &sfn.GetExecutionHistoryOutput{Events: []types.HistoryEvent{{Id: 9, Type: types.HistoryEventTypeTaskStateExited}}}, nil
	}
	parameters, err := json.Marshal(w.waiting.Parameters)
	resource := strings.TrimPrefix(w.waiting.Resource, "lambda:")
	return &sfn.GetExecutionHistoryOutput{Events: []types.HistoryEvent{
		{Id: 9, Type: types.HistoryEventTypeTaskSubmitted}, {Id: 8, Type: types.HistoryEventTypeTaskStarted},
		{Id: 7, Type: types.HistoryEventTypeTaskScheduled, Timestamp: aws.Time(time.Now()), TaskScheduledEventDetails: &types.TaskScheduledEventDetails{Resource: &resource, Parameters: aws.String(string(parameters))}},
	}}, err
}

// SendTaskSuccess resumes the execution.
func (w *World) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	var output any
	if err := json.Unmarshal([]byte(*in.Output), &output); err != nil {
		return nil, err
	}
	if err := w.execution.Resume(*in.TaskToken, output); err != nil {
		return nil, &types.TaskTimedOut{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting, w.decision = nil, output
	return &sfn.SendTaskSuccessOutput{}, nil
}
