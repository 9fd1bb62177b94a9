package statemachine

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
)

// RunJob runs a Kubernetes Job and waits for its end.
//
// How the Job ended is in the document, and not an error of the function that watches: the
// machine may have to delete the Job first. Each of the three try blocks has a token of its
// own, since a Job may run for hours.
//
// An execution that a rule starts because another one was stopped goes the same way, but
// for the Job: it only deletes that one's.
func RunJob() Machine {
	of := documentOf[runjob.Document]()
	described := cluster{
		document: of,
		workflow: runjob.Name,
		results:  Object{"run": zero(runjob.Run{}), "deleted": zero(runjob.Deleted{})},
		progress: "States.JsonToString($.run)",
		next:     "LoadJob",
	}
	return Machine{
		Comment:        "Runs a Job in an EKS cluster: describe the cluster, load the Job, mint a token, verify access, create the Job, watch it to its end.",
		StartAt:        "DescribeCluster",
		TimeoutSeconds: runjob.MaxTimeoutSeconds + 3600,
		Document:       of.leaves,
		Output:         reflect.TypeFor[runjob.Output](),
		States: slices.Concat(
			States{
				described.describe(),
				loadJob(of),
				{
					Name:    "IsStopped",
					Type:    Choice,
					Comment: "The Job of an execution that was stopped is deleted, and none is run.",
					Choices: []Rule{{Variable: "$.request.stopped", StringMatches: "arn:*", Next: "DeleteWithFreshToken"}},
					Default: "WithFreshToken",
				},
				try{
					document:  of,
					name:      "WithFreshToken",
					mintToken: "MintToken",
					work: States{
						invoke(of, contract.FunctionVerifyRBAC, State{
							Name:           "VerifyRBAC",
							Comment:        "Asks the cluster whether this identity has the permissions that the Job needs.",
							TimeoutSeconds: 35,
							Parameters:     Object{"checks.$": "$.job.checks", "onDenied": contract.OnDeniedFail},
							ResultPath:     "$.access",
							Next:           "CreateJob",
						}),
						createJob(of),
					},
					next: "HasEnded",
				}.state(),
				{
					Name:    "HasEnded",
					Type:    Choice,
					Comment: "The next round of watching begins with a fresh token, until the Job has ended.",
					Choices: []Rule{
						{Variable: "$.run.complete", BooleanEquals: new(false), Next: "WatchWithFreshToken"},
						{Variable: "$.run.delete", BooleanEquals: new(true), Next: "DeleteWithFreshToken"},
					},
					Default: "HowItEnded",
				},
				try{
					document:  of,
					name:      "WatchWithFreshToken",
					mintToken: "MintTokenToWatch",
					work:      States{watchJob(of)},
					next:      "HasEnded",
				}.state(),
				try{
					document:  of,
					name:      "DeleteWithFreshToken",
					mintToken: "MintTokenToDelete",
					work:      States{deleteJob(of)},
					next:      "HowItEnded",
				}.state(),
				{
					Name:    "HowItEnded",
					Type:    Choice,
					Comment: "A Job that succeeded is an output, and every other one an error with a name. An execution that only deletes has run none.",
					Choices: []Rule{{Variable: "$.run.end.error", StringMatches: "Job*", Next: "ExplainJob"}},
					Default: "Output",
				},
				output[runjob.Output](of, "The output: nothing of how to reach the cluster."),
				{
					Name:       "ExplainJob",
					Type:       Pass,
					Comment:    "Makes of how the Job ended the error of the execution.",
					Parameters: Object{"Error.$": "$.run.end.error", "Cause": Object{"errorMessage.$": "$.run.end.cause"}},
					Next:       failed,
				},
			},
			described.refresh(),
			failures(),
		),
	}
}

// zero is a value of a type as JSON has it: JSONPath has no optional keys, and the output
// reads into it whether a state has written it or not.
func zero(value any) Object {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var object Object
	if err := json.Unmarshal(text, &object); err != nil {
		panic(err)
	}
	return object
}

func loadJob(of document) State {
	return invoke(of, runjob.FunctionLoadJob, State{
		Name:           "LoadJob",
		Comment:        "Reads the Job and names every problem of it, before the cluster is asked.",
		TimeoutSeconds: 35,
		ResultPath:     "$.job",
		Catch:          failureCatchers(),
		Next:           "IsStopped",
	})
}

func createJob(of document) State {
	return invoke(of, runjob.FunctionCreateJob, State{
		Name:           "CreateJob",
		Comment:        "Creates the Job after a dry run, once for the execution.",
		TimeoutSeconds: 35,
		ResultPath:     "$.run",
		End:            true,
	})
}

func watchJob(of document) State {
	return invoke(of, runjob.FunctionWatchJob, State{
		Name:           "WatchJob",
		Comment:        "Watches the Job until it has ended or the function's time is up, and keeps its logs.",
		TimeoutSeconds: 305,
		ResultPath:     "$.run",
		End:            true,
	})
}

func deleteJob(of document) State {
	return invoke(of, runjob.FunctionDeleteJob, State{
		Name:           "DeleteJob",
		Comment:        "Deletes the Job of the execution and its pods, and no other Job of that name.",
		TimeoutSeconds: 35,
		ResultPath:     "$.deleted",
		End:            true,
	})
}
