#!/bin/sh
# portable_build.sh PYTHON BUILD JOBS: builds the addon and the command for glibc 2.28 into BUILD,
# whatever glibc this machine has. It uses the compiler and C++ library of PyPI's ziglang, which
# must be installed for PYTHON. `make package` runs it.
set -e
build=$2
zig=$("$1" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
target=$(uname -m)-linux-gnu.2.28

# Header folders that do not include this machine's C library.
mkdir -p "$build/headers"
for folder in rapidjson CLI; do ln -sfn "/usr/include/$folder" "$build/headers/$folder"; done

cmake -S . -B "$build" -G Ninja -DSIDECALL_BUILD_NODE=ON -DSIDECALL_BUILD_TESTS=OFF \
  "-DCMAKE_C_COMPILER=$zig;cc;-target;$target" "-DCMAKE_CXX_COMPILER=$zig;c++;-target;$target" \
  "-DSIDECALL_RAPIDJSON_INCLUDE=$build/headers" "-DSIDECALL_CLI11_INCLUDE=$build/headers"
cmake --build "$build" -j "$3" --target sidecall-node sidecall-cli

newest=$(objdump -T "$build/lib/sidecall.node" "$build/bin/sidecall" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
if [ "$(printf '%s\n' GLIBC_2.28 "$newest" | sort -V | tail -n 1)" != GLIBC_2.28 ]; then
  echo "expected glibc 2.28 at most, got $newest" >&2
  exit 1
fi
