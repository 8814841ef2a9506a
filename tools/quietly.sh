#!/bin/sh
# quietly.sh LOG_FOLDER NAME TEXT COMMAND...: prints TEXT and runs a step of the set-up. Its output
# goes to LOG_FOLDER/NAME.log and is shown only on failure.
log="$1/$2.log"
text=$3
mkdir -p "$1"
shift 3
printf '%s\n' "-- $text"
"$@" >"$log" 2>&1 && exit 0
code=$?
grep -n -m 20 -E 'error|Error|ERROR|FAILED' "$log" | cut -c1-300
printf '%s\n' "-- failed: $text; the last lines of $log:"
tail -n 40 "$log"
exit $code
