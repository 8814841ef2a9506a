#!/bin/sh
# system_packages.sh PYTHON LOG_FOLDER [PACKAGE...]: checks the tools and headers of the build and
# installs Debian's packages for those that are missing. Without permission to install, it prints in
# one line what to install. make runs it.
python=$1
log="$2/system.log"
shift 2
mkdir -p "${log%/*}"

have_header() { printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "$1" | c++ -std=c++17 -E -x c++ - >/dev/null 2>&1; }

missing=$*
need() { missing="$missing $1"; }
command -v c++ >/dev/null || need g++
command -v cmake >/dev/null || need cmake
command -v ninja >/dev/null || need ninja-build
command -v pkg-config >/dev/null || need pkgconf
if ! command -v c++ >/dev/null; then
  need "libonnxruntime-dev rapidjson-dev libcli11-dev catch2"
else
  have_header onnxruntime/onnxruntime_c_api.h || need libonnxruntime-dev
  have_header rapidjson/document.h || need rapidjson-dev
  have_header CLI/CLI.hpp || need libcli11-dev
  have_header catch2/catch_test_macros.hpp || need catch2
fi
command -v strace >/dev/null || need strace  # for tests/anomalies and tests/cli/serve/test_sandbox.py
command -v node >/dev/null || need nodejs
command -v npm >/dev/null || need npm
"$python" -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
"$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null || need python3-dev

if [ -n "$missing" ]; then
  missing=$(echo $missing)
  if ! command -v apt-get >/dev/null; then
    echo "missing: install what Debian calls $missing, then run make again" >&2
    exit 1
  elif [ "$(id -u)" = 0 ]; then
    sudo=
  elif sudo -n true 2>/dev/null; then
    sudo=sudo
  else
    echo "missing: run 'sudo apt-get install -y $missing', then make again" >&2
    exit 1
  fi
  echo "-- installing Debian packages: $missing"
  export DEBIAN_FRONTEND=noninteractive
  # Only one apt-get can run at a time: with `make -j` each waits for its turn.
  exec 9>"$log.lock"
  flock 9
  { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing; } >"$log" 2>&1 || {
    tail -n 20 "$log"
    echo "could not install $missing: install them, then run make again" >&2
    exit 1
  }
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "$python is $("$python" --version 2>&1): sidecall needs Python 3.11 or newer, give one with PYTHON=python3.11 make" >&2
  exit 1
}
cmake_version=$(cmake --version | sed -n '1s/[^0-9]*//p')
if [ "$(printf '%s\n' 3.25 "$cmake_version" | sort -V | head -n 1)" != 3.25 ]; then
  echo "cmake is $cmake_version: sidecall needs 3.25 or newer" >&2
  exit 1
fi
node_version=$(node --version | sed 's/^v//')
if [ "$(printf '%s\n' 20 "$node_version" | sort -V | head -n 1)" != 20 ]; then
  echo "node is $node_version: sidecall needs 20 or newer" >&2
  exit 1
fi
