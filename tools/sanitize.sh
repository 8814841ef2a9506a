#!/bin/sh
# sanitize.sh BUILD_FOLDER SANITIZERS JOBS [LABEL]: builds with the sanitizers and runs the C tests.
# With LABEL it builds and runs only the tests with this label, which the target tests-with-LABEL
# builds. `make sanitize` runs it.
set -eu
folder="$1/$(echo "$2" | tr , -)"  # a comma in a path breaks the linker's -Wl,-rpath
suppressions="$(pwd)/tools/sanitize"
tools/quietly.sh "$1/log" "configure-$2" "configuring with -fsanitize=$2" \
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSIDECALL_WERROR=ON -DSIDECALL_BUILD_TESTS=ON "-DSIDECALL_SANITIZE=$2"
tools/quietly.sh "$1/log" "build-$2" "building with -fsanitize=$2" \
  cmake --build "$folder" -j "$3" ${4:+--target "tests-with-$4"}

# A model may ask for any amount of memory; a large allocation then fails as it does without ASan.
asan=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export ASAN_OPTIONS=$asan:allocator_may_return_null=1
export LSAN_OPTIONS="suppressions=$suppressions/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS="suppressions=$suppressions/tsan.supp:halt_on_error=1:second_deadlock_stack=1"
export SIDECALL_SANITIZE="$2"
ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$3" ${4:+-L "$4"}
