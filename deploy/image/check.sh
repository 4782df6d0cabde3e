#!/bin/sh
# check.sh PROGRAM: builds the last stage of the Dockerfile around a static program, and holds what comes of it against the tests
# of tests/image.rs: in a real container without any right, on a read-only root, against a real Prometheus. Needs root, buildah,
# podman, runc, ca-certificates and tzdata.
set -eu

[ $# -eq 1 ] || { echo "check.sh: usage: check.sh PROGRAM" >&2; exit 1; }
for tool in buildah podman runc; do
  command -v "$tool" >/dev/null || {
    echo "check.sh: THE IMAGE IS NOT TESTED: $tool is needed and not in PATH (Debian: apt-get install buildah podman runc)" >&2
    exit 1
  }
done
[ "$(id -u)" -eq 0 ] || { echo "check.sh: THE IMAGE IS NOT TESTED: containers are started by root here; run it as root" >&2; exit 1; }

program=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
cd "$here/../.."
image=localhost/openclaw-usage:check
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$here/root.sh" "$program" "$folder/out/rootfs"
# The folder stands for the stage that compiles; what is built from it is the shipped Dockerfile's own last stage. The format is
# Docker's, since the other one has no health checks.
buildah build --quiet --isolation chroot --format docker --build-context "build=$folder" --target runtime --tag "$image" . >/dev/null
OPENCLAW_USAGE_IMAGE=$image cargo test --features image --test main image:: -- --nocapture
