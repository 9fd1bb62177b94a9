package statemachine

import (
	"maps"
	"reflect"
	"slices"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
)

// alreadyExists are the errors of a second start of the same execution, by the names
// that Step Functions gives and documents.
func alreadyExists() []string {
	return []string{"StepFunctions.ExecutionAlreadyExistsException", "StepFunctions.ExecutionAlreadyExists"}
}

// Fleet runs a workflow on many clusters, each as an execution of the workflow's own
// machine, and reports one outcome for each.
//
// A cluster that fails fails nothing else: its item ends in an outcome, whatever
// happens. Summarize decides whether the fleet has failed, once the report is written.
// A fleet that changes its clusters has a Map for every few of them: one that fails would
// abort what runs, and one that goes on begins what it should not. None is for clusters of
// two waves.
// The clusters are items in the state or, if they are too many for it, a list in S3. A
// state reads items from the one or the other, so there are two of RunClusters.
func Fleet() Machine {
	of := documentOf[fleet.Document]()
	return Machine{
		Comment:        "Runs a workflow on many EKS clusters: find them, run an execution for each, add up what became of them.",
		StartAt:        "FindClusters",
		TimeoutSeconds: int(fleet.MaxDuration.Seconds()),
		Document:       of.leaves,
		Output:         reflect.TypeFor[fleet.Output](),
		States: slices.Concat(
			States{
				findClusters(of),
				{
					Name:    "WhereClustersAre",
					Type:    Choice,
					Comment: "Many clusters are in a list in S3, few in the state. A fleet that waits for an approval before the first has a page written that says so.",
					Choices: []Rule{{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictApproval), Next: "Summarize"}, {Variable: "$.fleet.inS3", BooleanEquals: new(true), Next: "RunListedClusters"}},
					Default: "RunClusters",
				},
				eachCluster{document: of, name: "RunClusters", label: "clusters"}.state(),
				eachCluster{document: of, name: "RunListedClusters", label: "listed", suffix: "OfList", reader: &ItemReader{
					Resource:     "arn:${AWSPartition}:states:::s3:getObject",
					ReaderConfig: Object{"InputType": "JSON"},
					Parameters:   Object{"Bucket.$": "$.fleet.output.bucket", "Key.$": "$.run.list"},
				}}.state(),
				summarize(of),
				{
					Name:    "Verdict",
					Type:    Choice,
					Comment: "Clusters that failed for a reason that may have passed are tried once more. A fleet that changes its clusters goes on to the next.",
					Choices: []Rule{
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictTryAgain), Next: "WhereClustersAre"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictGoOn), Next: "WhereClustersAre"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictGate), Next: "Soak"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictJob), Next: "WhereClustersAre"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictApproval), Next: "RequestApproval"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictLookAgain), Next: "FindNewClusters"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictRollBack), Next: "RollBack"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictTolerable), Next: "Output"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictRolloutFailed), Next: "RolloutFailed"},
						{Variable: "$.run.verdict", StringEquals: string(fleet.VerdictRollbackFailed), Next: "RollbackFailed"},
					},
					Default: "ClustersFailed",
				},
				{
					Name:        "Soak",
					Type:        Wait,
					Comment:     "The gate of a wave: time for what was changed to show what it does.",
					SecondsPath: "$.run.gate.soakSeconds",
					Next:        "HasAlarms",
				},
				{
					Name:    "HasAlarms",
					Type:    Choice,
					Comment: "The alarms of the gate, if it has any, are looked at once.",
					Choices: []Rule{{Variable: "$.run.gate.watched", BooleanEquals: new(true), Next: "DescribeAlarms"}},
					Default: "Summarize",
				},
				describeAlarms(),
				requestGate(of),
				findNewClusters(of),
				{
					Name:       "RollBack",
					Type:       Pass,
					Comment:    "From here on, clusters are asked to apply the former version.",
					Parameters: Object{"fleet.$": "$.fleet", "request.$": "$.former", "former.$": "$.request", "jobs.$": "$.jobs", "run.$": "$.run"},
					ResultPath: "$",
					Next:       "WhereClustersAre",
				},
				output[fleet.Output](of, "The output: the summary and, if they are in the state, the outcomes."),
				{
					Name:      "ClustersFailed",
					Type:      Fail,
					Comment:   "More clusters failed than are tolerated. The cause says how many, of which errors, and where the report is.",
					Error:     fleet.ClustersFailed,
					CausePath: "$.run.cause",
				},
				{
					Name:      "RolloutFailed",
					Type:      Fail,
					Comment:   "A wave stopped the fleet. The cause says which one and why, and which clusters are changed.",
					Error:     fleet.RolloutFailed,
					CausePath: "$.run.cause",
				},
				{
					Name:      "RollbackFailed",
					Type:      Fail,
					Comment:   "A wave failed, and not all clusters could be rolled back. The cause says which are changed.",
					Error:     fleet.RollbackFailed,
					CausePath: "$.run.cause",
				},
			},
			failures(),
		),
	}
}

