#!/usr/bin/env bash
# Builds and tests the image with podman or docker, whichever is there.
#
#   image.sh build [TARGET]   build orderbridge:$VERSION (or the stage TARGET) for $PLATFORM
#   image.sh test             build it, look into it, run it; see internal/e2e/image_test.go
#   image.sh compose          run compose.yaml (with podman-compose) and break some of it
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

# prepare finds the Go of this machine and, where the base is a stand-in, what
# the build needs instead of a network.
prepare() {
	GO_VERSION=$(go env GOVERSION)
	GO_VERSION=${GO_VERSION#go}
	standin=
	base
	mounts=() cached=()
	if [ "$standin" = true ]; then
		go mod download
		mounts=(--volume "$(go env GOMODCACHE)/cache/download:/modules:ro")
		cached=(--volume "$(go env GOCACHE):/root/.cache/go-build")
	fi
	out=$(mktemp -d)
	trap 'rm -rf "'"$out"'"' EXIT
}

# quietly shows what a command says only if it fails.
quietly() { "$@" >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 1; }; }

test_image() {
	local size other
	prepare

	say "building for $PLATFORM (after ${SECONDS}s)"
	quietly build orderbridge orderbridge:test "${mounts[@]}"
	size=$(container image inspect --format '{{.Size}}' orderbridge:test)
	say "size: $((size / 1000000)) MB"
	[ "$size" -lt 45000000 ] || { say "that is over 45 MB"; exit 1; }

	# The container has built it at another place, with nothing that this
	# machine has compiled: the same bytes must come out.
	say "building it once more, here (after ${SECONDS}s)"
	fetch orderbridge:test /orderbridge "$out/image"
	make -s build BIN="$out" VERSION="$VERSION" COMMIT="$COMMIT"
	same "two builds" "$(digest "$out/image")" "$(digest "$out/orderbridge")"
	"$out/image" version | grep -F "$VERSION" >/dev/null || { say "the version $VERSION is not stamped"; exit 1; }
	go version -m "$out/image" | grep x509roots/fallback >/dev/null || { say "there are no CA roots in it"; exit 1; }

	other=arm64
	if [ "$(arch)" = arm64 ]; then other=amd64; fi
	say "building for linux/$other (after ${SECONDS}s)"
	PLATFORM=linux/$other quietly build orderbridge "orderbridge:test-$other" "${mounts[@]}" "${cached[@]}"
	same "architecture" "$(container image inspect --format '{{.Architecture}}' "orderbridge:test-$other")" "$other"
	PLATFORM=linux/$other fetch "orderbridge:test-$other" /orderbridge "$out/other"
	go version -m "$out/other" | grep "GOARCH=$other" >/dev/null || { say "the program in it is not for $other"; exit 1; }

	say "running it (after ${SECONDS}s)"
	ORDERBRIDGE_TEST_IMAGE=orderbridge:test ORDERBRIDGE_TEST_CONTAINER="$CONTAINER ${flags[*]}" ORDERBRIDGE_TEST_LIMITS="${limits[*]}" \
		timeout 1200 go test -count=1 -run '^TestImage' ./internal/e2e
	say "good (after ${SECONDS}s)"
}

