#!/usr/bin/env bash
# Lets a role of kubestep into each EKS cluster of an account, in some Regions: an access entry, what the role may do, and port 443.
#
#   map-clusters.sh --role ARN [--group NAME] [--policy NAME | --rbac FOLDER [--namespace NAME]] [--from CIDR] [--remove] REGION...
#
#   --role ARN      the role that signs the tokens: that of member.yml, or the output RoleArn of kubestep's stack
#   --group NAME    the Kubernetes group that the role is mapped to (kubestep-pod-readers)
#   --policy NAME   associate this EKS access policy, for all namespaces. It needs no network path to the cluster
#   --rbac FOLDER   apply this folder, such as rbac/cluster. It needs kubectl, and a network path to the cluster
#   --namespace NAME  apply it in this namespace (default)
#   --from CIDR     let these addresses, where the functions are, reach port 443 of the cluster's security group
#   --remove        take all of this away again: give the other flags as before
#
# It uses the credentials that the aws command has, so run it once for each account. What is there already stays, so it may run
# again, for clusters that were added. A cluster that fails does not stop the others: the exit status is 1 then.
set -uo pipefail

# usage prints the text above, and exits.
usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

role="" group=kubestep-pod-readers policy="" rbac="" namespace=default from="" remove="" regions=()
while (($#)); do
	case $1 in
	--role) role=$2 && shift 2 ;;
	--group) group=$2 && shift 2 ;;
	--policy) policy=$2 && shift 2 ;;
	--rbac) rbac=$2 && shift 2 ;;
	--namespace) namespace=$2 && shift 2 ;;
	--from) from=$2 && shift 2 ;;
	--remove) remove=yes && shift ;;
	-*) usage ;;
	*) regions+=("$1") && shift ;;
	esac
done
if [[ -z $role || ${#regions[@]} -eq 0 ]]; then
	usage
fi

# done_before PATTERN COMMAND... runs a command. It succeeds too if the command says, by that pattern, that nothing is left to do.
done_before() {
	local said
	said=$("${@:2}" 2>&1 >/dev/null) || [[ $said =~ $1 ]] || {
		printf '%s\n' "$said" >&2
		return 1
	}
}

# in_cluster REGION CLUSTER ARGUMENTS... runs kubectl in that cluster, whatever the current context is.
in_cluster() {
	local config status
	config=$(mktemp)
	aws eks update-kubeconfig --region "$1" --name "$2" --kubeconfig "$config" >/dev/null && kubectl --kubeconfig "$config" "${@:3}" >/dev/null
	status=$?
	rm -f "$config"
	return "$status"
}

# ingress VERB REGION CLUSTER authorizes or revokes port 443 of the cluster's security group.
ingress() {
	local vpc_group
	vpc_group=$(aws eks describe-cluster --region "$2" --name "$3" --query cluster.resourcesVpcConfig.clusterSecurityGroupId --output text) || return 1
	done_before 'InvalidPermission\.(Duplicate|NotFound)' aws ec2 "$1-security-group-ingress" --region "$2" --group-id "$vpc_group" --protocol tcp --port 443 --cidr "$from"
}

# let_in REGION CLUSTER lets the role into a cluster.
let_in() {
	local mode partition=${role#arn:}
	mode=$(aws eks describe-cluster --region "$1" --name "$2" --query cluster.accessConfig.authenticationMode --output text) || return 1
	if [[ $mode == CONFIG_MAP ]]; then
		echo "its authentication mode is CONFIG_MAP: map the role in aws-auth (rbac/README.md)" >&2
		return 1
	fi
	done_before ResourceInUse aws eks create-access-entry --region "$1" --cluster-name "$2" --principal-arn "$role" --kubernetes-groups "$group" || return 1
	if [[ -n $policy ]]; then
		done_before ResourceInUse aws eks associate-access-policy --region "$1" --cluster-name "$2" --principal-arn "$role" \
			--policy-arn "arn:${partition%%:*}:eks::aws:cluster-access-policy/$policy" --access-scope type=cluster || return 1
	fi
	[[ -z $from ]] || ingress authorize "$1" "$2" || return 1
	[[ -z $rbac ]] || in_cluster "$1" "$2" apply -k "$rbac" -n "$namespace"
}

# shut_out REGION CLUSTER takes away what let_in gave. The access policy goes with the entry.
shut_out() {
	done_before ResourceNotFound aws eks delete-access-entry --region "$1" --cluster-name "$2" --principal-arn "$role" || return 1
	[[ -z $from ]] || ingress revoke "$1" "$2" || return 1
	[[ -z $rbac ]] || in_cluster "$1" "$2" delete -k "$rbac" -n "$namespace" --ignore-not-found
}

change() { if [[ -n $remove ]]; then shut_out "$@"; else let_in "$@"; fi; }

failed=0
for region in "${regions[@]}"; do
	clusters=$(aws eks list-clusters --region "$region" --query 'clusters[]' --output text) || failed=1
	for cluster in $clusters; do
		if change "$region" "$cluster"; then
			echo "$region $cluster: done"
		else
			echo "$region $cluster: FAILED" >&2
			failed=1
		fi
	done
done
exit $failed