// findClusters is the state that lays down the document.
func findClusters(of document) State {
	return invoke(of, fleet.FunctionFindClusters, State{
		Name:           "FindClusters",
		Comment:        "Checks the input, finds the clusters, and names their executions. Starts nothing if anything is wrong.",
		Parameters:     Object{"fleet": Object{}, "run": Object{}},
		TimeoutSeconds: 305,
		ResultPath:     "$",
		Catch:          failureCatchers(),
		Next:           "WhereClustersAre",
	})
}

// findNewClusters is the state that finds what has appeared since the fleet began.
func findNewClusters(of document) State {
	return invoke(of, fleet.FunctionFindClusters, State{
		Name:           "FindNewClusters",
		Comment:        "Lists the clusters once more, for the report: those that have appeared meanwhile were not changed.",
		TimeoutSeconds: 305,
		ResultPath:     "$",
		Catch:          failureCatchers(),
		Next:           "Summarize",
	})
}

func summarize(of document) State {
	of.reads = reflect.TypeFor[fleet.RanDocument]()
	return invoke(of, fleet.FunctionSummarize, State{
		Name:           "Summarize",
		Comment:        "Names the clusters that are to be run next or, once there are none, adds up the outcomes and writes the report.",
		TimeoutSeconds: 125,
		ResultPath:     "$.run",
		Catch:          failureCatchers(),
		Next:           "Verdict",
	})
}

// describeAlarms reads the states of the alarms, and what it reads is Summarize's to judge, as
// is that it cannot.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
func describeAlarms() State {
	return State{
		Name:           "DescribeAlarms",
		Type:           Task,
		Comment:        "Reads the alarms' states. An error is Summarize's to tell.",
		Resource:       "arn:${AWSPartition}:states:::aws-sdk:cloudwatch:describeAlarms",
		Parameters:     Object{"AlarmNames.$": "$.run.gate.alarms", "AlarmTypes": []string{"MetricAlarm", "CompositeAlarm"}},
		TimeoutSeconds: 60,
		ResultSelector: Object{
			"names.$": "$.MetricAlarms[*].AlarmName", "states.$": "$.MetricAlarms[*].StateValue",
			"compositeNames.$": "$.CompositeAlarms[*].AlarmName", "compositeStates.$": "$.CompositeAlarms[*].StateValue",
		},
		ResultPath: "$.run.gate.seen",
		Retry: []Retrier{{
			Comment:         "CloudWatch is busy, or gave no answer.",
			ErrorEquals:     []string{"CloudWatch.CloudWatchException", "CloudWatch.SdkClientException", "States.Timeout"},
			IntervalSeconds: 2, MaxAttempts: 5, BackoffRate: 2, MaxDelaySeconds: 20, JitterStrategy: FullJitter,
		}},
		Catch: []Catcher{{Comment: "A gate that cannot be seen through is closed.", ErrorEquals: []string{"States.ALL"}, ResultPath: "$.run.gate.failure", Next: "Summarize"}},
		Next:  "Summarize",
	}
}

