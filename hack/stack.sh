#!/usr/bin/env bash
# Deploys, starts, watches and removes a stack of kubestep: what make deploy, start, logs and destroy call.
#
#   hack/stack.sh deploy|start|logs|destroy
#
# It reads STACK, CLUSTER, PARAMS, BUCKET, NAMESPACE, WORKFLOW, INPUT, OUTPUT, SINCE, KEEP_RBAC and CONFIRM from the environment, and
# reaches AWS as the aws command does, so it works in the local world too (source .local/env). Before it starts anything, it
# names everything that is missing.
#
# It runs under bash 3.2, the one of macOS: no associative arrays, and an array that may be empty is expanded as
# ${a[@]+"${a[@]}"}, since that bash takes an empty one for unset.
set -euo pipefail
cd "$(dirname "$0")/.."

named=${STACK:-}
STACK=${STACK:-kubestep}
NAMESPACE=${NAMESPACE:-default}
WORKFLOW=${WORKFLOW:-pod-inventory}
missing=()
tab=$'\t'

say() { printf '· %s\n' "$*" >&2; }

# lacks adds something to what is missing.
lacks() { missing+=("$1"); }

# stop_if_missing exits if anything is missing.
stop_if_missing() {
	if ((${#missing[@]})); then
		printf 'Nothing was done. Missing:\n' >&2
		printf '  - %s\n' "${missing[@]}" >&2
		exit 1
	fi
}

# longest_stack prints how long STACK may be: the names of functions and roles have at most 64 characters.
longest_stack() {
	# shellcheck disable=SC2016 # template.yml has it so
	sed -nE 's/^ *(FunctionName|RoleName): .*"\$\{AWS::StackName\}(-[a-z-]*)".*/\2/p' template.yml | awk '{ if (length > most) most = length } END { print 64 - most }'
}

# dead_world succeeds if AWS_ENDPOINT_URL is of a local world that has ended.
dead_world() {
	[[ ${AWS_ENDPOINT_URL:-} =~ ^http://127\.0\.0\.1:([0-9]+) ]] && ! (exec 3<>"/dev/tcp/127.0.0.1/${BASH_REMATCH[1]}") 2>/dev/null
}

need_aws() {
	local longest
	if ! command -v aws >/dev/null; then
		lacks "the aws command: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html says how to install it"
		stop_if_missing
	fi
	export AWS_PAGER=
	if ! account=$(aws sts get-caller-identity --query Account --output text 2>/dev/null); then
		if dead_world; then
			lacks "the local world at AWS_ENDPOINT_URL=$AWS_ENDPOINT_URL, which does not answer: start it with make up, and run source .local/env again. For AWS itself, run deactivate_kubestep, which .local/env defines, or use another shell"
			stop_if_missing
		fi
		lacks "AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; aws sts get-caller-identity says what is wrong"
	fi
	region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
	[[ -n $region ]] || lacks "a Region: set AWS_REGION"
	longest=$(longest_stack)
	if [[ ! $STACK =~ ^[A-Za-z][A-Za-z0-9-]*$ ]] || ((${#STACK} > longest)); then
		lacks "a valid name of a stack: STACK=$STACK is not a letter and up to $((longest - 1)) letters, digits and -, which the names of functions and roles begin with"
	fi
	stop_if_missing
	export AWS_REGION=$region AWS_DEFAULT_REGION=$region
}

need_go() { command -v go >/dev/null || lacks "Go: https://go.dev/doc/install says how to install it"; }

# described QUERY prints the result of a query on the stack, or nothing.
described() {
	local found
	found=$(aws cloudformation describe-stacks --stack-name "$STACK" --query "Stacks[0].$1" --output text 2>/dev/null) || return 0
	[[ $found == None ]] || printf '%s' "$found"
}

# output NAME prints an output of the stack, or nothing.
output() { described "Outputs[?OutputKey=='$1'].OutputValue"; }

# reaches CLUSTER succeeds if kubectl's current context is that cluster. It compares endpoints, because names are not unique.
reaches() {
	local endpoint
	command -v kubectl >/dev/null || return 1
	endpoint=$(aws eks describe-cluster --name "$1" --query cluster.endpoint --output text 2>/dev/null) || return 1
	[[ $(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null) == "$endpoint" ]] || return 1
	kubectl version --request-timeout 10s >/dev/null 2>&1
}

# owned BUCKET succeeds if a bucket exists and this account owns it. Names of buckets are unique across accounts: an attacker
# could have created one with the name that is computed here, to replace the code that is deployed from it.
owned() { aws s3api head-bucket --bucket "$1" --expected-bucket-owner "$account" >/dev/null 2>&1; }

# code_prefix prints the prefix of the keys of the stack's code. No listings are written to it.
code_prefix() { printf 'kubestep-code/%s' "$STACK"; }

# read_params reads PARAMS into params. It is NAME=VALUE …, each in quotes if it holds a space or a quote: xargs reads it as a
# shell would, but for $ and `, which are themselves. It goes through a variable, since bash drops the status of <(…).
params=()
read_params() {
	local words parameter
	if ! words=$(xargs -n 1 printf '%s\n' <<<"${PARAMS:-}" 2>/dev/null); then
		# What xargs says of it alone: the words before it may be written in the middle of that.
		words=$(xargs -n 1 printf '%s\n' <<<"${PARAMS:-}" 2>&1 >/dev/null) || true
		lacks "PARAMS that can be read: ${words##*xargs: }. Its parameters are NAME=VALUE, and one that holds a space or a quote is in quotes as a whole: PARAMS=\"LogRetentionDays=90 'ScheduleExpression=rate(1 hour)'\""
		return
	fi
	while IFS= read -r parameter; do
		[[ -z $parameter ]] || params+=("$parameter")
	done <<<"$words"
}

# effective prints the parameters that the stack will have, NAME<tab>VALUE and sorted: the template's defaults, what the
# stack has now, and what is given as arguments, of which the last one counts. Without ReleaseId, which is made from them.
effective() {
	{
		awk '/^Parameters:/ { inside = 1; next } /^[A-Z]/ { inside = 0 }
			inside && /^  [A-Za-z]+:$/ { name = substr($1, 1, length($1) - 1) }
			inside && /^    Default: / { sub(/^    Default: /, ""); gsub(/^"|"$/, ""); print name "\t" $0 }' template.yml
		aws cloudformation describe-stacks --stack-name "$STACK" --query 'Stacks[0].Parameters[].[ParameterKey,ParameterValue]' --output text 2>/dev/null || true
		(($# == 0)) || printf '%s\n' "$@" | sed "s/=/$tab/"
	} | awk -F '\t' '$1 != "ReleaseId" { name = $1; sub(/^[^\t]*\t?/, ""); value[name] = $0 } END { for (name in value) print name "\t" value[name] }' | LC_ALL=C sort
}

# effective_value NAME prints the value that a parameter will have. It reads what effective printed, in settled.
effective_value() { sed -n "s/^$1$tab//p" <<<"$settled"; }

# secrets prints the logical ids of the secrets that the stack will have. It reads settled too.
secrets() {
	local enabled
	enabled=$(sed -n "s/^\(Enable\)\([A-Za-z]*\)${tab}true$/\1s\2/p" <<<"$settled" | tr '\n' ' ')
	awk -v enabled=" $enabled" '
		function told() { if (secret && (condition == "" || index(enabled, " " condition " "))) print name; secret = 0; condition = "" }
		/^  [A-Za-z0-9]+:$/ { told(); name = substr($1, 1, length($1) - 1) }
		/^[A-Z]/ { told() }
		/^    Type: AWS::SecretsManager::Secret$/ { secret = 1 }
		/^    Condition: / { condition = $2 }
		END { told() }' template.yml
}

# mapped TEXT prints what follows a text in a line of mapping, an entry of aws-auth.
mapped() { sed -n "s/^[- ]*$1//p" <<<"$mapping"; }

# need_labels looks whether each secret has a version with the label that the functions will read. CloudFormation
# creates a secret with the label AWSCURRENT only, and rolls back if it finds no version:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html
need_labels() {
	local stage secret arn
	stage=$(effective_value SecretStage)
	[[ -n $stage && $stage != AWSCURRENT ]] || return 0
	for secret in $(secrets); do
		arn=$(aws cloudformation describe-stack-resources --stack-name "$STACK" --logical-resource-id "$secret" --query 'StackResources[0].PhysicalResourceId' --output text 2>/dev/null) || arn=
		if [[ -z $arn || $arn == None ]]; then
			lacks "a label that a new secret has: this deployment creates $secret, with the label AWSCURRENT only, and SecretStage is $stage. Add SecretStage=AWSCURRENT to PARAMS: the rotation of docs/deploy.md gave that label to the same values, so no key changes"
		elif ! aws secretsmanager describe-secret --secret-id "$arn" --query 'values(VersionIdsToStages)[]' --output text 2>/dev/null | tr '\t' '\n' | grep -qxF "$stage"; then
			lacks "a version of the secret $secret with the label $stage, or the permission secretsmanager:DescribeSecret: SecretStage names that label, and docs/deploy.md says how a rotation puts it on all secrets"
		fi
	done
}

# release prints a hash of the functions, the template and the parameters.
release() {
	{
		cat build/*/bootstrap template.yml
		printf '%s\n' "$settled"
	} | { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; } | cut -c 1-10
}

deploy() {
	local status mode bucket known parameter state given settled output_bucket group name mapping content
	need_aws
	need_go
	read_params
	if [[ -z ${CLUSTER:-} ]]; then
		lacks "the name of the EKS cluster: make deploy CLUSTER=…; aws eks list-clusters --region $region lists them"
	elif ! read -r status mode < <(aws eks describe-cluster --name "$CLUSTER" --query 'cluster.[status,accessConfig.authenticationMode]' --output text 2>/dev/null); then
		lacks "the cluster $CLUSTER in $region of account $account, or the permission eks:DescribeCluster; aws eks list-clusters --region $region lists the clusters"
	elif [[ $status != ACTIVE && $status != UPDATING ]]; then
		lacks "a cluster that is active: $CLUSTER is $status"
	fi
	# A cluster in mode CONFIG_MAP does not accept access entries. PARAMS overrides this.
	given=(ClusterName="${CLUSTER:-}" CreateAccessEntry="$([[ ${mode:-} == CONFIG_MAP ]] && echo false || echo true)")
	content='[^[:space:]{}]' # more than an empty object
	known=$(sed -n '/^Parameters:/,/^[A-Z].*:$/s/^  \([A-Za-z]*\):$/\1/p' template.yml)
	for parameter in ${params[@]+"${params[@]}"}; do
		if [[ $parameter != *=* ]] || ! grep -qxF "${parameter%%=*}" <<<"$known"; then
			lacks "a parameter of template.yml that is set by NAME=VALUE: PARAMS holds $parameter"
		elif [[ ${parameter%%=*} == *Input && ${parameter#*=} =~ $content && $parameter != *\"* ]]; then
			lacks "an execution input in JSON for ${parameter%%=*}: PARAMS holds $parameter, whose quotes the shell took away. Put the whole parameter in quotes: PARAMS=\"'${parameter%%=*}={\\\"namespaces\\\": [\\\"shop\\\"]}'\""
		fi
	done
	given+=(${params[@]+"${params[@]}"})
	settled=$(effective "${given[@]}")
	bucket=${BUCKET:-kubestep-$account-$region}
	if ! owned "$bucket"; then
		lacks "an S3 bucket of account $account for the code: aws s3 mb s3://$bucket makes $bucket, unless somebody else has that name; BUCKET=… names another"
	fi
	output_bucket=$(effective_value OutputBucket)
	if [[ $output_bucket == "$bucket" ]]; then
		lacks "another bucket for listings, or for the code (BUCKET=…): OutputBucket=$output_bucket is the one that the code is deployed from, and list-pods writes to it"
	fi
	state=$(described StackStatus)
	if [[ $state == ROLLBACK_COMPLETE ]]; then
		lacks "a stack that can be updated: the first deployment of $STACK failed and was rolled back; aws cloudformation describe-stack-events --stack-name $STACK says why. Remove what is left of it (make destroy STACK=$STACK), then deploy again"
	fi
	need_labels
	stop_if_missing

	make build
	# The key of the code in the bucket is a hash of the archive, which holds the time: the same code is uploaded once.
	touch -t 200001010000 build/*/bootstrap
	given+=(ReleaseId="$(release)")
	aws cloudformation package --template-file template.yml --s3-bucket "$bucket" --s3-prefix "$(code_prefix)" --output-template-file build/packaged.yml >build/package.log 2>&1 ||
		{ cat build/package.log >&2; exit 1; }
	# Through the bucket, because an API request takes templates of at most 51,200 bytes.
	aws cloudformation deploy --template-file build/packaged.yml --stack-name "$STACK" --s3-bucket "$bucket" --s3-prefix "$(code_prefix)" \
		--capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset --parameter-overrides "${given[@]}" 2>&1 | tr '\r' '\n' | { grep -v '^Uploading' || true; } >&2
	say "stack $STACK is deployed: $(output StateMachineArn)"

	# Each workflow has such an output, unless the stack creates the access entry of its role.
	while read -r name; do
		mapping=$(output "$name")
		[[ -n $mapping ]] || continue
		say "left to do: map the role $(mapped 'rolearn: '), because the stack has no access entry:"
		printf '\n  eksctl create iamidentitymapping --cluster %s --region %s --arn %s --username %s --group %s\n\n' \
			"$CLUSTER" "$region" "$(mapped 'rolearn: ')" "$(mapped 'username: ')" "$(mapped ' - ')"
	done < <(sed -n 's/^  \([A-Za-z]*AwsAuthMapping\):$/\1/p' template.yml)
	group=$(effective_value KubernetesGroup)
	if [[ -n $group && $group != kubestep-pod-readers ]]; then
		say "left to do: let the group $group list pods. rbac/namespace binds kubestep-pod-readers, so put $group in its place, in each namespace that you choose:"
		printf '\n  kubectl kustomize rbac/namespace | sed s/kubestep-pod-readers/%s/ | kubectl apply -n %s -f -\n\n' "$group" "$NAMESPACE"
	elif reaches "$CLUSTER"; then
		say "letting the group list pods in namespace $NAMESPACE"
		kubectl apply -k rbac/namespace -n "$NAMESPACE" >&2
	else
		say "left to do: let the group list pods, in each namespace that you choose:"
		printf '\n  aws eks update-kubeconfig --name %s --region %s\n  kubectl apply -k rbac/namespace -n %s\n\n' "$CLUSTER" "$region" "$NAMESPACE"
	fi
	say "then: make start STACK=$STACK"
}

start() {
	local machine variable
	need_aws
	need_go
	# Whatever the output is called: it holds the ARN of the alias of the workflow's state machine.
	machine=$(described "Outputs[?ends_with(OutputValue, ':stateMachine:$STACK-$WORKFLOW:live')].OutputValue | [0]")
	# The local world has a stack that CloudFormation does not know.
	variable=$(tr a-z- A-Z_ <<<"$WORKFLOW")_ARN
	[[ -n $machine || -n $named ]] || machine=${!variable:-}
	[[ -n $machine || -n $named || $WORKFLOW != pod-inventory ]] || machine=${STATE_MACHINE_ARN:-}
	[[ -n $machine ]] || lacks "the state machine $STACK-$WORKFLOW of the stack $STACK in $region of account $account: make deploy CLUSTER=… creates it"
	stop_if_missing
	go build -o build/kubestep ./cmd/kubestep
	exec build/kubestep "$WORKFLOW" --state-machine-arn "$machine" --input "${INPUT:-{\}}" --output "${OUTPUT:-table}"
}

logs() {
	local since=$((($(date +%s) - 60 * ${SINCE:-60}) * 1000))
	need_aws
	aws logs filter-log-events --log-group-name "/aws/lambda/$STACK" --start-time "$since" --query 'events[].[message]' --output text 2>/dev/null ||
		lacks "the log group of the stack $STACK in $region of account $account, or the permission logs:FilterLogEvents"
	stop_if_missing
}

# confirm says what will be deleted and what is kept, and exits unless CONFIRM, or who types, names the stack.
confirm() {
	local answer=${CONFIRM:-}
	{
		printf 'This deletes the stack %s in %s of account %s:\n' "$STACK" "$region" "$account"
		printf '  - its state machines and functions: executions that run end at their next state, and the list of the last 90 days goes\n'
		printf '  - its roles, secrets, alarms, schedules, dashboard and logs, and in seven days its KMS key\n'
		[[ $code != deleted ]] || printf '  - its code, s3://%s/%s/\n' "$bucket" "$(code_prefix)"
		[[ $rbac != deleted ]] || printf '  - what rbac/ put into the cluster %s, also for another stack (KEEP_RBAC=1 keeps it)\n' "$cluster"
		printf 'It keeps:\n'
		[[ $code != deleted ]] || printf '  - the bucket %s\n' "$bucket"
		[[ $code == deleted ]] || printf '  - its code, in the bucket that BUCKET named: %s is not one of this account\n' "$bucket"
		[[ -z $listings ]] || printf '  - listings and reports in the bucket %s\n' "$listings"
		printf '  - what was applied to clusters, and what maps its roles in aws-auth\n'
		[[ $rbac == deleted ]] || printf '  - what rbac/ put into %s, because %s\n' "${cluster:-clusters}" "$rbac"
	} >&2
	if [[ -z $answer ]]; then
		printf 'To delete it, type the name of the stack: ' >&2
		IFS= read -r answer || printf '\n' >&2
	fi
	if [[ $answer != "$STACK" ]]; then
		printf 'Nothing was deleted. A script confirms with CONFIRM=%s.\n' "$STACK" >&2
		exit 1
	fi
}

destroy() {
	local cluster bucket listings code=kept rbac='kubectl does not reach it'
	need_aws
	if [[ -z $(described StackStatus) ]]; then
		lacks "the stack $STACK in $region of account $account: there is nothing to remove$([[ ${AWS_ENDPOINT_URL:-} != http://127.0.0.1:* ]] || echo '. The local world itself ends with make down')"
	fi
	stop_if_missing
	cluster=${CLUSTER:-$(described "Parameters[?ParameterKey=='ClusterName'].ParameterValue")}
	bucket=${BUCKET:-kubestep-$account-$region}
	listings=$(described "Parameters[?ParameterKey=='OutputBucket'].ParameterValue")
	[[ -n $cluster ]] || rbac='the stack names no cluster'
	! owned "$bucket" || code=deleted
	if [[ -n ${KEEP_RBAC:-} ]]; then
		rbac='KEEP_RBAC is set'
	elif [[ -n $cluster ]] && reaches "$cluster"; then
		rbac=deleted
	fi
	confirm
	if [[ $rbac == deleted ]]; then
		# Another stack of the same cluster shares it: KEEP_RBAC=1 keeps it.
		say "removing what rbac/ put into the cluster $cluster"
		kubectl delete rolebindings,roles --all-namespaces --selector app.kubernetes.io/part-of=kubestep --ignore-not-found >&2
		kubectl delete clusterrolebindings,clusterroles --selector app.kubernetes.io/part-of=kubestep --ignore-not-found >&2
	elif [[ -z ${KEEP_RBAC:-} ]]; then
		say "left to do in the cluster, which kubectl does not reach:"
		printf '\n  kubectl delete rolebindings,roles --all-namespaces --selector app.kubernetes.io/part-of=kubestep\n  kubectl delete clusterrolebindings,clusterroles --selector app.kubernetes.io/part-of=kubestep\n\n'
	fi
	aws cloudformation delete-stack --stack-name "$STACK"
	aws cloudformation wait stack-delete-complete --stack-name "$STACK"
	if [[ $code == deleted ]]; then
		aws s3 rm "s3://$bucket/$(code_prefix)/" --recursive --quiet
		say "stack $STACK is removed. What is left: the bucket $bucket itself (aws s3 rb s3://$bucket), and the role's mapping in aws-auth if somebody added it"
	else
		say "stack $STACK is removed. What is left: the code in the bucket that BUCKET named, and the role's mapping in aws-auth if somebody added it"
	fi
}

case ${1:-} in
deploy | start | logs | destroy) "$1" ;;
*)
	printf 'usage: %s deploy|start|logs|destroy\n' "$0" >&2
	exit 2
	;;
esac
