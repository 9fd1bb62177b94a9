package deploy

// Group is a group of parameters, as the console shows it.
type Group struct {
	Label      string
	Parameters []Parameter
}

// Parameter is a parameter of the template. Each has a default, except in a release, so that an update may bring a new one.
type Parameter struct {
	Name, Label string
	// Type is String if it is empty.
	Type        string
	Default     string
	Required    bool
	Values      []string
	MaxLength   int
	Pattern     Pattern
	Description string
}

// Pattern is what a parameter's value matches.
type Pattern struct {
	Regexp string
	// Says is what the console says of a value that does not match.
	Says string
	// Why is a comment.
	Why string
}

// Names are the names of the parameters.
func (g Group) Names() []string {
	var all []string
	for _, p := range g.Parameters {
		all = append(all, p.Name)
	}
	return all
}

// Literal returns a value of the parameter as YAML writes it.
func (p Parameter) Literal(value string) string {
	if p.Type == "Number" {
		return value
	}
	return quote(value)
}

const commaDelimitedList = "CommaDelimitedList"

func boolean() []string { return []string{"true", "false"} }

// kubernetesGroup is the pattern of a group that a role may be mapped to.
func kubernetesGroup() Pattern {
	return Pattern{
		Regexp: `^(?!system:|eks:)[0-9A-Za-z][0-9A-Za-z:._-]{0,252}$`,
		Says:   "1 to 253 letters, digits and any of :._- that do not begin with system: or eks:",
		Why: `EKS refuses groups of Kubernetes' own in an access entry, but aws-auth takes them, and system:masters may do anything:
https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html`,
	}
}

func keyARN() Pattern {
	return Pattern{Regexp: `^$|^arn:aws(-[a-z]+)*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9A-Za-z-]{1,128}$`, Says: "Empty, or the ARN of a KMS key."}
}

func bucketName() Pattern { return Pattern{Regexp: `^$|^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`} }

// keyPrefix has the characters that need no escaping anywhere, as internal/input.
func keyPrefix() Pattern { return Pattern{Regexp: `^[0-9A-Za-z!_.()/=-]{0,512}$`} }

func scheduleExpression() Pattern {
	return Pattern{Regexp: `^$|^(rate|cron|at)\(.+\)$`, Says: "Empty, or rate(...), cron(...) or at(...)."}
}

func jsonObject() Pattern {
	return Pattern{Regexp: `^\s*\{[\s\S]*\}\s*$`, Says: "A JSON object."}
}