// requestGate waits for an approval. The function that it invokes ends at once, and whatever comes of
// it is Summarize's to judge.
func requestGate(of document) State {
	return await[contract.Decision](of, fleet.FunctionRequestApproval, State{
		Name:               "RequestApproval",
		Comment:            "Says what the rollout would go on to change, and waits until the function approve is invoked.",
		TimeoutSecondsPath: "$.run.gate.rollout.timeoutSeconds",
		ResultPath:         "$.run.gate.decision",
		Catch:              []Catcher{{Comment: "Nobody decided in time, or nobody could be asked.", ErrorEquals: []string{"States.ALL"}, ResultPath: "$.run.gate.failure", Next: "Summarize"}},
		Next:               "Summarize",
	})
}

// eachCluster runs the workflow on each cluster.
type eachCluster struct {
	document    document
	name, label string
	// suffix tells the states inside apart from the other Map's: a name is there
	// once in a machine.
	suffix string
	// reader reads the clusters; nil for those in the state.
	reader *ItemReader
}

func (e eachCluster) state() State {
	s := State{
		Name:       e.name,
		Type:       Map,
		Comment:    "Runs an execution for each cluster. In the place of the clusters come their outcomes.",
		Label:      e.label,
		ItemReader: e.reader,
		ItemSelector: e.document.copied(reflect.TypeFor[fleet.Item](), Object{
			"result": Object{}, "found": Object{}, "cluster": item(),
			"fleet": tasked(), "request.$": "States.ArrayGetItem(States.Array($.request, States.ArrayGetItem($.jobs, $.run.job)), $.run.asks)",
		}),
		MaxConcurrencyPath: "$.run.concurrency",
		// An item that ends without an outcome, such as one that outgrows the state, is
		// Summarize's to count.
		ToleratedFailureCount: fleet.MaxClusters,
		ItemProcessor: &ItemProcessor{
			ProcessorConfig: &ProcessorConfig{Mode: "DISTRIBUTED", ExecutionType: "STANDARD"},
			StartAt:         "RunWorkflow" + e.suffix,
			States:          e.states(),
			Document:        reflect.TypeFor[fleet.Item](),
		},
		ResultPath: "$.run.clusters",
		Catch:      failureCatchers(),
		Next:       "Summarize",
	}
	if e.reader == nil {
		s.ItemsPath = "$.run.clusters"
	}
	return s
}

// tasked takes the fleet with the task of the round: what its items run, and record outcomes of.
func tasked() Object {
	all := source{"$.fleet", reflect.TypeFor[fleet.Fleet]()}.copied(reflect.TypeFor[fleet.Fleet](), nil)
	maps.Copy(all, source{"$.run.task", reflect.TypeFor[fleet.Task]()}.copied(reflect.TypeFor[fleet.Task](), nil))
	return all
}

// item takes from an item of the Map what a cluster has, and nothing else: whoever can write the
// list in S3 may name clusters, but adds nothing to what each of them is asked.
func item() Object {
	const path = "$$.Map.Item.Value"
	target := source{path + ".target", reflect.TypeFor[contract.Target]()}.copied(reflect.TypeFor[contract.Target](), nil)
	return source{path, reflect.TypeFor[fleet.Cluster]()}.copied(reflect.TypeFor[fleet.Cluster](), Object{"target": target})
}

