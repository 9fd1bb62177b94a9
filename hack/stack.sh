#!/usr/bin/env bash
# Deploys, watches and removes a stack of kubestep: what make deploy, start, logs and destroy call.
#
#   hack/stack.sh deploy|start|logs|destroy
#
# It reads STACK, CLUSTER, PARAMS, BUCKET, NAMESPACE, WORKFLOW, INPUT, OUTPUT, SINCE and KEEP_RBAC from the environment, and reaches AWS as
# the aws command does, so it serves the local world too (source .local/env). What is missing is said, all of it, before
# anything is started.
set -euo pipefail
cd "$(dirname "$0")/.."

named=${STACK:-}
STACK=${STACK:-kubestep}
NAMESPACE=${NAMESPACE:-default}
WORKFLOW=${WORKFLOW:-pod-inventory}
missing=()

say() { printf '· %s\n' "$*" >&2; }

# what notes that something is missing; whatever depends on it is not looked at.
lacks() { missing+=("$1"); }

# stop ends here if anything is missing.
stop_if_missing() {
	if ((${#missing[@]})); then
		printf 'Nothing was done. Missing:\n' >&2
		printf '  - %s\n' "${missing[@]}" >&2
		exit 1
	fi
}

need_aws() {
	if ! command -v aws >/dev/null; then
		lacks "the aws command: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html says how to install it"
		stop_if_missing
	fi
	export AWS_PAGER=
	if ! account=$(aws sts get-caller-identity --query Account --output text 2>/dev/null); then
		lacks "AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; aws sts get-caller-identity says what is wrong"
	fi
	region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
	[[ -n $region ]] || lacks "a Region: set AWS_REGION"
	[[ $STACK =~ ^[A-Za-z][A-Za-z0-9-]{0,49}$ ]] || lacks "a name for the stack that AWS takes: STACK=$STACK is not a letter and up to 49 letters, digits and -"
	stop_if_missing
	export AWS_REGION=$region AWS_DEFAULT_REGION=$region
}

need_go() { command -v go >/dev/null || lacks "Go: https://go.dev/doc/install says how to install it"; }

# output NAME is an output of the stack, or empty.
output() {
	aws cloudformation describe-stacks --stack-name "$STACK" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text 2>/dev/null || true
}

# reaches CLUSTER tells whether kubectl's current context is that cluster, by its endpoint: a name could be another's.
reaches() {
	local endpoint
	command -v kubectl >/dev/null || return 1
	endpoint=$(aws eks describe-cluster --name "$1" --query cluster.endpoint --output text 2>/dev/null) || return 1
	[[ $(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null) == "$endpoint" ]] || return 1
	kubectl version --request-timeout 10s >/dev/null 2>&1
}

# PARAMS is NAME=VALUE …, each in quotes where it holds a space.
params=()
while IFS= read -r parameter; do
	[[ -z $parameter ]] || params+=("$parameter")
done < <(xargs -n 1 printf '%s\n' <<<"${PARAMS:-}")

deploy() {
	local status mode bucket known parameter entry=()
	need_aws
	need_go
	if [[ -z ${CLUSTER:-} ]]; then
		lacks "the name of the EKS cluster: make deploy CLUSTER=…; aws eks list-clusters --region $region lists them"
	elif ! read -r status mode < <(aws eks describe-cluster --name "$CLUSTER" --query 'cluster.[status,accessConfig.authenticationMode]' --output text 2>/dev/null); then
		lacks "the cluster $CLUSTER in $region of account $account, or the right to eks:DescribeCluster; aws eks list-clusters --region $region lists what there is"
	elif [[ $status != ACTIVE && $status != UPDATING ]]; then
		lacks "a cluster that is active: $CLUSTER is $status"
	fi
	known=$(sed -n '/^Parameters:/,/^[A-Z].*:$/s/^  \([A-Za-z]*\):$/\1/p' template.yml)
	for parameter in "${params[@]}"; do
		if [[ $parameter != *=* ]] || ! grep -qx "${parameter%%=*}" <<<"$known"; then
			lacks "a parameter of template.yml that is set by NAME=VALUE: PARAMS holds $parameter"
		fi
	done
	bucket=${BUCKET:-kubestep-$account-$region}
	if ! aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
		lacks "an S3 bucket for the code: aws s3 mb s3://$bucket makes $bucket; BUCKET=… names another"
	fi
	stop_if_missing

	make build
	# The key of the code in the bucket is a hash of the archive, which holds the time: the same code is uploaded once.
	touch -t 200001010000 build/*/bootstrap
	aws cloudformation package --template-file template.yml --s3-bucket "$bucket" --s3-prefix "$STACK" --output-template-file build/packaged.yml >build/package.log 2>&1 ||
		{ cat build/package.log >&2; exit 1; }
	if [[ $mode == CONFIG_MAP ]]; then
		entry=(CreateAccessEntry=false) # such a cluster takes none
	fi
	aws cloudformation deploy --template-file build/packaged.yml --stack-name "$STACK" --s3-bucket "$bucket" --s3-prefix "$STACK" \
		--capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset --parameter-overrides ClusterName="$CLUSTER" "${entry[@]}" "${params[@]}" 2>&1 | tr '\r' '\n' | { grep -v '^Uploading' || true; } >&2
	say "stack $STACK is deployed: $(output StateMachineArn)"

	if [[ -n $(output AwsAuthMapping) ]]; then
		say "left to do: map the role $(output RoleArn), since the stack has no access entry:"
		printf '\n  eksctl create iamidentitymapping --cluster %s --region %s --arn %s --username kubestep --group %s\n\n' \
			"$CLUSTER" "$region" "$(output RoleArn)" "$(output KubernetesGroup)"
	fi
	if reaches "$CLUSTER"; then
		say "letting the group list pods in namespace $NAMESPACE"
		kubectl apply -k rbac/namespace -n "$NAMESPACE" >&2
	else
		say "left to do: let the group list pods, in each namespace that you choose:"
		printf '\n  aws eks update-kubeconfig --name %s --region %s\n  kubectl apply -k rbac/namespace -n %s\n\n' "$CLUSTER" "$region" "$NAMESPACE"
	fi
	say "then: make start STACK=$STACK"
}

start() {
	local machine
	need_aws
	need_go
	# Whatever the output is called: it holds the ARN of the workflow's state machine, or of its alias.
	machine=$(aws cloudformation describe-stacks --stack-name "$STACK" --output text \
		--query "Stacks[0].Outputs[?contains(OutputValue, ':stateMachine:$STACK-$WORKFLOW')].OutputValue | [0]" 2>/dev/null) || true
	[[ $machine != None ]] || machine=
	# The local world has a stack that CloudFormation does not know.
	[[ -n $machine || -n $named || $WORKFLOW != pod-inventory ]] || machine=${STATE_MACHINE_ARN:-}
	[[ -n $machine ]] || lacks "the state machine $STACK-$WORKFLOW of the stack $STACK in $region of account $account: make deploy CLUSTER=… makes it"
	stop_if_missing
	go build -o build/kubestep ./cmd/kubestep
	exec build/kubestep "$WORKFLOW" --state-machine-arn "$machine" --input "${INPUT:-{\}}" --output "${OUTPUT:-table}"
}

logs() {
	local since=$((($(date +%s) - 60 * ${SINCE:-60}) * 1000)) function found=
	need_aws
	for function in describe-cluster mint-token verify-rbac list-pods; do
		if aws logs filter-log-events --log-group-name "/aws/lambda/$STACK-$function" --start-time "$since" --query 'events[].[message]' --output text 2>/dev/null; then
			found=yes
		fi
	done
	[[ -n $found ]] || lacks "log groups of the stack $STACK in $region of account $account, or the right to logs:FilterLogEvents"
	stop_if_missing
}

destroy() {
	local cluster bucket
	need_aws
	if [[ -z $(output StateMachineArn) ]]; then
		lacks "the stack $STACK in $region of account $account: there is nothing to remove"
	fi
	stop_if_missing
	cluster=${CLUSTER:-$(aws cloudformation describe-stacks --stack-name "$STACK" --query "Stacks[0].Parameters[?ParameterKey=='ClusterName'].ParameterValue" --output text 2>/dev/null)}
	bucket=${BUCKET:-kubestep-$account-$region}
	if [[ -n ${KEEP_RBAC:-} ]]; then
		say "what rbac/ put into the cluster stays, since KEEP_RBAC is set"
	elif [[ -n $cluster && $cluster != None ]] && reaches "$cluster"; then
		# Another stack of the same cluster shares it: KEEP_RBAC=1 keeps it.
		say "removing what rbac/ put into the cluster $cluster"
		kubectl delete rolebindings,roles --all-namespaces --selector app.kubernetes.io/part-of=kubestep --ignore-not-found >&2
		kubectl delete clusterrolebindings,clusterroles --selector app.kubernetes.io/part-of=kubestep --ignore-not-found >&2
	else
		say "left to do in the cluster, which kubectl does not reach:"
		printf '\n  kubectl delete rolebindings,roles --all-namespaces --selector app.kubernetes.io/part-of=kubestep\n  kubectl delete clusterrolebindings,clusterroles --selector app.kubernetes.io/part-of=kubestep\n\n'
	fi
	aws cloudformation delete-stack --stack-name "$STACK"
	aws cloudformation wait stack-delete-complete --stack-name "$STACK"
	if aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
		aws s3 rm "s3://$bucket/$STACK/" --recursive --quiet
		say "stack $STACK is removed. What is left: the bucket $bucket itself (aws s3 rb s3://$bucket), and the role's mapping in aws-auth where it was added by hand"
	else
		say "stack $STACK is removed. What is left: the code in the bucket that BUCKET named, and the role's mapping in aws-auth where it was added by hand"
	fi
}

case ${1:-} in
deploy | start | logs | destroy) "$1" ;;
*)
	printf 'usage: %s deploy|start|logs|destroy\n' "$0" >&2
	exit 2
	;;
esac
