#!/bin/sh
# coverage.sh BUILD_FOLDER JOBS PYTHON: builds the native code with clang's coverage, runs the tests
# that use it, and prints a table of the lines and branches of each folder that they reach. Also
# writes the table to BUILD_FOLDER/coverage/table.md. `make coverage` runs this. Needs
# SIDECALL_ONNXRUNTIME and SIDECALL_ONNXRUNTIME_OLDEST.
set -eu
folder=$(cd "$1" && pwd)/coverage
clang=$(command -v clang++-19)
# The counters are in mapped files, so that processes that are killed or end by _exit count too.
flags="-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation"
tools/quietly.sh "$1/log" configure-coverage "configuring with coverage" \
  cmake -S . -B "$folder" -G Ninja "-DCMAKE_CXX_COMPILER=$clang" "-DCMAKE_C_COMPILER=${clang%++-19}-19" -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=$flags" "-DCMAKE_C_FLAGS=$flags" -DSIDECALL_BUILD_TESTS=ON -DSIDECALL_BUILD_NODE=ON
tools/quietly.sh "$1/log" build-coverage "building with coverage" cmake --build "$folder" -j "$2"
rm -rf "$folder/counts"
mkdir -p "$folder/counts"
export LLVM_PROFILE_FILE="$folder/counts/%m-%p%c.profraw" SIDECALL_BUILD="$folder"

# Tests that fail do not end this script: `make test` reports them.
{
  ctest --test-dir "$folder" -j "$2" || true
  "$3" -m pytest -n "$2" --dist loadfile -m "" tests/cli tests/interop tests/anomalies || true
  SIDECALL_NODE_ADDON="$folder/lib/sidecall.node" tools/test_node.sh tests/node "$folder" || true
} >"$1/log/coverage-tests.log" 2>&1

find "$folder/counts" -name '*.profraw' >"$folder/counts/list"
llvm-profdata-19 merge -sparse -f "$folder/counts/list" -o "$folder/all.profdata"
objects="-object $folder/bin/sidecall -object $folder/lib/sidecall.node"
for program in "$folder"/bin/sidecall-*-tests; do objects="$objects -object $program"; done
llvm-cov-19 export "$folder/lib/libsidecall.so" $objects "-instr-profile=$folder/all.profdata" -summary-only -skip-functions >"$folder/summary.json" 2>/dev/null
"$3" tools/coverage_table.py "$folder/summary.json" | tee "$folder/table.md"
