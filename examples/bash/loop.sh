#!/usr/bin/env bash
# Loops over a CSV file: one process answers all rows. Usage: loop.sh penguins.onnx birds.csv
set -euo pipefail
model=${1:?usage: loop.sh MODEL BIRDS} birds=${2:?usage: loop.sh MODEL BIRDS}

# --absent missing: the CSV need not have a column for each feature.
sidecall predict "$model" "$birds" --absent missing --keep ring --only label,probabilities.Gentoo |
  while IFS=, read -r ring label gentoo; do
    [[ $ring == ring ]] && continue # the header
    echo "bird $ring: $label (Gentoo: $gentoo)"
  done
