#!/usr/bin/env bash
# Compiles Go packages into the build cache, and says how far it is: what is linked from them afterwards takes seconds. Of several
# packages, go build writes no program.
#
#   hack/build.sh WHAT [FLAGS] PACKAGES
set -euo pipefail
hack=$(cd "$(dirname "$0")" && pwd)
what=$1
shift
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# shellcheck disable=SC2016 # these are of the shell that is started
# The first look at the packages downloads the modules that they are in.
"$hack/progress.sh" "modules of $what downloaded" 0 '^go: downloading ' \
	sh -c 'out=$1; shift; go list -deps -f "{{if .Stale}}{{.ImportPath}}{{end}}" "$@" >"$out"' list "$list" "$@"
packages=$(wc -l <"$list" | tr -d ' ')
if ((packages < 100)); then
	exit # the rest takes less time than to tell of it
fi
echo "· compiling $packages packages of $what, once" >&2
"$hack/progress.sh" "packages of $what compiled" "$packages" '^[^ :#]+$' go build -v "$@"
