#!/usr/bin/env bash
# Builds the command line program of a release:
#   scripts/build-program.sh OUTPUT
# The same bytes come of the same sources and compiler, wherever this folder and cargo's are.
set -euo pipefail

output=$1
root=$(cd "$(dirname "$0")/.." && pwd)
target_dir=$root/target/program

. "$root/scripts/places.sh"
flags=("--remap-path-prefix=$root=")
add_registry_flags "$root"

CARGO_ENCODED_RUSTFLAGS=$(encode_flags "${flags[@]}") cargo build --locked --release --package retrohook-cli \
  --manifest-path "$root/Cargo.toml" --target-dir "$target_dir"
mkdir -p "$(dirname "$output")"
cp "$target_dir/release/retrohook" "$output"
