#!/usr/bin/env bash
# The model stays open beside the script: a line to it, a line back, in microseconds. Usage: coproc.sh penguins.onnx
set -euo pipefail

coproc MODEL { exec sidecall predict "$1" --stream --only label; }
ask() { echo "$1" >&"${MODEL[1]}"; read -r answer <&"${MODEL[0]}"; echo "$answer"; }

ask '{"island": "Biscoe", "bill_length_mm": 48.2, "body_mass_g": 5100}'
ask '{"island": "Biscoe", "bill_length_mm": "long"}' # an error is a line too, and the stream goes on
ask '{"island": "Dream", "bill_length_mm": 49.3, "bill_depth_mm": 19.9}'
eval "exec ${MODEL[1]}>&-" # the end of its input ends it
