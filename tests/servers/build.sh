#!/usr/bin/env bash
# build.sh [NAME…]: builds the real servers that the end-to-end tests talk to, from Go modules pinned by the go.mod and go.sum of
# the folders beside this script: those named, or all but those that take minutes of a processor each, kube-apiserver for `make
# manifests-check` and mimir and thanos for `make fleet-check`. Needs Go and flock, no C compiler, and no network once Go's own caches
# hold the modules. Prints one line per server: `NAME VERSION built in N s: FOLDER` or `NAME VERSION kept: FOLDER`.
#
# FOLDER is NAME in $OPENCLAW_USAGE_TEST_SERVERS, or else in ${XDG_CACHE_HOME:-~/.cache}/openclaw-usage/test-servers: outside the
# checkout, so that a fresh clone finds what another has built. A server is built again only if its pins, its sources, the flags
# or the version of Go changed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "build.sh: $*" >&2; exit 1; }
command -v go >/dev/null || fail "building the test servers needs Go (the least version is in tests/servers/*/go.mod): install it from https://go.dev/dl"
command -v flock >/dev/null || fail "locking the cache of test servers needs flock: install util-linux"

cache=${OPENCLAW_USAGE_TEST_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/openclaw-usage/test-servers}
mkdir -p "$cache" || fail "cannot create $cache: set OPENCLAW_USAGE_TEST_SERVERS to a folder that can be written"
cache=$(cd "$cache" && pwd)

# readonly: a module that go.sum does not pin is an error, never a download. The caller's own flags and workspace stay out.
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

# Sets what `go build` is given for the server in the current folder: packages, tags, ldflags, and the version that it reports.
flags_of() {
  packages=tool tags='' ldflags='-s -w'
  local stamp_version=github.com/prometheus/common/version.Version
  case $1 in
    prometheus)  # Module v0.NMM.P is release N.MM.P. remove_all_sd drops the clouds' service discoveries, static and file remain.
      version=$(pin github.com/prometheus/prometheus) version=${version#0.}
      version=${version:0:1}.$((10#${version:1:2})).${version##*.}
      tags=remove_all_sd ldflags+=" -X $stamp_version=$version" ;;
    prometheus-2)  # Module v0.MM.P is release 2.MM.P.
      version=$(pin github.com/prometheus/prometheus) version=2.${version#0.}
      ldflags+=" -X $stamp_version=$version" ;;
    alertmanager)
      version=$(pin github.com/prometheus/alertmanager)
      ldflags+=" -X $stamp_version=$version" ;;
    loki)
      version=$(pin github.com/grafana/loki/v3)
      ldflags+=" -X github.com/grafana/loki/v3/pkg/util/build.Version=$version" ;;
    dashboard-linter)  # No server, but built and kept like one.
      version=$(pin github.com/grafana/dashboard-linter) ;;
    otelcol)
      version=$(pin go.opentelemetry.io/collector/otelcol)
      packages=. ;;
    thanos)  # Three minutes of a processor. Without slicelabels its servers panic: it casts the labels of Prometheus.
      version=$(pin github.com/thanos-io/thanos)
      tags=slicelabels ldflags+=" -X $stamp_version=$version" ;;
    mimir)  # Four minutes of a processor.
      version=$(pin github.com/grafana/mimir)
      ldflags+=" -X github.com/grafana/mimir/pkg/util/version.Version=$version" ;;
    kube-apiserver)  # Six minutes of a processor; -trimpath, so that none of it depends on where Go keeps its modules.
      version=$(pin k8s.io/kubernetes)
      local minor=${version#*.} of=k8s.io/component-base/version
      GOFLAGS+=' -trimpath'
      ldflags+=" -X $of.gitVersion=v$version -X $of.gitMajor=${version%%.*} -X $of.gitMinor=${minor%%.*}" ;;
    *) fail "no flags are known for the server '$1': add it to flags_of" ;;
  esac
}

# The version, without its v, that go.mod requires of a module.
pin() {
  local found
  found=$(sed -nE "s|^(require)?[[:space:]]*$1 v([0-9.]+(-0\.[0-9a-f.-]+)?)\$|\2|p" go.mod)
  [ -n "$found" ] || fail "$PWD/go.mod does not require $1"
  echo "$found"
}

build() {
  local name=$1 packages tags ldflags version stamp started
  cd "$here/$name"
  flags_of "$name"
  local out=$cache/$name new=$cache/$name.new
  stamp=$({ go version; echo "$packages $tags $ldflags"; cat -- go.mod go.sum; cat -- *.go 2>/dev/null || :; } | sha256sum)
  if [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "$name $version kept: $out"
    return
  fi
  echo "building $name $version (some minutes with empty Go caches, seconds with warm ones)" >&2
  started=$SECONDS
  rm -rf "$new" && mkdir "$new"
  # Downloads are held against go.sum as they arrive; this holds what already lay in the module cache against it too.
  go mod verify >"$new/.verify" 2>&1 || { cat "$new/.verify" >&2; fail "a module of $name in Go's cache was altered: run 'go clean -modcache' and build again"; }
  go build -buildvcs=false -tags="$tags" -ldflags="$ldflags" -o "$new/" $packages >&2
  echo "$stamp" >"$new/.stamp"
  rm -rf "$out" && mv "$new" "$out"
  echo "$name $version built in $((SECONDS - started)) s: $out"
}

if [ $# -eq 0 ]; then
  for folder in "$here"/*/; do
    case $(basename "$folder") in
      kube-apiserver | mimir | thanos) ;;
      *) set -- "$@" "$(basename "$folder")" ;;
    esac
  done
fi
for name; do
  [ -f "$here/$name/go.mod" ] || fail "no server '$name': $here/$name/go.mod is not there"
done
exec 9>"$cache/.lock"
flock 9 # Of test processes that start together one builds, the others wait and keep.
for name; do (build "$name"); done
