#!/usr/bin/env bash
# release-check.sh: what is checked once for each release, by `make release-check`, since it takes three optimised builds and more (half
# an hour on two cores) and programs that the gate does not need:
#
#   1. two clean builds of the commit, in two places, are the same to the byte
#   2. the image around that program exports a recorded bill (check.sh)
#   3. the whole Dockerfile builds, and what it builds runs
#   4. the other architecture is built too and counts, emulated
#   5. the package holds what it should, installs, runs and is removed
#   6. the unit is as closed as docs/install-systemd.md says, and the plist is one
#
# What is committed is checked, not the checkout. `release-check.sh 1 5` does only these steps (2 and 5 need the program of 1).
# Needs root, clang, musl-dev of both architectures, buildah, podman, runc, dpkg, qemu-user-static, systemd-analyze and python3; for
# 3 where docker.io cannot be reached also mmdebstrap (stand-in.sh). Work goes to target/release-check.
set -euo pipefail

cd "$(dirname "$0")/.."
steps=${*:-1 2 3 4 5 6}
says() { printf '\n== %s (at %s s)\n' "$*" "$SECONDS"; }
fail() { echo "release-check: $*" >&2; exit 1; }
wanted() { [[ " $steps " == *" $1 "* ]]; }

missing=''
for tool in cargo clang buildah podman runc dpkg qemu-aarch64-static qemu-x86_64-static systemd-analyze python3 git; do
  command -v "$tool" >/dev/null || missing+=" $tool"
done
[ -z "$missing" ] || fail "NOTHING IS CHECKED: not in PATH:$missing"
[ "$(id -u)" -eq 0 ] || fail "NOTHING IS CHECKED: containers and owners need root"

case $(uname -m) in
  x86_64) arch=amd64 other=arm64 emulator=qemu-aarch64-static ;;
  aarch64) arch=arm64 other=amd64 emulator=qemu-x86_64-static ;;
  *) fail "no image is built on $(uname -m)" ;;
esac
work=$PWD/target/release-check
mkdir -p "$work"
# A checkout of the commit in a folder of that name.
checkout() {
  rm -rf "${work:?}/$1" && mkdir -p "$work/$1"
  git archive HEAD | tar -xf - -C "$work/$1"
}

if wanted 1; then
  says "1. two clean builds for $arch"
  checkout one
  checkout another/place
  env -u CARGO_TARGET_DIR "$work/one/deploy/image/build.sh" "$arch" "$work/first"
  says '1. the second'
  env CARGO_TARGET_DIR="$work/target-of-another" "$work/another/place/deploy/image/build.sh" "$arch" "$work/second"
  cmp "$work/first/openclaw-usage" "$work/second/openclaw-usage" || fail 'two builds of one commit differ'
  sha256sum "$work/first/openclaw-usage" "$work/second/openclaw-usage"
  stat -c '%s bytes: the program' "$work/first/openclaw-usage"
  rm -rf "$work/another" "$work/target-of-another"
fi

if wanted 2; then
  says '2. the image around it'
  deploy/image/check.sh "$work/first/openclaw-usage"
fi

if wanted 3; then
  says '3. the whole Dockerfile'
  checkout context
  grep -o 'docker.io[^ ]*' Dockerfile | xargs -n 1 timeout 60 buildah pull --quiet || deploy/image/stand-in.sh
  image=localhost/openclaw-usage:release-check
  # The machine's own authorities, for a network that has its own.
  buildah build --quiet --isolation chroot --pull=never --format docker --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --build-arg REVISION="$(git rev-parse HEAD)" --tag "$image" "$work/context"
  OPENCLAW_USAGE_IMAGE=$image cargo test --features image --test main image:: -- --nocapture
fi

if wanted 4; then
  says "4. the program for $other"
  # As for a trial: what is looked for does not depend on the optimiser.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 deploy/image/build.sh "$other" "$work/$other"
  "$emulator" "$work/$other/openclaw-usage" demo --duration 5s
fi

if wanted 5; then
  says '5. the package'
  checkout package
  triple=$(uname -m)-unknown-linux-musl
  mkdir -p "$work/package/target/$triple/release" "$work/package/target/static/$arch"
  cp "$work/first/openclaw-usage" "$work/package/target/$triple/release/"
  cp "$work/first/openclaw-usage" "$work/package/target/static/$arch/"
  make -C "$work/package" --old-file static deb
  package=$(echo "$work"/package/target/debian/*.deb)
  root=$work/root
  rm -rf "$root" && mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" && touch "$root/var/lib/dpkg/status"
  dpkg --root="$root" --log=/dev/null --install "$package"
  for file in usr/bin/openclaw-usage usr/lib/systemd/system/openclaw-usage@.service etc/openclaw-usage/config.toml \
      usr/share/man/man1/openclaw-usage-serve.1.gz usr/share/bash-completion/completions/openclaw-usage; do
    [ -s "$root/$file" ] || fail "the package has no $file"
  done
  # The configuration that it brings is one: exit 1 says that there is no gateway here, 64 would say that the file is wrong.
  status=0
  HOME=$root "$root/usr/bin/openclaw-usage" check --config "$root/etc/openclaw-usage/config.toml" >/dev/null || status=$?
  [ "$status" -le 1 ] || fail "the package's own configuration is refused with $status"
  dpkg --root="$root" --log=/dev/null --purge openclaw-usage
  [ ! -e "$root/usr/bin/openclaw-usage" ] && [ ! -e "$root/etc/openclaw-usage" ] || fail 'the package leaves files behind'
  stat -c '%s bytes: %n' "$package"
fi

if wanted 6; then
  says '6. the unit and the plist'
  systemd-analyze security --offline=true --threshold=20 deploy/systemd/openclaw-usage@.service | tail -1
  python3 -c 'import plistlib, sys; plistlib.load(open(sys.argv[1], "rb"))' deploy/launchd/openclaw-usage.plist
  echo 'the plist is one'
fi

says "passed: steps $steps"
