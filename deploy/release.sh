#!/usr/bin/env bash
# Builds the archives of a release into dist/: one for each of PLATFORMS, an SBOM
# for each program and the checksums of all. The same sources and the same Go give
# the same bytes.
#
#   VERSION=v1.2.3 deploy/release.sh
set -euo pipefail
cd "$(dirname "$0")/.."
: "${VERSION:?}"
PLATFORMS=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
time=@$(git log -1 --format=%ct 2>/dev/null || echo 0)

rm -rf dist
mkdir dist
for platform in $PLATFORMS; do
	os=${platform%/*} arch=${platform#*/}
	name=orderbridge_${VERSION}_${os}_$arch
	mkdir "dist/$name"
	GOOS=$os GOARCH=$arch make -s build BIN="$PWD/dist/$name" VERSION="$VERSION" COMMIT="${COMMIT:-}"
	(cd deploy/sbom && go run . "$VERSION" "../../dist/$name/orderbridge") >"dist/$name.cdx.json"
	cp LICENSE README.md CHANGELOG.md docs/deploy.md deploy/systemd/orderbridge.service "dist/$name/"
	tar --sort=name --mtime="$time" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C dist -cf - "$name" | gzip -n >"dist/$name.tar.gz"
	rm -r "dist/$name"
	echo "dist/$name.tar.gz"
done
cd dist
sha256sum -- * >SHA256SUMS
