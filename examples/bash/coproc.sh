#!/usr/bin/env bash
# Keeps a model open in a coprocess, which answers each line with one line, within microseconds.
# Usage: coproc.sh penguins.onnx
set -euo pipefail

model=${1:?usage: coproc.sh MODEL}
coproc MODEL { exec sidecall predict "$model" --stream --only label; }
ask() { echo "$1" >&"${MODEL[1]}"; read -r answer <&"${MODEL[0]}"; echo "$answer"; }

ask '{"island": "Biscoe", "bill_length_mm": 48.2, "body_mass_g": 5100}'
# An error is one line too, and the stream continues.
ask '{"island": "Biscoe", "bill_length_mm": "long"}'
ask '{"island": "Dream", "bill_length_mm": 49.3, "bill_depth_mm": 19.9}'
eval "exec ${MODEL[1]}>&-" # the process exits at the end of its input
