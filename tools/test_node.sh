#!/bin/sh
# test_node.sh TESTS BUILD: runs Node's tests in the folder TESTS; prints the summary, or the
# failures. `make test-node` runs it. With SIDECALL_REQUIRE=all, as in CI, a skipped test is a
# failure.
tests=$1
export SIDECALL_BUILD=$(cd "$2" && pwd)
export SIDECALL_NET="$SIDECALL_BUILD/lib/libsidecall-net.so"
log="$2/log/node-test.log"
mkdir -p "$2/log"
files=$(find "$tests" -name '*.test.js' -o -name '*.test.mjs' | sort)
[ -n "$files" ] || { echo "-- failed: no test in $tests"; exit 1; }

# --expose-gc: memory tests run the garbage collector themselves.
node --expose-gc --test --test-reporter=spec $files >"$log" 2>&1
code=$?
if [ "$code" != 0 ]; then
  sed -n '/failing tests:/,$p' "$log" | grep . || tail -n 40 "$log"
  echo "-- failed: node --test $tests; the whole output is in $log"
  exit "$code"
fi
summary=$(sed -n 's/^[^ ]* \(tests\|pass\|skipped\|todo\|duration_ms\) /\1 /p' "$log" | tail -n 5 | tr '\n' ' ')
echo "-- node --test $tests: $summary"
case "$summary" in
  "tests 0 "* | "") echo "-- failed: no test ran"; exit 1 ;;
  *"skipped 0 todo 0 "*) ;;
  *) [ "$SIDECALL_REQUIRE" != all ] || { grep -nE '# (SKIP|TO.O)' "$log"; echo "-- failed: SIDECALL_REQUIRE=all forbids skipped tests"; exit 1; } ;;
esac
