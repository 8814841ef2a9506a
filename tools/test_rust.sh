#!/bin/sh
# test_rust.sh BUILD: checks and tests the Rust crates with the library in BUILD; `make test-rust`
# runs it. Prints a summary, or the failures.
set -eu
build=$(cd "$1" && pwd)
log="$build/log/rust.log"
mkdir -p "$build/log"
cd "$(dirname "$0")/../bindings/rust"
export SIDECALL_LIB_DIR="$build/lib" LD_LIBRARY_PATH="$build/lib" CARGO_TARGET_DIR="$build/rust"
export RUSTDOCFLAGS="-D warnings" SIDECALL_TEST_COMMAND="$build/bin/sidecall"
export SIDECALL_NET="$build/lib/libsidecall-net.so"

# rustup's programs are there before it has a toolchain, and then run nothing.
if ! cargo --version >/dev/null 2>&1; then PATH="/usr/bin:$PATH"; fi

run() {
  if ! "$@" >>"$log" 2>&1; then
    tail -n 60 "$log"
    echo "-- failed: $*; the whole output is in $log"
    exit 1
  fi
}

: >"$log"
# Another version of bindgen writes the same declarations in another way.
if [ "$(bindgen --version 2>/dev/null)" = "bindgen 0.71.1" ]; then
  run ../../tools/generate_rust.sh --check
fi
run cargo fmt --check
run cargo clippy --offline --all-targets -- -D warnings
run cargo doc --offline --no-deps
run cargo test --offline --no-fail-fast
# tests/examples runs this program.
run cargo build --offline --manifest-path ../../examples/rust/Cargo.toml
run cargo fmt --check --manifest-path ../../examples/rust/Cargo.toml
passed=$(awk '/^test result: ok/ { sum += $4 } END { print sum + 0 }' "$log")
echo "-- cargo test: $passed passed"
