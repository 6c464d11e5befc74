#!/usr/bin/env bash
# From a fresh machine to a model's answer: scripts/quickstart.sh [PROMPT]
#
# Sets up .venv, looks at this machine, selects the best model that fits, installs and runs it.
# In a terminal without PROMPT it ends in a chat; otherwise it prints one answer on standard output.
# Needs Linux or macOS, Python 3.11 or newer and a C++ compiler. A second run installs nothing.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DEFAULT_PROMPT="Introduce yourself in one sentence."

landfast() { "$VENV/bin/landfast" "$@"; }

# Once it has gone through, `run` and `chat` alone do the job, and faster.
settle_in() {
  [ -f "$VENV/quickstart.done" ] && return
  landfast profile >&2
  # Its warnings, and why nothing fits, are left to the install, which says them as well.
  landfast select >&2 2>/dev/null || [ $? -ne "$EXIT_INTERRUPTED" ] || \
    stop "$EXIT_INTERRUPTED" "Stopped. Run this script again to continue."
  landfast install --yes >&2
  say "From now on: $VENV/bin/landfast, or put $VENV/bin on the path."
  : >"$VENV/quickstart.done"
}

case ${1-} in -h | --help)
  sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit
  ;;
esac
set_up run
settle_in
if [ $# -eq 0 ] && [ -t 0 ] && [ -t 1 ]; then exec "$VENV/bin/landfast" chat; fi
exec "$VENV/bin/landfast" run --yes -- "${*:-$DEFAULT_PROMPT}"
