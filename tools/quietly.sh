#!/bin/sh
# quietly.sh LOG_FOLDER NAME TEXT COMMAND...: prints TEXT and runs COMMAND. Its output
# goes to LOG_FOLDER/NAME.log and is shown only on failure. While a step runs, its last line of
# output is shown: on a terminal every second, elsewhere every half minute.
log="$1/$2.log"
text=$3
mkdir -p "$1"
shift 3
printf '%s\n' "-- $text"
: >"$log"

progress() {
  seconds=0
  while sleep 1 >/dev/null; do
    seconds=$((seconds + 1))
    if [ -t 1 ]; then
      width=$(tput cols 2>/dev/null || echo 80)
      printf '\r\033[K%s' "$(printf '   %s s  %s' "$seconds" "$(tail -n 1 "$log")" | cut -c "1-$((width - 1))")"
    elif [ $((seconds % 30)) = 0 ]; then
      printf '   %s s  %s\n' "$seconds" "$(tail -n 1 "$log" | cut -c 1-100)"
    fi
  done
}
progress &
watcher=$!
trap 'kill $watcher 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$@" >"$log" 2>&1
code=$?
kill $watcher 2>/dev/null
wait $watcher 2>/dev/null
[ ! -t 1 ] || printf '\r\033[K'
[ "$code" != 0 ] || exit 0
grep -n -m 20 -E 'error|Error|ERROR|FAILED' "$log" | cut -c1-300
printf '%s\n' "-- failed: $text; the last lines of $log:"
tail -n 40 "$log"
exit $code
