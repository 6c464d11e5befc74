# shellcheck shell=bash
# What the scripts share: a complete .venv made from the locks, and word of how far it is.
# For bash 3.2 (macOS) and newer. Standard output stays free; everything here speaks on standard error.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
LOG=$VENV/quickstart.log
PYTHON=
CHILD=
NEXT_LINE_S=30
NEEDED_MIB=2000

# Exit codes of deploy/errors.py; 127 is the shell's own for a program that is missing.
EXIT_INTERNAL=1 EXIT_USAGE=2 EXIT_UNREACHABLE=5 EXIT_INTEGRITY=6 EXIT_RESOURCES=7 EXIT_ENGINE=8 EXIT_NOT_WRITABLE=13
EXIT_MISSING=127 EXIT_INTERRUPTED=130

say() { printf '%s\n' "$*" >&2; }

# stop EXIT_CODE SENTENCE...
stop() {
  local code=$1
  shift
  say "$(basename "$0" .sh): $*"
  exit "$code"
}

# set_up run|dev: fills .venv with what the locks name; done at once where it holds it already.
set_up() {
  is_complete "$1" && return
  trap interrupted INT TERM HUP
  require_unix
  find_python
  require_disk_space
  make_venv
  if ! is_complete run; then install_run; fi
  if [ "$1" = dev ]; then install_dev; fi
  rm -rf "$VENV/tmp"
  trap - INT TERM HUP
  say "Set up in $(elapsed)."
}

install_run() {
  rm -f "$VENV"/landfast-*.stamp
  require_compiler
  say "Setting up Landfast in .venv, once. pip's full output: $LOG"
  say "The engine is built from source, unless pip has kept one: that takes about 3 to 10 minutes."
  pip_install --retries 2 --require-hashes -r "$ROOT/requirements-build.lock"
  pip_install --require-hashes --no-build-isolation -r "$ROOT/requirements.lock"
  pip_install --no-index --no-deps --no-build-isolation -e "$ROOT"
  fingerprint run >"$VENV/landfast-run.stamp"
}

install_dev() {
  say "Adding the development tools."
  pip_install --require-hashes --no-build-isolation -r "$ROOT/requirements-dev.lock"
  fingerprint dev >"$VENV/landfast-dev.stamp"
}

# The stamp is written last, so an interrupted set-up never has one; it names all that would make .venv stale.
is_complete() {
  [ -f "$VENV/landfast-$1.stamp" ] && [ "$(fingerprint "$1" 2>&1)" = "$(cat "$VENV/landfast-$1.stamp")" ]
}

fingerprint() {
  local dev_lock=
  if [ "$1" = dev ]; then dev_lock=requirements-dev.lock; fi
  "$VENV/bin/python" -c 'import sys; print(sys.prefix, sys.version)'
  # shellcheck disable=SC2086  # an empty name is no argument
  (cd "$ROOT" && cksum requirements-build.lock requirements.lock $dev_lock pyproject.toml deploy/__init__.py)
}

require_unix() {
  case $(uname -s) in
    MINGW* | MSYS* | CYGWIN*) stop $EXIT_USAGE "This script is for Linux and macOS." \
      "On Windows run it in WSL, or take the steps in CONTRIBUTING.md by hand." ;;
  esac
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if is_new_enough "$name"; then
      PYTHON=$name
      break
    fi
  done
  [ -n "$PYTHON" ] || stop $EXIT_MISSING "Python 3.11 or newer is needed, and $(found_python)." \
    "Install it (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python), then run this script again."
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || stop $EXIT_MISSING "Python's venv module is missing." \
    "Install it (Debian, Ubuntu: apt-get install python3-venv), then run this script again."
}

found_python() {
  local version
  if version=$(python3 -V 2>/dev/null); then echo "python3 here is $version"; else echo "there is no python3 here"; fi
}

require_disk_space() {
  local free_kib
  free_kib=$(df -Pk "$ROOT" 2>/dev/null | sed -nE 's/.* ([0-9]+) +[0-9]+%.*/\1/p')
  [ -z "$free_kib" ] || [ "$((free_kib / 1024))" -ge "$NEEDED_MIB" ] || stop $EXIT_RESOURCES \
    "About 2 GB of free disk space is needed, and $ROOT has $((free_kib * 1024 / 1000000)) MB. Free some, then run this script again."
}

