#!/bin/sh
# build.sh ARCH FOLDER: builds the static program for Linux on amd64 or arm64 and leaves it as FOLDER/openclaw-usage. The Dockerfile
# runs it, and `make release-check`. Needs Rust's target for it, clang, and musl's headers (Debian: musl-dev:ARCH). The C parts
# are compiled by clang and everything is linked by Rust's own lld against Rust's own musl, so that it makes no difference which
# machine builds for which.
#
# The same commit, Rust and clang give the same bytes, wherever the checkout and Cargo's folders lie: their paths are replaced.
set -eu

fail() { echo "build.sh: $*" >&2; exit 1; }
[ $# -eq 2 ] || fail "usage: build.sh amd64|arm64 FOLDER"
case $1 in
  amd64) cpu=x86_64 ;;
  arm64) cpu=aarch64 ;;
  *) fail "no architecture '$1': give amd64 or arm64" ;;
esac
command -v clang >/dev/null || fail "clang is needed and not in PATH"
headers=/usr/include/$cpu-linux-musl
[ -e "$headers/stdio.h" ] || fail "musl's headers are not in $headers: install musl-dev:$1 (foreign ones after dpkg --add-architecture $1)"

target=$cpu-unknown-linux-musl
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."
sources=$(pwd)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
target_dir=${CARGO_TARGET_DIR:-$sources/target}

name=$(echo "$target" | tr - _)
export "CC_$name=clang" "AR_$name=ar"
export "CFLAGS_$name=-nostdlibinc -isystem $headers -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target_dir=/target"
export "CARGO_TARGET_$(echo "$name" | tr '[:lower:]' '[:upper:]')_LINKER=rust-lld"
export RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$target_dir=/target --remap-path-prefix=$sources=/src"

cargo build --release --locked --target "$target" --bin openclaw-usage
cp "$target_dir/$target/release/openclaw-usage" "$out/openclaw-usage"
