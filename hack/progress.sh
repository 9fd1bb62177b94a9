#!/usr/bin/env bash
# Runs a command that prints a line for each of its steps, and says every 20 seconds how many are done. What else the command
# prints is shown if it fails.
#
#   hack/progress.sh WHAT TOTAL PATTERN COMMAND...    PATTERN matches the line of a step; TOTAL is 0 if nobody knows it
set -euo pipefail
what=$1 total=$2 pattern=$3
shift 3
every=${PROGRESS_SECONDS:-20}
rest=$(mktemp)
trap 'rm -f "$rest"' EXIT

count() {
	local line steps=0 last=$SECONDS
	while IFS= read -r line || [ -n "$line" ]; do
		if [[ $line =~ $pattern ]]; then
			steps=$((steps + 1))
			if ((SECONDS - last >= every)); then
				last=$SECONDS
				if ((total > 0)); then
					echo "· $what: $steps of $total" >&2
				else
					echo "· $what: $steps" >&2
				fi
			fi
		else
			printf '%s\n' "$line" >>"$rest"
		fi
	done
}

if ! "$@" 2>&1 | count; then
	cat "$rest" >&2
	exit 1
fi