# What a stopped `python -m venv` leaves has no working pip: it is laid anew.
make_venv() {
  if ! is_new_enough "$VENV/bin/python" || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    "$PYTHON" -m venv --clear "$VENV" >&2 || stop $EXIT_NOT_WRITABLE "$VENV cannot be created." \
      "Make sure that this folder can be written, then run this script again."
  fi
  rm -rf "$VENV/tmp"
  mkdir -p "$VENV/tmp"
  : >"$LOG"
}

require_compiler() {
  has_compiler || engine_is_cached || stop_without_compiler
}

stop_without_compiler() {
  stop $EXIT_MISSING "A C++ compiler is needed to build the engine." \
    "Install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)," \
    "then run this script again."
}

# On macOS the compilers' names always exist; without the command-line tools they only open a dialog.
has_compiler() {
  local name
  if [ "$(uname -s)" = Darwin ]; then
    xcode-select -p >/dev/null 2>&1
    return
  fi
  for name in ${CXX-} c++ g++ clang++; do
    if command -v "$name" >/dev/null; then return; fi
  done
  return 1
}

# A guess that spares a download: pip keeps built wheels for each Python apart, and does not list for which.
engine_is_cached() {
  local version
  version=$(sed -n 's/^llama-cpp-python==\([^ ]*\).*/\1/p' "$ROOT/requirements.lock")
  "$VENV/bin/python" -m pip cache list --format=abspath "llama_cpp_python-$version" 2>/dev/null | grep -q '\.whl$'
}

# TMPDIR: one disk to check, no small or noexec /tmp, and what a killed build leaves goes with the next set-up.
pip_install() {
  TMPDIR=$VENV/tmp run_step "$VENV/bin/python" -m pip install -v --no-input --progress-bar=off "$@" || explain_failure
}

# A process group of its own, so that Ctrl-C here can stop the compilers below pip too.
run_step() {
  set -m
  "$@" >>"$LOG" 2>&1 </dev/null &
  CHILD=$!
  set +m
  follow
  wait "$CHILD"
}

follow() {
  while kill -0 "$CHILD" 2>/dev/null; do
    if [ -t 2 ]; then
      printf '\r\033[K%s' "$(progress | cut -c "1-$(columns)")" >&2
    elif [ "$SECONDS" -ge "$NEXT_LINE_S" ]; then
      progress >&2
      NEXT_LINE_S=$((SECONDS + 30))
    fi
    sleep 0.5
  done
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

columns() { { stty size </dev/tty | cut -d ' ' -f 2 | grep -x '[1-9][0-9]*'; } 2>/dev/null || echo 80; }

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# One line from the end of pip's output: the compiler's step "[57/193]", or what pip does.
progress() {
  printf '%s  %s\n' "$(elapsed)" "$(tail -n 400 "$LOG" | awk '
    /^ *\[[0-9]+\/[0-9]+\] / { split($1, step, /[^0-9]/); what = "Building the engine: " step[2] " of " step[3] }
    /^ *(Collecting|Downloading|Building wheel for|Installing collected) / { what = $1 " " $2 " " $3 " " $4 }
    END { print what }')"
}

interrupted() {
  trap '' INT TERM HUP
  if [ -n "$CHILD" ]; then stop_child; fi 2>/dev/null
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  stop $EXIT_INTERRUPTED "Stopped. Run this script again to continue."
}

stop_child() {
  local _
  kill -INT -- "-$CHILD"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 -- "-$CHILD" || return 0
    sleep 0.3
  done
  kill -KILL -- "-$CHILD"
}

# The cause is in pip's last words; only a failure without a known cause needs them shown.
explain_failure() {
  local words
  words=$(tail -n 60 "$LOG")
  case $words in
    *"DO NOT MATCH THE HASHES"*) stop $EXIT_INTEGRITY "A package is not the one that the lock names; it was not installed." \
      "Details: $LOG" ;;
    *"No space left on device"*) stop $EXIT_RESOURCES "The disk is full. Free about 2 GB, then run this script again." ;;
    *"connection broken by"* | *"Could not fetch URL"* | *"Max retries exceeded"* | *"from versions: none"*)
      stop $EXIT_UNREACHABLE "The package index does not answer. Check the network, or pip's settings (pip config list)," \
        "then run this script again. Details: $LOG" ;;
  esac
  case $words in *llama-cpp-python*) has_compiler || stop_without_compiler ;; esac
  printf '%s\n' "$words" | tail -n 20 >&2
  case $words in
    *llama-cpp-python*) stop $EXIT_ENGINE "The engine could not be built. The last lines are above; all of it: $LOG" ;;
    *) stop $EXIT_INTERNAL "pip could not set up .venv. The last lines are above; all of it: $LOG" ;;
  esac
}
