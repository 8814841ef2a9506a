#!/bin/sh
# fuzz.sh BUILD_FOLDER LIMIT JOBS: builds the targets of tests/fuzz with clang and runs each of them
# until LIMIT, an option of libFuzzer: -max_total_time=SECONDS or -runs=NUMBER. `make fuzz` and
# `make fuzz-long` run it. Inputs that cause a failure stay in BUILD_FOLDER/fuzz/found; inputs that
# only increase the coverage are deleted.
set -eu
folder="$1/fuzz"
clang=$(command -v clang++-19 || command -v clang++) || {
  echo "missing: install what Debian calls clang-19 and libclang-rt-19-dev, then run make again" >&2
  exit 1
}
tools/quietly.sh "$1/log" configure-fuzz "configuring the fuzz targets with $clang" \
  cmake -S . -B "$folder" -G Ninja "-DCMAKE_CXX_COMPILER=$clang" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSIDECALL_BUILD_TESTS=ON -DSIDECALL_BUILD_FUZZERS=ON
mkdir -p "$folder/found"
for target in contract records signature onnx_file hello request csv npy; do
  tools/quietly.sh "$1/log" "build-fuzz-$target" "building fuzz-$target" cmake --build "$folder" -j "$3" --target "fuzz-$target"
  echo "-- fuzz-$target: ${2#-}"
  new="$folder/new/$target"
  rm -rf "$new"
  mkdir -p "$new"
  words="tests/fuzz/$target.dict"  # for text formats
  [ -e "$words" ] || words=
  "$folder/bin/fuzz-$target" "$new" "tests/fuzz/corpus/$target" ${words:+"-dict=$words"} "$2" \
    -max_len=8192 -timeout=20 -rss_limit_mb=2048 "-artifact_prefix=$folder/found/$target-" >"$1/log/fuzz-$target.log" 2>&1 || {
    tail -n 40 "$1/log/fuzz-$target.log"
    exit 1
  }
  tail -n 1 "$1/log/fuzz-$target.log"
done
