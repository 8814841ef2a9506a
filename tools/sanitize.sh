#!/bin/sh
# sanitize.sh BUILD_FOLDER PYTHON SANITIZERS JOBS [LABEL]: builds with the sanitizers, and runs the
# C tests and those of the servers for HTTP and gRPC. With LABEL it builds and runs only the C tests
# with this label, which the target tests-with-LABEL builds. `make sanitize` runs it.
set -eu
build=$(cd "$1" && pwd)
folder="$build/$(echo "$3" | tr , -)"  # a comma in a path breaks the linker's -Wl,-rpath
suppressions="$(pwd)/tools/sanitize"
tools/quietly.sh "$build/log" "configure-$3" "configuring with -fsanitize=$3" \
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSIDECALL_WERROR=ON -DSIDECALL_BUILD_TESTS=ON -DSIDECALL_BUILD_NET=ON "-DSIDECALL_NET_LIBRARIES=$build/net-libraries" "-DSIDECALL_SANITIZE=$3"
tools/quietly.sh "$build/log" "build-$3" "building with -fsanitize=$3" \
  cmake --build "$folder" -j "$4" ${5:+--target "tests-with-$5" sidecall-cli sidecall-net}

# A model may ask for any amount of memory; a large allocation then fails as it does without ASan.
# Tests preload libraries, which then come before ASan's.
asan=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export ASAN_OPTIONS=$asan:allocator_may_return_null=1:verify_asan_link_order=0
export LSAN_OPTIONS="suppressions=$suppressions/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS="suppressions=$suppressions/tsan.supp:halt_on_error=1:second_deadlock_stack=1"
export SIDECALL_SANITIZE="$3"
ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$4" ${5:+-L "$5"}

# The servers are the command of this build. Their clients are not sanitized: they belong to the
# Python package. The tests read what the servers print, so reports are written to files.
reports="$folder/reports"
rm -rf "$reports"
mkdir "$reports"
export ASAN_OPTIONS="$ASAN_OPTIONS:log_path=$reports/report"
export UBSAN_OPTIONS="$UBSAN_OPTIONS:log_path=$reports/report"
export TSAN_OPTIONS="$TSAN_OPTIONS:log_path=$reports/report"
# The sandbox does not allow what the sanitizers need.
failed=0
SIDECALL_CLI="$folder/bin/sidecall" "$2" -m pytest -n "$4" --dist loadfile -k "not sandbox" tests/net || failed=1
for report in "$reports"/*; do
  [ ! -e "$report" ] || { cat "$report" && failed=1; }
done
exit $failed
