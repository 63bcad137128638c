#!/usr/bin/env bash
# Builds and tests the image with podman or docker, whichever is there.
#
#   image.sh build [TARGET]   build orderbridge:$VERSION (or the stage TARGET) for $PLATFORM
#   image.sh test             build it, look into it, run it; see cmd/orderbridge/image_test.go
#
# VERSION and COMMIT are stamped into the program, TAG is the image's name,
# CONTAINER the tool, PLATFORM as in linux/arm64.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo devel)}
COMMIT=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
GO_VERSION=${GO_VERSION:-$(sed -n 's/^ARG GO_VERSION=//p' deploy/Dockerfile)}
arch() { case $(uname -m) in aarch64 | arm64) echo arm64 ;; *) echo amd64 ;; esac; }
PLATFORM=${PLATFORM:-linux/$(arch)}

say() { printf 'image: %s\n' "$*" >&2; }

if [ -z "${CONTAINER:-}" ]; then
	CONTAINER=docker
	if command -v podman >/dev/null; then CONTAINER=podman; fi
fi
command -v "$CONTAINER" >/dev/null || { say "neither podman nor docker is here: apt-get install podman runc"; exit 1; }

# What a limited host needs: limits that it may not raise, a runtime that is
# there, and a storage that works where overlay does not.
flags=() limits=()
least() { if [ "$2" != unlimited ] && [ "$2" -lt "$1" ]; then echo "$2:$2"; else echo "$1:$1"; fi; }
if [ "$CONTAINER" = podman ]; then
	command -v crun >/dev/null || flags+=(--runtime "$(command -v runc)")
	podman "${flags[@]}" info >/dev/null 2>&1 || export STORAGE_DRIVER=vfs
	# podman asks for more than a limited host lets it have.
	limits=(--ulimit "nofile=$(least 8192 "$(ulimit -Hn)")" --ulimit "nproc=$(least 4096 "$(ulimit -Hu)")")
fi
container() { "$CONTAINER" "${flags[@]}" "$@"; }

# build TARGET TAG [FLAG...]
build() {
	local target=$1 tag=$2
	shift 2
	if [ "$CONTAINER" = podman ]; then
		# Without the docker format the health check is left out. The time stamp
		# is that of the sources.
		set -- --format docker --network host --timestamp "$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
			--build-arg "BUILDPLATFORM=linux/$(arch)" "${limits[@]}" "$@"
	fi
	container build --file deploy/Dockerfile --platform "$PLATFORM" --target "$target" --tag "$tag" \
		--build-arg "GO_VERSION=$GO_VERSION" --build-arg "VERSION=$VERSION" --build-arg "COMMIT=$COMMIT" "$@" .
}

# base makes sure that the build stage's base is there. Where it cannot be
# pulled, an image with the Go of this machine stands in under its name.
base() {
	local name=docker.io/library/golang:$GO_VERSION dir
	if container image inspect "$name" >/dev/null 2>&1; then
		standin=$(container image inspect --format '{{index .Config.Labels "orderbridge.standin"}}' "$name")
		return
	fi
	if [ -z "${OFFLINE:-}" ] && timeout 60 "$CONTAINER" "${flags[@]}" pull -q "$name" >/dev/null 2>&1; then return; fi
	say "$name cannot be pulled; the Go of this machine stands in"
	command -v busybox >/dev/null || { say "a shell is needed for it: apt-get install busybox-static"; exit 1; }
	dir=$(mktemp -d)
	mkdir -p "$dir/bin" "$dir/tmp" "$dir/usr/local/go/pkg"
	cp "$(command -v busybox)" "$dir/bin/busybox"
	ln -s busybox "$dir/bin/sh"
	ln -s busybox "$dir/bin/mkdir"
	cp -a "$(go env GOROOT)"/{VERSION,go.env,bin,src} "$dir/usr/local/go/"
	cp -a "$(go env GOROOT)"/pkg/{include,tool} "$dir/usr/local/go/pkg/"
	printf '%s\n' 'FROM scratch' 'COPY . /' \
		'ENV PATH=/usr/local/go/bin:/bin HOME=/root GOPROXY=file:///modules GOSUMDB=off' \
		'LABEL orderbridge.standin=true' >"$dir/../$(basename "$dir").Dockerfile"
	container build -q --file "$dir.Dockerfile" --tag "$name" "$dir" >/dev/null
	rm -rf "$dir" "$dir.Dockerfile"
	standin=true
}

# fetch IMAGE FILE TO: a file out of an image that has not run.
fetch() {
	local id
	id=$(container create --no-healthcheck --platform "$PLATFORM" "$1")
	container cp "$id:$2" "$3"
	container rm "$id" >/dev/null
}

digest() { sha256sum "$1" | cut -d' ' -f1; }

same() {
	[ "$2" = "$3" ] || { say "$1: $2 and $3 differ"; exit 1; }
	say "$1: the same, $2"
}

test_image() {
	GO_VERSION=$(go env GOVERSION)
	GO_VERSION=${GO_VERSION#go}
	standin=
	base
	local mounts=() cached=() out size
	if [ "$standin" = true ]; then
		go mod download
		mounts=(--volume "$(go env GOMODCACHE)/cache/download:/modules:ro")
		cached=(--volume "$(go env GOCACHE):/root/.cache/go-build")
	fi
	out=$(mktemp -d)
	trap 'rm -rf "'"$out"'"' EXIT

	say "building for $PLATFORM (after ${SECONDS}s)"
	build orderbridge orderbridge:test "${mounts[@]}" >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
	size=$(container image inspect --format '{{.Size}}' orderbridge:test)
	say "size: $((size / 1000000)) MB"
	[ "$size" -lt 40000000 ] || { say "that is over 40 MB"; exit 1; }

	# The container has built it at another place, with nothing that this
	# machine has compiled: the same bytes must come out.
	say "building it once more, here (after ${SECONDS}s)"
	fetch orderbridge:test /orderbridge "$out/image"
	make -s build BIN="$out" VERSION="$VERSION" COMMIT="$COMMIT"
	same "two builds" "$(digest "$out/image")" "$(digest "$out/orderbridge")"
	"$out/image" version | grep -qF "$VERSION" || { say "the version $VERSION is not stamped"; exit 1; }
	go version -m "$out/image" | grep -q x509roots/fallback || { say "there are no CA roots in it"; exit 1; }

	local other=arm64
	if [ "$(arch)" = arm64 ]; then other=amd64; fi
	say "building for linux/$other (after ${SECONDS}s)"
	PLATFORM=linux/$other build orderbridge "orderbridge:test-$other" "${mounts[@]}" "${cached[@]}" >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }
	same "architecture" "$(container image inspect --format '{{.Architecture}}' "orderbridge:test-$other")" "$other"
	PLATFORM=linux/$other fetch "orderbridge:test-$other" /orderbridge "$out/other"
	go version -m "$out/other" | grep -q "GOARCH=$other" || { say "the program in it is not for $other"; exit 1; }

	say "running it (after ${SECONDS}s)"
	ORDERBRIDGE_TEST_IMAGE=orderbridge:test ORDERBRIDGE_TEST_CONTAINER="$CONTAINER ${flags[*]}" ORDERBRIDGE_TEST_LIMITS="${limits[*]}" \
		timeout 150 go test -count=1 -run '^TestImage' ./cmd/orderbridge
	say "good (after ${SECONDS}s)"
}

case "${1:-}" in
build) build "${2:-orderbridge}" "${TAG:-${2:-orderbridge}:$VERSION}" ;;
test) test_image ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