// groups are all parameters. Those of a workflow alone are in its file.
func (s Stack) groups() []Group {
	all := []Group{
		{"The cluster, and who may list its pods", []Parameter{
			{
				Name: "ClusterName", Label: "EKS cluster",
				Pattern:     Pattern{Regexp: `^$|^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`, Says: "1 to 100 letters, digits, - and _, a letter or digit first."},
				Description: `The EKS cluster, in this account and Region, that an execution uses if its input names none. Empty if every input names one; then list them under "Further clusters".`,
			},
			{
				Name: "CreateAccessEntry", Label: "Create the access entry?", Default: "true", Values: boolean(),
				Description: `Whether to map mint-token's role to the Kubernetes group by an access entry of the cluster. "false" for a cluster whose authentication mode is CONFIG_MAP: then add the stack's output AwsAuthMapping to aws-auth.`,
			},
			{
				Name: "KubernetesGroup", Label: "Kubernetes group", Default: "kubestep-pod-readers", Pattern: kubernetesGroup(),
				Description: "The group that the role is mapped to. rbac/ binds kubestep-pod-readers; another one needs bindings of its own.",
			},
			{
				Name: "ClusterArns", Label: "Further clusters", Type: commaDelimitedList,
				Description: "ARNs of further EKS clusters that may be described, separated by commas, such as arn:aws:eks:eu-west-1:111122223333:cluster/demo. A * stands for any characters. A fleet over the clusters of this account needs them here: find-clusters may list them all, but each cluster's execution describes its cluster.",
			},
			{
				Name: "RoleArns", Label: "Roles that may be assumed", Type: commaDelimitedList,
				Description: "ARNs of the IAM roles, separated by commas, that an execution input may name as roleArn, for clusters of other accounts. Each must trust the roles of describe-cluster and mint-token: the stack's output TrustPolicy is what to paste. A * stands for any characters, / and : too, so a role of any account may match it: list whole ARNs, or set the organization.",
			},
			{
				Name: "ExternalId", Label: "External id for those roles", MaxLength: 1224,
				Pattern:     Pattern{Regexp: `^$|^[\w+=,.@:/-]{2,}$`, Says: "2 to 1224 letters, digits and any of _+=,.@:/-"},
				Description: "The external id that those roles require. Empty if they require none.",
			},
			{
				Name: "OrganizationId", Label: "Organization of those roles",
				Pattern:     Pattern{Regexp: `^(o-[a-z0-9]{10,32})?$`, Says: "Empty, or the id of an organization, such as o-a1b2c3d4e5."},
				Description: "The id of the organization (AWS Organizations) in whose accounts roles may be assumed, such as o-a1b2c3d4e5. Empty for any account that RoleArns or ApplyRoleArns match.",
			},
		}},
		{"A cluster whose endpoint is private", []Parameter{
			{
				Name: "SubnetIds", Label: "Subnets", Type: commaDelimitedList,
				Description: "Subnets that reach the cluster's private endpoint, for the functions that connect to it. They need no way out of the VPC, except an S3 gateway endpoint if listings or diffs are written to S3, or manifests are read from there. Empty for a public endpoint.",
			},
			{
				Name: "SecurityGroupIds", Label: "Security groups", Type: commaDelimitedList,
				Description: "Security groups of those functions. The cluster's security group must let them in on port 443. Required with subnets.",
			},
		}},
		{"A schedule", []Parameter{
			{
				Name: "ScheduleExpression", Label: "When", Pattern: scheduleExpression(),
				Description: "When to start executions, such as rate(1 hour) or cron(0 6 * * ? *). Empty for no schedule.",
			},
			{
				Name: "ScheduleTimezone", Label: "In which time zone", Default: "UTC", Pattern: Pattern{Regexp: `^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`},
				Description: "The time zone of that expression, such as Europe/Berlin.",
			},
			{
				Name: "ScheduleInput", Label: "With which input", Default: "{}", Pattern: jsonObject(),
				Description: "The input of those executions, a JSON object. It may be {} if a cluster is set above.",
			},
		}},
		{"Listings too large for an execution's output", []Parameter{
			{
				Name: "OutputBucket", Label: "S3 bucket", Pattern: bucketName(),
				Description: "The S3 bucket, of this account and in this Region, that an execution input may name to have every pod, a diff or the report of a fleet written to it. Empty for none.",
			},
			{
				Name: "OutputPrefix", Label: "Key prefix", Pattern: keyPrefix(),
				Description: "The prefix of those objects' keys, such as pods/. Empty for the whole bucket.",
			},
			{
				Name: "OutputKeyArn", Label: "The bucket's KMS key", Pattern: keyARN(),
				Description: "The KMS key that the bucket encrypts objects with by default (SSE-KMS). Empty if it uses none.",
			},
		}},
	}
	for _, m := range s.Machines() {
		if len(m.Parameters.Parameters) > 0 {
			all = append(all, m.Parameters)
		}
	}
	return append(all,
		Group{"Watching", []Parameter{
			{
				Name: "AlarmTopicArn", Label: "SNS topic for alarms",
				Pattern:     Pattern{Regexp: `^$|^arn:aws(-[a-z]+)*:sns:[a-z0-9-]+:[0-9]{12}:[0-9A-Za-z_-]{1,256}$`, Says: "Empty, or the ARN of a standard SNS topic."},
				Description: "The SNS topic that alarms notify. If it is encrypted, then with a KMS key of your own whose policy lets cloudwatch.amazonaws.com use it: with the key alias/aws/sns no alarm arrives. Empty for alarms that only show in the console.",
			},
			{
				Name: "ClusterMetrics", Label: "Metrics of each cluster?", Default: "true", Values: boolean(),
				Description: `Whether there are metrics of each cluster: its pods by status, and the objects that differ from the manifests. Each cluster and status is a custom metric, which CloudWatch charges for. "false" leaves the counts in the logs only.`,
			},
			{
				Name: "LogRetentionDays", Label: "Days to keep logs", Type: "Number", Default: "30",
				Values:      []string{"1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"},
				Description: "How many days logs are kept.",
			},
			{
				Name: "LogExecutionData", Label: "Log execution data?", Default: "false", Values: boolean(),
				Description: "Whether the state machine's log includes the inputs and outputs of states. They name pods, nodes and addresses. Tokens in them are sealed.",
			},
		}},
		Group{"Deployment", []Parameter{
			{
				Name: "DeploymentType", Label: "How an update takes over", Default: "CANARY", Values: []string{"CANARY", "LINEAR", "ALL_AT_ONCE"},
				Description: "How the alias live moves to a new version: CANARY starts 10 % of executions on it for five minutes, LINEAR moves 10 % every five minutes, and an alarm on a fault of kubestep's moves it back. ALL_AT_ONCE moves at once and ignores alarms, so it also gets an update past an alarm that is already on.",
			},
			{
				Name: "ReleaseId", Label: "Release", Pattern: Pattern{Regexp: `^([0-9a-f]{10})?$`, Says: "Empty, or 10 digits or letters a to f."},
				Description: "What tells releases apart; make deploy computes it from the code, the template and the parameters. A new one publishes new function versions. If it is empty, a change of parameters alone does not reach the functions.",
			},
			{
				Name: "ReservedConcurrency", Label: "Reserved concurrency of each function", Pattern: Pattern{Regexp: `^([1-9][0-9]{0,3})?$`, Says: "Empty, or 1 to 9999."},
				Description: "The concurrency that is reserved for each function, which is also its limit. Empty for no reservation.",
			},
			{
				Name: "CacheTtl", Label: "Time to live of what is known of a cluster", Default: "5m",
				Pattern:     Pattern{Regexp: `^[0-9]{1,4}[smh]$`, Says: "A number and s, m or h, such as 5m."},
				Description: "How long describe-cluster caches what EKS says about a cluster. 0s to ask every time.",
			},
			{
				Name: "MintTokenRoleName", Label: "Name of mint-token's role", Pattern: Pattern{Regexp: `^[\w+=,.@-]{0,64}$`},
				Description: "The name of the role that the cluster maps to the group. Empty for STACK-mint-token. Role names are unique in the account: set it if a stack of the same name exists in another Region.",
			},
			{
				Name: "PermissionsBoundaryArn", Label: "Permissions boundary of all roles",
				Pattern:     Pattern{Regexp: `^$|^arn:aws(-[a-z]+)*:iam::([0-9]{12}|aws):policy/[\x21-\x7E]{1,512}$`},
				Description: "The permissions boundary of every role. Empty for none.",
			},
		}},
		Group{"Secrets", []Parameter{
			{
				Name: "EncryptionKeyArn", Label: "KMS key", Pattern: keyARN(),
				Description: "The KMS key that encrypts the functions' variables and the secrets. Empty to create one, whose policy lets only the functions decrypt the variables.",
			},
			{
				Name: "SecretStage", Label: "Staging label of the secrets", Default: "AWSCURRENT", Pattern: Pattern{Regexp: `^[\w+=,.@-]{1,256}$`},
				Description: "The staging label of the secret versions that all functions use. To rotate the secrets, put new values under a new label and name that label here. A deployment that creates a secret, as the first one and the first with EnableApply do, needs AWSCURRENT: a new secret has no other label.",
			},
		}},
	)
}
