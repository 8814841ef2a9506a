#!/bin/sh
# Runs two containers side by side. Only the program unshare is needed to make them.
#
# Each has its own processes, mounts and /dev/shm; they share only one mounted folder. The first
# container serves a Python pipeline, the second queries it with the native command. Needs root, or
# a system where users may create namespaces.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
command=${SIDECALL_COMMAND:-sidecall}
shared=$(mktemp -d)
if [ "$(id -u)" = 0 ]; then user=; else user="--user --map-root-user"; fi

# contain COMMAND...: runs COMMAND in a container. Its /mnt and its /dev/shm are new, empty file
# systems, and the shared folder is mounted at /mnt/app.
contain() {
  # shellcheck disable=SC2086
  exec unshare $user --pid --mount --fork --kill-child=TERM --mount-proc sh -ec '
    mount -t tmpfs none /dev/shm
    mount -t tmpfs none /mnt
    mkdir /mnt/app
    mount --bind "$1" /mnt/app
    shift
    exec "$@"' contain "$shared" "$@"
}

(contain "$python" "$here/served.py" shm:/mnt/app/penguins.sock) &
server=$!
finish() {
  # Kills unshare itself; the server then gets SIGTERM and drains.
  kill -KILL "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -rf "$shared"
}
trap finish EXIT

(contain "$command" status shm:/mnt/app/penguins.sock --ready --wait 120)
(contain "$command" predict shm:/mnt/app/penguins.sock) <<'BIRDS'
{"island": "Biscoe", "bill_length_mm": 48.2, "bill_depth_mm": 14.3, "flipper_length_mm": 215, "body_mass_g": 4900}
{"island": "Dream", "bill_length_mm": 46.5, "bill_depth_mm": 17.9, "flipper_length_mm": 192, "body_mass_g": 3500, "sex": "female"}
BIRDS
