#!/bin/sh
# natives.sh PYTHON BUILD JOBS MACHINE...: makes the native files of the packages for Go, Rust and
# Java. For each machine (x86_64, aarch64) they lie in BUILD-natives/MACHINE:
#
#   libsidecall.a   for programs that contain the library. It holds the C++ library too, so that a C
#                   compiler links it, with the unwinder that every compiler brings. Its only
#                   global symbols are those of the C ABI, so that it never clashes with the C++
#                   library of the program.
#   libsidecall.so  for programs that load the library
#
# A file beside the folders, `ThirdPartyNotices.md`, holds the licences of what they contain.
#
# BUILD is the folder of tools/portable_build.sh, which compiles the library. Another machine than
# this one has the folder BUILD-MACHINE, and needs binutils for it (Debian:
# binutils-aarch64-linux-gnu). `make package` runs this script.
set -eu
python=$1
build=$2
jobs=$3
shift 3
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
symbols="$root/bindings/c/abi/symbols.txt"
ziglang=$("$python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')
zig="$ziglang/zig"
natives="$build-natives"
mkdir -p "$natives"
exec 8>"$natives/lock" # make -j may run this script for several packages at the same time
flock 8

# fail FILE TEXT
fail() {
  echo "$1: $2" >&2
  exit 1
}

# The archives of zig's C++ library for a target, which zig compiles when they are first used.
# zig shows them in the command of its linker.
runtime_archives() {
  echo 'int sidecall_probe;' >"$natives/probe.cpp"
  "$zig" c++ -target "$1" -O3 -fPIC -shared -v "$natives/probe.cpp" -o "$natives/probe.so" 2>&1 |
    grep -o '/[^ ]*/lib\(c++abi\|c++\|compiler_rt\)\.a' | sort -u
}

# merge LIBRARY TARGET TOOLS OUT: puts the library and what it needs of the C++ library into one
# object, in which all other symbols are local.
merge() {
  archives=$(runtime_archives "$2")
  [ "$(echo "$archives" | wc -l)" = 3 ] ||
    fail "$zig" "expected three archives of the C++ library, got: $archives"
  # Groups of COMDAT would tie local copies of functions to those of the program.
  # shellcheck disable=SC2086 # the paths of zig's cache have no spaces
  "$3ld" -r --force-group-allocation -o "$4/merged.o" --whole-archive "$1" --no-whole-archive \
    --start-group $archives --end-group
  "$3objcopy" "--keep-global-symbols=$symbols" --strip-debug "$4/merged.o" "$4/sidecall.o"
  "$3objcopy" --strip-unneeded "$4/sidecall.o"
  rm -f "$4/libsidecall.a"
  "$3ar" rcsD "$4/libsidecall.a" "$4/sidecall.o"
  # No symbol is missing in the C ABI, and glibc 2.28 has what is not defined here.
  "$3nm" --defined-only --extern-only --format=just-symbols "$4/sidecall.o" |
    LC_ALL=C sort >"$4/symbols.txt"
  LC_ALL=C sort "$symbols" | diff - "$4/symbols.txt" >&2 ||
    fail "$4/libsidecall.a" "expected the symbols of $symbols"
  "$zig" cc -target "$2" -O3 -shared -Wl,--no-undefined -Wl,--whole-archive "$4/libsidecall.a" \
    -lunwind -o "$4/probe.so" || fail "$4/libsidecall.a" "expected to need glibc 2.28 alone"
  rm "$4/merged.o" "$4/sidecall.o" "$4/symbols.txt" "$4/probe.so"
}

for machine; do
  out="$natives/$machine"
  from=$build
  tools=
  if [ "$machine" != "$(uname -m)" ]; then
    from="$build-$machine"
    tools="$machine-linux-gnu-"
  fi
  command -v "${tools}objcopy" >/dev/null ||
    fail "$machine" "expected the program ${tools}objcopy, which is in Debian's binutils"
  MACHINE=$machine tools/portable_build.sh "$python" "$from" "$jobs" sidecall sidecall-static
  mkdir -p "$out"
  archive="$out/libsidecall.a"
  if ! [ "$archive" -nt "$from/lib/libsidecall.a" ] || [ "$0" -nt "$archive" ]; then
    merge "$from/lib/libsidecall.a" "$machine-linux-gnu.2.28" "$tools" "$out"
  fi
  if ! [ "$out/libsidecall.so" -nt "$from/lib/libsidecall.so" ]; then
    "${tools}strip" --strip-unneeded "$from/lib/libsidecall.so" -o "$out/libsidecall.so"
  fi
done

{
  cat tools/package/notices.md
  printf '\n## Zig: compiler-rt\n\n'
  cat "$ziglang/LICENSE"
  for part in libcxx libcxxabi libunwind; do
    printf '\n## LLVM: %s\n\n' "$part"
    cat "$ziglang/lib/$part/LICENSE.TXT"
  done
} >"$natives/ThirdPartyNotices.md"
