#!/bin/sh
# coverage.sh BUILD_FOLDER JOBS PYTHON: builds the native code with clang's coverage in
# BUILD_FOLDER/coverage, runs the tests that use it, and writes the table of docs/test-coverage.md.
# `make coverage` runs this. Needs SIDECALL_ONNXRUNTIME and SIDECALL_ONNXRUNTIME_OLDEST.
set -eu
folder=$(cd "$1" && pwd)/coverage
clang=$(command -v clang++-19)
# The counters are in mapped files, so that processes that are killed or end by _exit count too.
flags="-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation"
tools/quietly.sh "$1/log" configure-coverage "configuring with coverage" \
  cmake -S . -B "$folder" -G Ninja "-DCMAKE_CXX_COMPILER=$clang" "-DCMAKE_C_COMPILER=${clang%++-19}-19" -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g" "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -g" "-DCMAKE_CXX_FLAGS=$flags" "-DCMAKE_C_FLAGS=$flags" -DSIDECALL_BUILD_TESTS=ON -DSIDECALL_BUILD_NODE=ON -DSIDECALL_BUILD_PYTHON=ON -DSIDECALL_BUILD_NET=ON "-DSIDECALL_NET_LIBRARIES=$(cd "$1" && pwd)/net-libraries" "-DPython_EXECUTABLE=$3"
tools/quietly.sh "$1/log" build-coverage "building with coverage" cmake --build "$folder" -j "$2"
rm -rf "$folder/counts" "$folder/package"
mkdir -p "$folder/counts" "$folder/package"
cp -r python/sidecall "$folder/package"
rm -f "$folder"/package/sidecall/*.so
cp "$folder"/python/*.so "$folder/package/sidecall"
cp -r include "$folder/package/sidecall"
export LLVM_PROFILE_FILE="$folder/counts/%m-%p%c.profraw"
export SIDECALL_BUILD="$folder" SIDECALL_CLI="$folder/bin/sidecall" SIDECALL_NET="$folder/lib/libsidecall-net.so" SIDECALL_NODE_ADDON="$folder/lib/sidecall.node" PYTHONPATH="$folder/package"

# Tests that fail do not end this script: `make test` reports them.
tools/quietly.sh "$1/log" coverage-c "running the C tests" ctest --test-dir "$folder" -j "$2" || true
tools/quietly.sh "$1/log" coverage-node "running the tests of Node.js" tools/test_node.sh tests/node "$folder" || true
# The other folders of tests/python test the export, and would reach little more native code.
tools/quietly.sh "$1/log" coverage-python "running the tests of Python and of the command" \
  "$3" -m pytest -n "$2" --dist loadfile -m "" tests/anomalies tests/cli tests/exits tests/faults tests/interop tests/native tests/net tests/outcomes tests/python/serving tests/python/data tests/python/test_*.py || true

find "$folder/counts" -name '*.profraw' >"$folder/counts/list"
llvm-profdata-19 merge -sparse -failure-mode=warn -f "$folder/counts/list" -o "$folder/all.profdata"
objects="-object $folder/bin/sidecall -object $folder/lib/libsidecall-net.so -object $folder/lib/sidecall.node"
for file in "$folder"/bin/sidecall-*-tests "$folder"/python/*.so; do objects="$objects -object $file"; done
llvm-cov-19 export "$folder/lib/libsidecall.so" $objects "-instr-profile=$folder/all.profdata" -skip-functions >"$folder/coverage.json" 2>/dev/null
"$3" tools/coverage_table.py "$folder/coverage.json" docs/test-coverage.md
