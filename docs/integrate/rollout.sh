#!/usr/bin/env bash
# Plans manifests for all clusters, or rolls them out in the waves of waves.json. It runs in GitHub Actions, in CodeBuild, and at a
# terminal, and reads these variables. kubestep finds the stack by KUBESTEP_STACK.
#
#   MODE         plan or apply
#   MANIFESTS    the bucket of the manifests, versioned
#   REPORTS      the bucket of the reports
#   REGIONS      the Regions whose clusters the fleet takes, with spaces or commas between them
#   NAMESPACE    the namespace of objects that name none (default)
#   OVERLAY      the folder that kustomize renders (overlays/production)
set -euo pipefail

read -ra flags <<<"${REGIONS//,/ }"
kubectl kustomize "${OVERLAY:-overlays/production}" >base.yaml

# A plan has a key of its own: what a pull request uploads is never the newest version of what was merged.
key=base.yaml
[[ $MODE == apply ]] || key=plan/base.yaml
version=$(aws s3api put-object --bucket "$MANIFESTS" --key "$key" --body base.yaml --query VersionId --output text)

# The version is part of the request, so the last cluster gets what the first one got.
request='"namespace":"'${NAMESPACE:-default}'","source":{"bucket":"'$MANIFESTS'","key":"'$key'","versionId":"'$version'"}'
case $MODE in
plan) request='{"mode":"plan",'$request'}' ;;
apply) request='{"mode":"apply",'$request',"wait":{"timeoutSeconds":300}}' ;;
*)
	echo "MODE is plan or apply, not $MODE" >&2
	exit 2
	;;
esac

# It prints what happens, and exits with 1 if too many clusters failed: what they came to is of use then above all.
status=0
kubestep fleet --workflow apply-manifests "${flags[@]/#/--region=}" --request "$request" --waves @waves.json \
	--report "s3://$REPORTS/kubestep/" | tee summary.txt || status=$?
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
	{ echo '```text' && cat summary.txt && echo '```'; } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
