#!/usr/bin/env bash
# Builds the command line program of a release:
#   scripts/build-program.sh OUTPUT
# The same bytes come of the same sources and compiler, wherever this folder and cargo's are.
set -euo pipefail

output=$1
root=$(cd "$(dirname "$0")/.." && pwd)
target_dir=$root/target/program

# What a panic says of its place does not say where this machine keeps the sources.
flags=("--remap-path-prefix=$root=")
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do flags+=("--remap-path-prefix=$sources="); done
# The first place that cargo takes flags from; a path may have a space in it.
encode_flags() { local IFS=$'\x1f'; echo "$*"; }

CARGO_ENCODED_RUSTFLAGS=$(encode_flags "${flags[@]}") cargo build --locked --release --package retrohook-cli \
  --manifest-path "$root/Cargo.toml" --target-dir "$target_dir"
mkdir -p "$(dirname "$output")"
cp "$target_dir/release/retrohook" "$output"
