#!/bin/sh
# no_test_route.sh FILE_OR_FOLDER...: fails if a file contains the route of the tests, engines/test.
# What makes packages and images runs it.
found=$(grep -rl 'test:double' "$@") || exit 0
echo "$found: contains the route of the tests: configure the build with -DSIDECALL_BUILD_TESTS=OFF" >&2
exit 1
