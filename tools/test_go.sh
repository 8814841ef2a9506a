#!/bin/sh
# test_go.sh BUILD: checks and tests the Go module with the library in BUILD, for `make test-go`.
# Prints a summary, or the failures.
set -eu
build=$(cd "$1" && pwd)
log="$build/log/go.log"
mkdir -p "$build/log"
cd "$(dirname "$0")/../bindings/go"
export SIDECALL_TEST_COMMAND="$build/bin/sidecall" SIDECALL_NET="$build/lib/libsidecall-net.so"
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOPROXY=off
# The folder of the static library, which comes before those that the module names. Go links again
# only if its own files or these words change, so another folder, which does not exist, has the hash
# of the library.
hash=$(sha256sum <"$build/lib/libsidecall.a" | cut -c 1-16)
export CGO_LDFLAGS="-L$build/lib -L$build/lib/$hash"

run() {
  if ! "$@" >>"$log" 2>&1; then
    tail -n 60 "$log" | cut -c 1-400
    echo "-- failed: $*; the whole output is in $log"
    exit 1
  fi
}

: >"$log"
unformatted=$(gofmt -l . ../../examples/go)
if [ -n "$unformatted" ]; then
  echo "-- gofmt would change: $unformatted"
  exit 1
fi
run go vet ./...
run go test -v ./...
run go test -race -skip Vector ./...
# Programs may also load the shared library, which pkg-config finds.
mkdir -p "$build/go/pkgconfig"
sed "s|^libdir=.*|libdir=$build/lib|; s|^includedir=.*|includedir=$PWD/../../include|" \
  "$build/sidecall.pc" >"$build/go/pkgconfig/sidecall.pc"
PKG_CONFIG_PATH="$build/go/pkgconfig" LD_LIBRARY_PATH="$build/lib" \
  run go test -tags sidecall_shared -run 'Test[^E]' ./...
# tests/examples runs this program.
cd ../../examples/go
run go vet ./...
run go build -o "$build/go/penguins" .
run go build -o "$build/go/http" ./http
passed=$(grep -c '^--- PASS' "$log")
echo "-- go test: $passed passed"
