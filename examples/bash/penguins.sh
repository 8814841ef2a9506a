#!/usr/bin/env bash
# Asks a model about one penguin, and shows how a bad record is refused. Usage: penguins.sh [MODEL]
# MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
set -euo pipefail
export LC_ALL=C # printf then uses a decimal point in every locale
model=${1:-penguins.onnx}

penguin='{"island": "Biscoe", "sex": null, "bill_length_mm": 48.2, "bill_depth_mm": 14.3'
penguin+=', "flipper_length_mm": 215, "body_mass_g": 4900}'
# One line is one record. If the command fails, it has printed why, and the script ends here.
answer=$(sidecall predict "$model" --only label,probabilities.Gentoo --to csv <<<"$penguin")
IFS=, read -r label gentoo <<<"${answer#*$'\n'}" # without the header
printf 'label: %s\nprobabilities.Gentoo: %.4f\n' "$label" "$gentoo"

bad='{"island": "Biscoe", "bill_length_mm": "long", "body_mass_g": "heavy"}'
code=0
faults=$(sidecall predict "$model" 2>&1 >/dev/null <<<"$bad") || code=$?
if ((code == 2)); then # a bad row: each line names a place, then says what is wrong there
  while read -r fault; do echo "refused: ${fault#*: }"; done <<<"$faults"
else
  echo "$faults" >&2
  exit "$code"
fi
