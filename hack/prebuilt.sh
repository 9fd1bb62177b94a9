#!/usr/bin/env bash
# Takes the local control plane of a release, instead of building Kubernetes, and where the sources are those of the release, also
# its functions and commands. Nothing is kept whose SHA-256 is not the one in the release's SHA256SUMS.
#
#   hack/prebuilt.sh VERSION FOLDER    VERSION is such as v1.2.3, or 1 for the newest release that these sources contain
#
# RELEASES is where the folders of the releases are.
set -euo pipefail
cd "$(dirname "$0")/.."
releases=${RELEASES:-https://github.com/kubestep/kubestep/releases/download}
version=$1 folder=$2

say() { echo "· $*" >&2; }
refuse() {
	echo "PREBUILT: $*. Without PREBUILT, make builds it from the sources, which takes some minutes once" >&2
	exit 1
}

system=$(uname -s | tr '[:upper:]' '[:lower:]')
architecture=$(uname -m)
case $architecture in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
esac
platform=${system}_$architecture

named=$version
if [ "$version" = 1 ]; then
	version=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) ||
		refuse "git knows no release that these sources contain. Name one, as in make run PREBUILT=v1.2.3, or git fetch --tags"
fi
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || refuse "'$version' is not a version such as v1.2.3"

# Whether the sources are the release's. Without git, whoever names the release says so.
same=
if git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
	if git rev-parse --verify --quiet "$version^{commit}" >/dev/null && git diff --quiet "$version" --; then
		same=1
	fi
elif [ "$named" != 1 ]; then
	same=1
fi

archives="controlplane_${version}_$platform.tar.gz"
if [ -n "$same" ]; then
	archives="$archives local_${version}_$platform.tar.gz"
fi

fetch() { # URL FILE
	curl --fail --silent --show-error --location --proto-redir =https --retry 2 --connect-timeout 20 --output "$2" "$1" 2>"$work/why" ||
		refuse "cannot take $1: $(tr '\n' ' ' <"$work/why" | sed 's/ *$//')"
}

sum() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }

mkdir -p "$folder"
work=$(mktemp -d "$folder/prebuilt-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/programs"
# What is in the folder already.
stamp=$folder/.prebuilt
there=
if [ -x "$folder/controlplane" ] && [ -x "$folder/kubectl" ]; then
	there=" $(cat "$stamp" 2>/dev/null || true) "
fi
for archive in $archives; do
	case $there in *" $archive "*) continue ;; esac
	command -v curl >/dev/null || refuse "curl is missing, which takes the release"
	[ -f "$work/SHA256SUMS" ] || fetch "$releases/$version/SHA256SUMS" "$work/SHA256SUMS"
	want=$(awk -v name="$archive" '$2 == name { print $1 }' "$work/SHA256SUMS")
	[ -n "$want" ] || refuse "release $version has no $archive: it was not made for $platform"
	say "taking $archive of release $version"
	fetch "$releases/$version/$archive" "$work/$archive"
	got=$(sum "$work/$archive")
	[ "$got" = "$want" ] || refuse "$archive is not what release $version has: its SHA-256 is $got, and SHA256SUMS has $want. Nothing of it is kept. Try again: if it stays so, do not use this release, and report it (SECURITY.md)"
	tar -xzf "$work/$archive" -C "$work/programs"
done
rm -f "$stamp"
(cd "$work/programs" && find . -type f) | while IFS= read -r program; do
	mkdir -p "$folder/$(dirname "$program")"
	mv -f "$work/programs/$program" "$folder/$program"
done
echo "$archives" >"$stamp"
if [ -z "$same" ]; then
	say "these sources are not those of $version: the functions and commands are built from them"
	command -v go >/dev/null || refuse "Go is missing, which builds them: git checkout $version, or install Go (https://go.dev/doc/install)"
	"${MAKE:-make}" --no-print-directory programs
fi
