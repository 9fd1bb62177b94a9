package deploy

// PodInventory lists pods. As the first workflow it is always there, and what belongs to it has no prefix.
func PodInventory() Machine {
	return Machine{
		Name:     "pod-inventory",
		Identity: "Signs a bearer token for the cluster and seals it",
		Functions: []Function{
			{Name: "verify-rbac", Description: "Asks the cluster what the token's identity may do", Timeout: 30, Connects: true},
			{
				Name: "list-pods", Description: "Lists the pods, paged and bounded", Memory: 256, Timeout: 60, Connects: true,
				Policies: []Policy{writeOutput(), encryptOutput()},
			},
		},
		Schedule: "Schedule",
		Alarms: []Alarm{{
			Name: "ExecutionsThrottledAlarm", Metric: "ExecutionThrottled", Minutes: 5,
			Says: "Step Functions throttled executions of STACK-NAME for five minutes: the account's rate of state transitions is used up.",
		}},
		Counts: Counts{Metric: "pods", Title: "Pods by status"},
	}
}
