#!/bin/sh
# stand-in.sh: makes, where no registry of images can be reached, an image of the name that the Dockerfile builds on: Debian of the
# same release with the same Rust in the same places. It is not the official one. Needs root, buildah, mmdebstrap and rustup;
# Debian and Rust come from their own servers. About two minutes, once per machine.
set -eu

for tool in buildah mmdebstrap rustup; do
  command -v "$tool" >/dev/null || { echo "stand-in.sh: $tool is needed and not in PATH" >&2; exit 1; }
done
name=$(sed -n 's/^FROM .*\(docker.io[^ ]*\) AS build$/\1/p' "$(dirname "$0")/../../Dockerfile")
version=${name#*:} version=${version%-slim-trixie}
if buildah inspect --type image "$name" >/dev/null 2>&1; then
  echo "stand-in.sh: kept $name"
  exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev trixie "$folder/debian.tar"
container=$(buildah from scratch)
buildah add --quiet "$container" "$folder/debian.tar" /
buildah copy --quiet "$container" "$(command -v rustup)" /tmp/rustup-init
buildah config --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo \
  --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah run --isolation chroot --volume /etc/ssl/certs:/etc/ssl/certs:ro "$container" -- \
  /tmp/rustup-init -y --quiet --no-modify-path --profile minimal --default-toolchain "$version"
buildah run --isolation chroot "$container" -- rm /tmp/rustup-init
buildah commit --quiet --rm "$container" "$name" >/dev/null
echo "stand-in.sh: made $name"
