#!/usr/bin/env bash
# Makes one call and stores the label of one bird in a variable. Usage: one_call.sh penguins.onnx
set -euo pipefail
model=$1

bird='{"island": "Biscoe", "bill_length_mm": 48.2, "body_mass_g": 5100}'
if label=$(sidecall predict "$model" --only label --to csv <<<"$bird" | tail -n 1); then
  echo "the bird is a $label"
else
  echo "no answer, exit code $?" >&2
  exit 1
fi