func (e eachCluster) states() States {
	record, described, found := "RecordOutcome"+e.suffix, "DescribeExecution"+e.suffix, "RecordFound"+e.suffix
	recorded := Catcher{Comment: "Whatever happened is the outcome.", ErrorEquals: []string{"States.ALL"}, ResultPath: "$.result", Next: record}
	return States{
		{
			Name:     "RunWorkflow" + e.suffix,
			Type:     Task,
			Comment:  "Starts the cluster's execution and waits for its end.",
			Resource: "arn:${AWSPartition}:states:::states:startExecution.sync:2",
			Parameters: Object{
				"StateMachineArn.$": "$.fleet.stateMachineArn",
				"Name.$":            "$.cluster.execution",
				"Input.$":           "States.JsonMerge($.request, $.cluster.target, false)",
			},
			// One that waits for longer, such as for an approval, is stopped.
			TimeoutSeconds: int(fleet.MaxRun.Seconds()),
			ResultPath:     "$.result",
			Retry:          []Retrier{startRetry()},
			Catch: []Catcher{
				{Comment: "It was started before: by a redrive, or by a fleet of the same name and request.", ErrorEquals: alreadyExists(), ResultPath: "$.result", Next: described},
				{Comment: "Whatever else happened.", ErrorEquals: []string{"States.ALL"}, ResultPath: "$.result", Next: "HasRun" + e.suffix},
			},
			Next: record,
		},
		{
			Name:    "HasRun" + e.suffix,
			Type:    Choice,
			Comment: "The cause of an execution that failed is its description, with its input, and is cut at 32,768 characters.",
			Choices: []Rule{{Variable: "$.result.Error", StringEquals: "States.TaskFailed", Next: described}},
			Default: record,
		},
		{
			Name:       described,
			Type:       Task,
			Comment:    "Reads how the execution ended.",
			Resource:   "arn:${AWSPartition}:states:::aws-sdk:sfn:describeExecution",
			Parameters: Object{"ExecutionArn.$": "States.Format('{}:{}', $.fleet.executions, $.cluster.execution)"},
			ResultPath: "$.result",
			Retry:      []Retrier{startRetry()},
			Catch:      []Catcher{recorded},
			Next:       found,
		},
		recorder(true, State{
			Name:       found,
			Comment:    "Compares its input with what this fleet asks of this cluster, and records how it ended.",
			ResultPath: "$.found",
			Next:       "WhoseRun" + e.suffix,
		}),
		{
			Name:    "WhoseRun" + e.suffix,
			Type:    Choice,
			Comment: "It may still run. One with another input, or that had ended before this fleet began, says nothing of what is asked now.",
			Choices: []Rule{
				{Variable: standing, StringEquals: string(fleet.StandingRunning), Next: "WaitForExecution" + e.suffix},
				{Variable: standing, StringEquals: string(fleet.StandingForeign), Next: "UseOwnName" + e.suffix},
			},
			Default: "Found" + e.suffix,
		},
		{
			Name:      "Found" + e.suffix,
			Type:      Pass,
			Comment:   "The outcome is recorded.",
			InputPath: "$.found.outcome",
			End:       true,
		},
		{
			Name:    "WaitForExecution" + e.suffix,
			Type:    Wait,
			Comment: "Looks again then.",
			Seconds: 30,
			Next:    described,
		},
		{
			Name:    "UseOwnName" + e.suffix,
			Type:    Pass,
			Comment: "Starts an execution of this fleet's own, with a name that a redrive finds again.",
			Parameters: Object{
				"target.$":    "$.cluster.target",
				"execution.$": "States.Format('{}-{}', $.cluster.execution, $.fleet.own)",
				"attempt.$":   "$.cluster.attempt",
				"wave.$":      "$.cluster.wave",
			},
			ResultPath: "$.cluster",
			Next:       "RunWorkflow" + e.suffix,
		},
		recorder(false, State{
			Name:       record,
			Comment:    "Makes a bounded outcome of it, in the state or in S3.",
			OutputPath: "$.Payload.outcome",
			End:        true,
		}),
	}
}

// standing is what record-outcome says of an execution that was there before.
const standing = "$.found.execution"

// recorder is a state that invokes record-outcome: with the description of whatever
// execution has the name, or with what RunWorkflow got.
func recorder(described bool, s State) State {
	s.Parameters, s.TimeoutSeconds = Object{"described": described}, 20
	return invoke(documentOf[fleet.Item](), fleet.FunctionRecordOutcome, s)
}

// startRetry waits for a place: a fleet may start executions faster than the account
// may.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
func startRetry() Retrier {
	return Retrier{
		Comment: "Step Functions is busy, or has no place for another execution.",
		ErrorEquals: []string{
			"StepFunctions.ExecutionLimitExceeded", "StepFunctions.ExecutionLimitExceededException", "StepFunctions.ThrottlingException", "StepFunctions.SdkClientException", "StepFunctions.AWSStepFunctionsException",
			"Sfn.ThrottlingException", "Sfn.SdkClientException", "Sfn.SfnException",
		},
		IntervalSeconds: 2, MaxAttempts: 10, BackoffRate: 2, MaxDelaySeconds: 60, JitterStrategy: FullJitter,
	}
}