# compose runs compose.yaml as it stands: a cluster of three, two bridges, a
# receiver. Then one server and the bridge that leads are stopped.
compose() {
	local leader= other= nats
	[ "$CONTAINER" = podman ] && command -v podman-compose >/dev/null || { say "podman-compose is needed: apt-get install podman-compose golang-github-containernetworking-plugin-dnsname"; exit 1; }
	prepare
	export COMPOSE_PROJECT_NAME=orderbridge-test
	printf '[containers]\ndefault_ulimits = ["%s", "%s"]\n' "${limits[1]}" "${limits[3]}" >"$out/containers.conf"
	say "building (after ${SECONDS}s)"
	quietly build orderbridge orderbridge:compose "${mounts[@]}" "${cached[@]}"
	quietly build sample orderbridge-sample:compose "${mounts[@]}" "${cached[@]}"
	export CONTAINERS_CONF=$out/containers.conf
	nats=$(sed -n 's/^  image: \(.*nats:.*\)/\1/p' deploy/compose.yaml)
	if ! container image exists "$nats" && { [ -n "${OFFLINE:-}" ] || ! timeout 60 podman pull -q "$nats" >/dev/null 2>&1; }; then
		say "$nats cannot be pulled; one built from its module stands in"
		mkdir "$out/nats"
		CGO_ENABLED=0 go build -o "$out/nats/nats-server" github.com/nats-io/nats-server/v2
		printf '%s\n' 'FROM scratch' 'COPY nats-server /nats-server' 'ENTRYPOINT ["/nats-server"]' >"$out/nats/Dockerfile"
		quietly container build --tag "$nats" "$out/nats"
	fi

	compose_() { timeout 600 podman-compose -p orderbridge-test -f deploy/compose.yaml "$@"; }
	name() { echo "orderbridge-test_$1_1"; }
	trap 'timeout 120 podman-compose -p orderbridge-test -f deploy/compose.yaml down -v >/dev/null 2>&1; rm -rf "'"$out"'"' EXIT
	say "starting (after ${SECONDS}s)"
	quietly compose_ up -d --no-build
	await "two bridges are ready" both_ready
	if role bridge-1 | grep leader >/dev/null; then leader=bridge-1 other=bridge-2; else leader=bridge-2 other=bridge-1; fi
	as manager '{"targetURL":"https://receiver:8443/hook"}' subscriptions put sample -
	events 1 20 | as publisher - publish - --id first
	await "20 events arrive" arrived 20
	as operator - subscriptions list </dev/null
	as operator - stream status </dev/null
	as operator - dead-letters list </dev/null
	say "stopping nats-3 and $leader, which leads (after ${SECONDS}s)"
	quietly container stop --time 120 "$(name nats-3)" "$(name "$leader")"
	events 21 40 | as publisher - publish - --id second
	await "40 events arrive" arrived 40
	role "$other" | grep leader >/dev/null || { say "$other does not lead"; exit 1; }
	container logs "$(name receiver)" 2>&1 | grep -o 'n\\":[0-9]*' | grep -o '[0-9]*$' >"$out/came"
	# A lease that a slow machine did not let a bridge renew excuses repeats.
	if { container logs "$(name bridge-1)"; container logs "$(name bridge-2)"; } 2>&1 | grep 'leadership lost' >/dev/null; then
		awk '!came[$0]++' "$out/came" >"$out/once" && mv "$out/once" "$out/came"
	fi
	seq 1 40 | cmp - "$out/came" || { say "that is not what was published, in its order"; exit 1; }
	say "good: 40 of 40 events, in order, none twice (after ${SECONDS}s)"
}

role() { container exec "$(name "$1")" /orderbridge healthcheck 2>/dev/null; }
both_ready() { role bridge-1 && role bridge-2; }
arrived() { [ "$(container logs "$(name receiver)" 2>&1 | grep -c ' POST ')" -ge "$1" ]; }
events() { for n in $(seq "$1" "$2"); do printf '{"orderId":"4711","n":%d}\n' "$n"; done; }

# as USER INPUT|- COMMAND...: the program as one of the users; tried again, as
# its user would, while the cluster elects.
as() {
	local user=$1 input=$2 try
	shift 2
	if [ "$input" = - ]; then input=$(cat); fi
	for try in 1 2 3 4 5; do
		if compose_ run --rm -T "$user" "$@" <<<"$input" >"$out/said" 2>&1; then return; fi
	done
	cat "$out/said" >&2
	exit 1
}

# await WHAT COMMAND...: as long as a slow machine may take.
await() {
	local what=$1 until=$((SECONDS + 300))
	shift
	until "$@" >/dev/null; do
		if [ "$SECONDS" -ge "$until" ]; then
			say "not in time: $what"
			for s in nats-1 bridge-1 bridge-2 receiver; do container logs --tail 10 "$(name $s)" 2>&1 | sed "s/^/$s: /"; done >&2
			exit 1
		fi
		sleep 0.5
	done
}

case "${1:-}" in
compose) compose ;;
build) build "${2:-orderbridge}" "${TAG:-${2:-orderbridge}:$VERSION}" ;;
test) test_image ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
