#!/usr/bin/env bash
# Plans manifests for all clusters, or rolls them out in the waves of waves.json. It reads MODE (plan or apply), MANIFESTS and
# REPORTS (buckets); kubestep finds the stack by KUBESTEP_STACK. It runs in GitHub Actions, in CodeBuild, and at a terminal.
set -euo pipefail

kubectl kustomize overlays/production >base.yaml
version=$(aws s3api put-object --bucket "$MANIFESTS" --key base.yaml --body base.yaml --query VersionId --output text)

# The version is part of the request, so the last cluster gets what the first one got.
source='{"bucket":"'$MANIFESTS'","key":"base.yaml","versionId":"'$version'"}'
case $MODE in
plan) request='{"mode":"plan","source":'$source'}' ;;
apply) request='{"mode":"apply","source":'$source',"wait":{"timeoutSeconds":300}}' ;;
esac

# It prints what happens, and exits with 1 if too many clusters failed.
kubestep fleet --workflow apply-manifests --region eu-west-1 --region us-east-1 --request "$request" --waves @waves.json \
	--report "s3://$REPORTS/kubestep/" | tee summary.txt
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
	{ echo '```text' && cat summary.txt && echo '```'; } >>"$GITHUB_STEP_SUMMARY"
fi
