#!/bin/sh
# oldest_onnxruntime.sh PYTHON FOLDER: unpacks into FOLDER the wheel of the oldest ONNX Runtime that
# engines/onnxruntime/library.cpp accepts. make runs it. The wheel is always that of
# Python 3.11, whatever PYTHON is, because only the library in the wheel is used.
set -eu
minor=$(sed -n 's/^constexpr uint32_t kOldestVersion = \([0-9]*\);$/\1/p' engines/onnxruntime/library.cpp)
mkdir -p "$2"
"$1" -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
  --platform "manylinux_2_28_$(uname -m)" --platform "manylinux_2_27_$(uname -m)" --dest "$2" "onnxruntime==1.$minor.0"
"$1" -m zipfile -e "$2"/onnxruntime-*.whl "$2"
rm "$2"/onnxruntime-*.whl
