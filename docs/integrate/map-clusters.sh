#!/usr/bin/env bash
# Lets a role of kubestep into each EKS cluster of an account, in some Regions: an access entry, what the role may do, and port 443.
#
#   map-clusters.sh --role ARN [--group NAME] [--policy NAME | --rbac FOLDER [--namespace NAME]] [--from CIDR] REGION...
#
#   --role ARN      the role that signs the tokens: that of member.yml, or the output RoleArn of kubestep's stack
#   --group NAME    the Kubernetes group that the role is mapped to (kubestep-pod-readers)
#   --policy NAME   associate this EKS access policy, for all namespaces. It needs no network path to the cluster
#   --rbac FOLDER   apply this folder, such as rbac/cluster. It needs kubectl, and a network path to the cluster
#   --namespace NAME  apply it in this namespace (default)
#   --from CIDR     let these addresses, where the functions are, reach port 443 of the cluster's security group
#
# It uses the credentials that the aws command has, so run it once for each account. What is there already stays, so it may run
# again, for clusters that were added. A cluster that fails does not stop the others: the exit status is 1 then.
set -uo pipefail

# usage prints the text above, and exits.
usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

role="" group=kubestep-pod-readers policy="" rbac="" namespace=default from="" regions=()
while (($#)); do
	case $1 in
	--role) role=$2 && shift 2 ;;
	--group) group=$2 && shift 2 ;;
	--policy) policy=$2 && shift 2 ;;
	--rbac) rbac=$2 && shift 2 ;;
	--namespace) namespace=$2 && shift 2 ;;
	--from) from=$2 && shift 2 ;;
	-*) usage ;;
	*) regions+=("$1") && shift ;;
	esac
done
if [[ -z $role || ${#regions[@]} -eq 0 ]]; then
	usage
fi

# there runs a command. It succeeds if what the command creates was there before.
there() {
	local said
	said=$("$@" 2>&1 >/dev/null) || [[ $said == *ResourceInUse* || $said == *InvalidPermission.Duplicate* ]] || {
		printf '%s\n' "$said" >&2
		return 1
	}
}

# let_in lets the role into the cluster $2 of the Region $1.
let_in() {
	local mode vpc_group config status partition=${role#arn:}
	mode=$(aws eks describe-cluster --region "$1" --name "$2" --query cluster.accessConfig.authenticationMode --output text) || return 1
	if [[ $mode == CONFIG_MAP ]]; then
		echo "its authentication mode is CONFIG_MAP: map the role in aws-auth (rbac/README.md)" >&2
		return 1
	fi
	there aws eks create-access-entry --region "$1" --cluster-name "$2" --principal-arn "$role" --kubernetes-groups "$group" || return 1
	if [[ -n $policy ]]; then
		there aws eks associate-access-policy --region "$1" --cluster-name "$2" --principal-arn "$role" \
			--policy-arn "arn:${partition%%:*}:eks::aws:cluster-access-policy/$policy" --access-scope type=cluster || return 1
	fi
	if [[ -n $from ]]; then
		vpc_group=$(aws eks describe-cluster --region "$1" --name "$2" --query cluster.resourcesVpcConfig.clusterSecurityGroupId --output text) || return 1
		there aws ec2 authorize-security-group-ingress --region "$1" --group-id "$vpc_group" --protocol tcp --port 443 --cidr "$from" || return 1
	fi
	if [[ -n $rbac ]]; then
		config=$(mktemp)
		aws eks update-kubeconfig --region "$1" --name "$2" --kubeconfig "$config" >/dev/null && kubectl --kubeconfig "$config" apply -k "$rbac" -n "$namespace" >/dev/null
		status=$?
		rm -f "$config"
		return $status
	fi
}

failed=0
for region in "${regions[@]}"; do
	clusters=$(aws eks list-clusters --region "$region" --query 'clusters[]' --output text) || failed=1
	for cluster in $clusters; do
		if let_in "$region" "$cluster"; then
			echo "$region $cluster: done"
		else
			echo "$region $cluster: FAILED" >&2
			failed=1
		fi
	done
done
exit $failed
