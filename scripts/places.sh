# Sourced by what builds, for flags of rustc that keep this machine's folders out of what it writes: a panic says its place.
# The same bytes then come of the same sources and compiler, also on a machine that has built nothing before.

# Adds to the array `flags` for the crate in this folder; further arguments are cargo's.
add_registry_flags() {
  local crate=$1 sources
  shift
  # A registry has a folder once something was fetched from it.
  cargo fetch --locked --quiet --manifest-path "$crate/Cargo.toml" "$@"
  for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    [ ! -d "$sources" ] || flags+=("--remap-path-prefix=$sources=")
  done
}

# Joins flags for CARGO_ENCODED_RUSTFLAGS, the first place that cargo takes them from; a path may have a space in it.
encode_flags() { local IFS=$'\x1f'; echo "$*"; }
