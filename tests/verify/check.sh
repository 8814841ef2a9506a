#!/bin/sh
# Checks ring.pml with SPIN: the protocol is correct, and with weaker memory ordering SPIN finds a
# lost wake-up. `make verify` runs it.
#   tests/verify/check.sh BUILD
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work="$1/verify"
mkdir -p "$work"
cd "$work"

# Explores every state. Exit codes: 0 no error, 1 an error, 2 the search was incomplete.
explore() {
  name=$1
  shift
  rm -rf "$name" && mkdir "$name" && cd "$name"
  spin -a "$@" "$here/ring.pml" >spin.log
  cc -O2 -w -DNFAIR=3 -DVECTORSZ=2048 -o pan pan.c
  ./pan -a -f -m200000 -N no_lost_wake_up >liveness.log 2>&1 || true
  cc -O2 -w -DSAFETY -DNOCLAIM -DVECTORSZ=2048 -o pan-safety pan.c
  ./pan-safety -m200000 >safety.log 2>&1 || true
  cd ..
  for log in liveness safety; do
    if grep -q 'max search depth too small\|out of memory' "$name/$log.log"; then return 2; fi
    grep -q 'errors: [0-9]' "$name/$log.log" || return 2
    grep -q 'errors: 0' "$name/$log.log" || return 1
  done
}

check() {
  expected=$1
  shift
  got=0
  explore "$@" || got=$?
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$1/liveness.log" | head -n 1)
  if [ "$got" -ne "$expected" ]; then
    echo "verify: $1: expected $expected, got $got (0 holds, 1 an error, 2 not complete); see $work/$1" >&2
    exit 1
  fi
  if [ "$got" -eq 1 ] && ! grep -q 'invalid end state' "$1/safety.log"; then
    echo "verify: $1: expected a side that sleeps for ever, got another error; see $work/$1" >&2
    exit 1
  fi
  [ "$got" -eq 0 ] && echo "$1: holds ($states states)" || echo "$1: loses a wake-up, as it must"
}

check 0 strong
check 0 strong-one-slot -DSLOTS=1
check 0 always-ring -DALWAYS_RING
check 0 plain-server -DPLAIN_SERVER
check 1 weak -DWEAK_CLIENT -DWEAK_SERVER
check 1 weak-client -DWEAK_CLIENT
check 1 weak-server -DWEAK_SERVER
