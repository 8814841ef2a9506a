#!/bin/sh
# build_all.sh BUILD: compiles the programs in Go, Rust and Java that `make demo-all` runs.
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")"
# rustup's programs are there before it has a toolchain, and then run nothing.
if ! cargo --version >/dev/null 2>&1; then PATH="/usr/bin:$PATH"; fi
hash=$(sha256sum <"$build/lib/libsidecall.a" | cut -c 1-16) # Go links again if it changes
(cd go && CGO_LDFLAGS="-L$build/lib -L$build/lib/$hash" GOTOOLCHAIN=local GOPROXY=off \
  go build -o "$build/go/ask-go" .)
(cd rust && SIDECALL_LIB_DIR="$build/lib" SIDECALL_STATIC=1 CARGO_TARGET_DIR="$build/rust" \
  cargo build --quiet --release --offline)
# shellcheck disable=SC2046 # the names of the sources have no spaces
javac -nowarn --release 22 -d "$build/java/ask" java/Ask.java \
  $(find ../../bindings/java/src/main/java/dev -name '*.java')
