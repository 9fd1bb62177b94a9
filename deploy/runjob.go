package deploy

// RunJob runs Kubernetes Jobs. It starts containers in clusters, so it is there on demand, and has functions, roles, a Kubernetes
// group and a seal key of its own.
func RunJob() Machine {
	source := []Policy{readManifests(), decryptManifests()}
	return Machine{
		Name: "run-job", Prefix: "Jobs", OnDemand: true,
		Identity: "Signs a bearer token that may run Jobs, and seals it",
		Functions: []Function{
			{
				Name: "load-job", Description: "Reads the Job and checks it", Memory: 256, Timeout: 30, Policies: source,
				Environment: []Variable{{Name: "KUBESTEP_KUBERNETES_GROUP", Value: ref("JobsKubernetesGroup")}},
			},
			{Name: "jobs-verify-rbac", Code: "verify-rbac", Description: "Asks the cluster whether the Job may be run", Timeout: 30, Connects: true},
			{Name: "create-job", Description: "Creates the Job, once for an execution", Memory: 256, Timeout: 30, Connects: true, Policies: source},
			{
				Name: "watch-job", Description: "Watches the Job to its end, and keeps its log", Timeout: 300, Connects: true,
				Policies: []Policy{writeOutput(), encryptOutput()},
			},
			{Name: "delete-job", Description: "Deletes the Job", Timeout: 30, Connects: true},
		},
		EndsStopped: true,
		Counts:      Counts{Metric: "jobs", Title: "Jobs by how they ended"},
		Parameters: Group{"Running Jobs", []Parameter{
			{
				Name: "EnableJobs", Label: "Deploy run-job?", Default: "false", Values: boolean(),
				Description: "Whether to deploy the workflow run-job. Whoever may start it can run any container that RBAC and admission let it, with any service account of the namespace, and so it has functions, roles, a Kubernetes group and a seal key of its own.",
			},
			{
				Name: "JobsKubernetesGroup", Label: "Kubernetes group that may run Jobs", Default: "kubestep-job-runners", Pattern: kubernetesGroup(),
				Description: "The group to which the role of run-job is mapped. Nothing is bound to it; rbac/jobs/ has what it needs in a namespace.",
			},
			{
				Name: "JobsRoleArns", Label: "Roles that may be assumed to run Jobs", Type: commaDelimitedList,
				Description: "ARNs of the IAM roles, separated by commas, that an execution input of run-job may name as roleArn. Each must trust the roles of describe-cluster and jobs-mint-token.",
			},
		}},
	}
}
