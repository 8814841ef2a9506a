#!/bin/sh
# rust_docs.sh BUILD: writes the reference of the Rust crate to BUILD/docs/html/rust; `make docs`
# runs it. The library need not be built.
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/../bindings/rust"
# The programs of rustup exist before it has installed a toolchain, but cannot run anything then.
if ! cargo --version >/dev/null 2>&1; then PATH="/usr/bin:$PATH"; fi
CARGO_TARGET_DIR="$build/docs/cargo" SIDECALL_LIB_DIR="$build/lib" \
  cargo doc --offline --no-deps --package sidecall
rm -rf "$build/docs/html/rust"
cp -r "$build/docs/cargo/doc" "$build/docs/html/rust"
