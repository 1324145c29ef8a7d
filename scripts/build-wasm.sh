#!/usr/bin/env bash
# Builds one crate for wasm32-wasip1 and writes the optimised module.
#   scripts/build-wasm.sh CRATE_FOLDER OUTPUT.wasm [CARGO_ARGUMENT…]
# Takes rustup's target where it is or can be installed, else the compiler that Debian packages for the web. No module is
# written that lacks SIMD.
set -euo pipefail

crate=$1 output=$2
shift 2
target=wasm32-wasip1
root=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "build-wasm: $*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

install_debian() {
  command -v apt-get >/dev/null || return 1
  as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive as_root apt-get install -qqy --no-install-recommends "$@" >/dev/null
}

rustup_target() {
  command -v rustup >/dev/null || return 1
  rustup target list --installed 2>/dev/null | grep -qx "$target" || rustup target add "$target" >/dev/null 2>&1
}

debian_compiler() {
  [ -x /usr/bin/rustc ] && [ -d /usr/lib/wasm32-wasi ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src" ] ||
    install_debian rustc-web rust-web-src wasi-libc
}

# SHA-256, which is most of what a call to AWS costs, is six times as fast with SIMD. Wasmtime and V8 have it since 2021.
# Of what LLVM inlines for speed (225 by its own measure) most runs seldom: at 60 the module is 6 % smaller, and a request that
# matches nothing costs the same. What runs for every request says by itself that it is inlined.
flags=(-Ctarget-feature=+simd128 -Cllvm-args=-inline-threshold=60)
# Cargo takes flags from one place alone: what the environment or a configuration of cargo has in RUSTFLAGS or another place
# would replace these, and says something of other programs.
. "$root/scripts/places.sh"
add_registry_flags "$crate"

cargo_args=(build --locked --release --target "$target" --manifest-path "$crate/Cargo.toml" "$@")
# With NAMES=1 functions keep their names, for a profile; the module is a sixth larger and does the same.
[ -z "${NAMES:-}" ] || cargo_args+=(--config 'profile.release.strip="debuginfo"')
if rustup_target; then
  say "$crate with rustup's target $target"
  target_dir=$root/target/wasm-rustup
  CARGO_ENCODED_RUSTFLAGS=$(encode_flags "${flags[@]}") cargo "${cargo_args[@]}" --target-dir "$target_dir"
elif debian_compiler; then
  say "$crate with Debian's rustc-web, building the standard library (rustup has no target $target here)"
  target_dir=$root/target/wasm-debian
  linker=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld | head -n 1)
  [ -n "$linker" ] || { say "no rust-lld in $(rustc --print sysroot): use a toolchain of rustup's" >&2; exit 1; }
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_WASM32_WASIP1_LINKER=$linker \
    CARGO_ENCODED_RUSTFLAGS=$(encode_flags "${flags[@]}" -Lnative=/usr/lib/wasm32-wasi) \
    cargo "${cargo_args[@]}" --target-dir "$target_dir" -Z build-std=std,panic_abort
else
  say "no compiler for $target: run 'rustup target add $target', or install Debian's rustc-web, rust-web-src and wasi-libc" >&2
  exit 1
fi

name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$crate/Cargo.toml" | head -n 1 | tr - _)
built=$target_dir/$target/release/$name.wasm
mkdir -p "$(dirname "$output")"
python3 "$root/scripts/own_exports.py" "$built" "$output.new"
if command -v wasm-opt >/dev/null || install_debian binaryen; then
  # What the compiler may use of WebAssembly beyond its first version; Wasmtime and V8 have all of it.
  features=(--enable-bulk-memory --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int
    --enable-reference-types --enable-sign-ext --enable-simd)
  [ -z "${NAMES:-}" ] || features+=(-g)
  # The SDK exports every callback of Proxy-Wasm, those for TCP, gRPC calls and queues among them, which no filter here has.
  # Without them, and what only they call, the module is 17 KB smaller.
  wasm-metadce "${features[@]}" --graph-file="$root/scripts/exports.json" "$output.new" -o "$output.new" >/dev/null
  # WASM_OPT has other passes, for a module that nobody measures: these take half a minute, and -O1
  # takes a tenth of that.
  read -ra passes <<<"${WASM_OPT:--Oz --converge}"
  say "optimising with wasm-opt ${passes[*]}, half a minute or more without another line"
  # The linker gives no data an address below 1024, where the stack ends, so that constants may move into the offsets of loads.
  wasm-opt "${passes[@]}" --low-memory-unused "${features[@]}" "$output.new" -o "$output.new"
  how="by $(wasm-opt --version) from $(wc -c <"$built")"
else
  how="not made smaller and faster, because wasm-opt was not found (package binaryen)"
fi
python3 "$root/scripts/check_simd.py" "$output.new" || { rm "$output.new"; exit 1; }
mv "$output.new" "$output"
say "$output: $(wc -c <"$output") bytes, $how"
