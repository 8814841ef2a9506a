#!/bin/sh
# Runs a program against a served model. Usage: with_server.sh SIDECALL MODEL PROGRAM ARGUMENTS
#
# Serves the model, runs the program with the server's address before the arguments, then ends the
# server.
sidecall=$1 model=$2 program=$3
shift 3
folder=$(mktemp -d) || exit 1
"$sidecall" serve "$model" --at "shm:$folder/model.sock" --log-level error &
server=$!
until "$sidecall" status "shm:$folder/model.sock" --ready >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || break # the server has ended, and has printed why
  sleep 0.1
done
"$program" "shm:$folder/model.sock" "$@"
code=$?
kill "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
exit "$code"
