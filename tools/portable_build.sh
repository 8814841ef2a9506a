#!/bin/sh
# portable_build.sh PYTHON BUILD JOBS TARGET...: builds these targets of CMake for glibc 2.28 into
# BUILD, whatever glibc this machine has. It uses the compiler and C++ library of PyPI's ziglang,
# which must be installed for PYTHON. `make package` runs it. Files that an earlier run has compiled
# are not compiled again. MACHINE=aarch64 builds the library for another kind of machine.
set -e
python=$1
build=$2
jobs=$3
shift 3
zig=$("$python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__) + "/zig")')
machine=${MACHINE:-$(uname -m)}
target=$machine-linux-gnu.2.28

mkdir -p "$build/headers"
exec 9>"$build/lock" # make -j may run this script for the wheel and for npm at the same time
flock 9

# Header folders that do not include this machine's C library. Debian's pyconfig.h is in the
# last of these folders.
for folder in rapidjson CLI protozero "$(uname -m)-linux-gnu"; do
  ln -sfn "/usr/include/$folder" "$build/headers/$folder"
done

net=
case " $* " in
*" sidecall-net "*)
  CMAKE_C_COMPILER="$zig;cc;-target;$target" JOBS=$jobs PYTHON=$python \
    net/libraries/build.sh "$build/net-libraries"
  net="-DSIDECALL_BUILD_NET=ON -DSIDECALL_NET_LIBRARIES=$build/net-libraries"
  net="$net -DSIDECALL_PROTOZERO_INCLUDE=$build/headers"
  ;;
esac

configure() {
  cmake -S . -B "$build" -G Ninja \
    "-DCMAKE_C_COMPILER=$zig;cc;-target;$target" "-DCMAKE_CXX_COMPILER=$zig;c++;-target;$target" \
    "-DCMAKE_CXX_FLAGS=-isystem $build/headers" -DCMAKE_EXE_LINKER_FLAGS=-s \
    "-DSIDECALL_RAPIDJSON_INCLUDE=$build/headers" "-DSIDECALL_CLI11_INCLUDE=$build/headers" \
    $net "$@"
}
if [ "$machine" = "$(uname -m)" ]; then
  objdump=objdump
  configure -DSIDECALL_BUILD_NODE=ON -DSIDECALL_BUILD_PYTHON=ON "-DPython_EXECUTABLE=$python"
else
  objdump=$machine-linux-gnu-objdump
  configure -DSIDECALL_BUILD_COMMAND=OFF -DCMAKE_SYSTEM_NAME=Linux \
    "-DCMAKE_SYSTEM_PROCESSOR=$machine"
fi
cmake --build "$build" -j "$jobs" --target "$@"

for file in "$build/lib/sidecall.node" "$build/lib/libsidecall.so" \
  "$build/lib/libsidecall-net.so" "$build/bin/sidecall" \
  "$build"/python/*.so; do
  [ -e "$file" ] || continue
  newest=$("$objdump" -T "$file" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
  if [ "$(printf '%s\n' GLIBC_2.28 "$newest" | sort -V | tail -n 1)" != GLIBC_2.28 ]; then
    echo "$file: expected glibc 2.28 at most, got $newest" >&2
    exit 1
  fi
  tools/package/no_test_route.sh "$file"
done
