#!/usr/bin/env bash
# Installs Landfast on a host: scripts/install.sh [OPTION]...
#
#   --system | --user        for everybody on this host (default for root), or for this user alone
#   --from BUNDLE            take everything from a bundle: no network, no compiler
#   --key FILE               public key of the bundle's maker; with --from it is required
#   --index-url URL          package index to take from, such as a mirror (else pip's own settings)
#   --proxy URL              proxy on the way there
#   --cert FILE              certificates of the company's own authority
#   --engine KIND            auto (default), cpu, cuda, rocm, metal or vulkan
#   --engine-wheel FILE      an engine that your site has built, with --engine-sha256 HASH
#   --model MODEL            also install this model; "best" for the best one that fits
#   --rollback               go back to the version before this one; the same again goes forward
#   --uninstall              remove everything again, and write a receipt
#   --keep-models            with --uninstall: leave models, keys and settings
#   --receipt FILE           with --uninstall: write the receipt there
#   --dry-run                say what would be done, and change nothing
#
# Asks nothing. A second run changes nothing; a newer version is put in place when it works, not before.
# Needs Linux or macOS and Python 3.11 or newer; without a bundle or an engine wheel also a C++ compiler.
set -eu

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHECKOUT=$(dirname "$HERE")
SCOPE='' FROM='' KEY='' INDEX_URL='' PROXY='' CERT='' ENGINE=auto ENGINE_WHEEL='' ENGINE_SHA256='' MODEL=''
ACTION=install KEEP_MODELS='' RECEIPT='' DRY_RUN=''
PYTHON='' PREFIX='' BIN='' NEW='' WHEELS='' SCRATCH='' ENGINE_FLAGS='' LOG='' CHANGED=''
NEEDED_MIB=2500
GROUP=landfast
UNITS=(timers.target.wants/landfast-check.timer landfast-check.timer landfast-check.service landfast-verify.service)

# Exit codes of deploy/errors.py; 127 is the shell's own for a program that is missing.
EXIT_INTERNAL=1 EXIT_USAGE=2 EXIT_REFUSED=4 EXIT_UNREACHABLE=5 EXIT_INTEGRITY=6 EXIT_RESOURCES=7 EXIT_ENGINE=8
EXIT_NOT_FOUND=9 EXIT_NOT_WRITABLE=13 EXIT_MISSING=127 EXIT_INTERRUPTED=130

say() { printf '%s\n' "$*" >&2; }

# stop EXIT_CODE SENTENCE...
stop() {
  local code=$1
  shift
  say "install: $*"
  exit "$code"
}

main() {
  read_options "$@"
  find_places
  if [ "$ACTION" != install ]; then
    "$ACTION"
    return
  fi
  find_python
  SCRATCH=$(mktemp -d)
  trap 'rm -rf "$SCRATCH"' EXIT
  trap 'stop $EXIT_INTERRUPTED "Stopped. What was in use before is still in use; run this script again to continue."' INT TERM HUP
  if [ -n "$FROM" ]; then open_bundle; else prepare_checkout; fi
  NEW=$PREFIX/versions/$(version_name)
  if ! is_current; then
    CHANGED=yes
    require_own_command
    if [ -n "$DRY_RUN" ]; then
      say "Would install Landfast $(basename "$NEW") in $PREFIX, with the command in $BIN."
      return
    fi
    put_in_place
  fi
  remember_index
  trust_key
  bring_model
  [ -n "$CHANGED" ] || say "Landfast $(basename "$NEW") is installed already; nothing was changed."
}

read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) sed -n '2,23s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
      --system | --user) SCOPE=${1#--} ;;
      --uninstall | --rollback) ACTION=${1#--} ;;
      --keep-models) KEEP_MODELS=yes ;;
      --dry-run) DRY_RUN=yes ;;
      --from | --key | --index-url | --proxy | --cert | --engine | --engine-wheel | --engine-sha256 | --model | --receipt)
        [ $# -ge 2 ] || stop $EXIT_USAGE "$1 needs a value. See --help."
        take_value "$1" "$2"
        shift
        ;;
      *) stop $EXIT_USAGE "There is no option $1. See --help." ;;
    esac
    shift
  done
  check_options
}

take_value() {
  case $1 in
    --from) FROM=$2 ;;
    --key) KEY=$2 ;;
    --index-url) INDEX_URL=$2 ;;
    --proxy) PROXY=$2 ;;
    --cert) CERT=$2 ;;
    --engine) ENGINE=$2 ;;
    --engine-wheel) ENGINE_WHEEL=$2 ;;
    --engine-sha256) ENGINE_SHA256=$2 ;;
    --model) MODEL=$2 ;;
    --receipt) RECEIPT=$2 ;;
  esac
}

check_options() {
  case $ENGINE in
    auto | cpu | cuda | rocm | metal | vulkan) ;;
    *) stop $EXIT_USAGE "--engine $ENGINE is none of auto, cpu, cuda, rocm, metal and vulkan." ;;
  esac
  if [ -n "$FROM" ]; then
    [ -n "$KEY" ] || stop $EXIT_USAGE "A bundle is taken only from a maker you know: give their public key with --key FILE."
    [ -f "$KEY" ] || stop $EXIT_NOT_FOUND "There is no key file $KEY."
    [ -f "$FROM/landfast-bundle.json" ] || stop $EXIT_NOT_FOUND "There is no bundle in $FROM."
  fi
  if [ -n "$ENGINE_WHEEL" ]; then
    [ -f "$ENGINE_WHEEL" ] || stop $EXIT_NOT_FOUND "There is no file $ENGINE_WHEEL."
    [ -n "$ENGINE_SHA256" ] || stop $EXIT_USAGE "Give the SHA-256 that the engine's wheel must have with --engine-sha256 HASH."
  fi
  case $(uname -s) in
    Linux | Darwin) ;;
    *) stop $EXIT_USAGE "This script is for Linux and macOS; on Windows use scripts/install.ps1." ;;
  esac
}

find_places() {
  if [ -z "$SCOPE" ]; then if [ "$(id -u)" = 0 ]; then SCOPE=system; else SCOPE=user; fi; fi
  if [ "$SCOPE" = system ]; then
    [ "$(id -u)" = 0 ] || stop $EXIT_NOT_WRITABLE "--system needs root. Run it with sudo, or with --user."
    PREFIX=/opt/landfast BIN=/usr/local/bin
    # Every user is to be able to run it, whatever root's umask; sudo may have left the home of whoever called it.
    umask 022
    if [ -n "${HOME-}" ] && [ ! -O "$HOME" ]; then export HOME=~root; fi
  else
    [ -O "${HOME-}" ] || stop $EXIT_USAGE "The home folder ${HOME-} is not that of the user $(id -un)." \
      "Run it without sudo, or with --system."
    PREFIX=$HOME/.local/lib/landfast BIN=$HOME/.local/bin
  fi
  unset PYTHONHOME PYTHONPATH
}

# -I wherever Python is called, and -P for pip: nothing is imported from the folder that this is called in.
is_new_enough() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local name
  for name in "${LANDFAST_PYTHON-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$name" ] && has "$name" && is_new_enough "$name"; then
      PYTHON=$(command -v "$name")
      return
    fi
  done
  stop $EXIT_MISSING "Python 3.11 or newer is needed and not found." \
    "Install it (Debian, Ubuntu: apt-get install python3; Fedora: dnf install python3.11; macOS: brew install python)."
}

# --- from a bundle ----------------------------------------------------------------------------------------------

open_bundle() {
  WHEELS=$SCRATCH/wheels
  mkdir "$WHEELS"
  # One copy is checked and trusted: nobody can put another key on the medium in between.
  cp "$KEY" "$SCRATCH/maker.pub" || stop $EXIT_NOT_FOUND "The key file $KEY cannot be read."
  KEY=$SCRATCH/maker.pub
  if "$PYTHON" -I -c "$CHECK_BUNDLE" "$FROM" "$KEY" "$WHEELS" >&2; then return; else exit $?; fi
}

# Python's own library and OpenSSL's are all that a bare host has: the bundle is checked with these, and only then is
# anything of it run. Exit codes as above.
IFS= read -r -d '' CHECK_BUNDLE <<'PYTHON' || true
import base64, ctypes, ctypes.util, hashlib, json, os, sys, sysconfig

def stop(code, sentence):
    print("install: " + sentence)
    sys.exit(code)

def crypto():
    names = ["libcrypto.so.3", "libcrypto.so.1.1"]
    if sys.platform == "darwin":  # the system's own libcrypto ends a program that opens it
        places = sys.base_prefix, "/opt/homebrew/opt/openssl@3", "/usr/local/opt/openssl@3"
        names = [place + "/lib/libcrypto.3.dylib" for place in places]
    else:
        names.append(ctypes.util.find_library("crypto"))
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    stop(127, "OpenSSL's library libcrypto is needed to check the bundle's signature. Install openssl, then run this script again.")

def fits(public, signature, text):
    lib, ED25519 = crypto(), 1087  # NID_ED25519 of openssl/obj_mac.h
    lib.EVP_PKEY_new_raw_public_key.restype = ctypes.c_void_p
    lib.EVP_MD_CTX_new.restype = ctypes.c_void_p
    key = ctypes.c_void_p(lib.EVP_PKEY_new_raw_public_key(ED25519, None, public, ctypes.c_size_t(len(public))))
    context = ctypes.c_void_p(lib.EVP_MD_CTX_new())
    if not key or not context or lib.EVP_DigestVerifyInit(context, None, None, None, key) != 1:
        return False
    lengths = ctypes.c_size_t(len(signature)), ctypes.c_size_t(len(text))
    return lib.EVP_DigestVerify(context, signature, lengths[0], text, lengths[1]) == 1

def signed(payload_type, payload):
    parts = (b"DSSEv1", str(len(payload_type)).encode(), payload_type, str(len(payload)).encode(), payload)
    return b" ".join(parts)

def check_signature(root, key_file, manifest):
    pem = open(key_file, encoding="ascii", errors="replace").read().splitlines()
    try:
        public = base64.b64decode("".join(line for line in pem if not line.startswith("-----")))[-32:]
    except ValueError:
        stop(2, "The file of --key holds no public key. Give the one that `landfast keys export` wrote.")
    envelope = json.loads(open(os.path.join(root, "landfast-bundle.sig"), "rb").read())
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    if envelope["signatures"][0]["keyid"] != hashlib.sha256(public).hexdigest():
        stop(4, "The bundle is signed by a key other than that of --key. Nothing of it was used.")
    text = signed(envelope["payloadType"].encode(), payload)
    if not fits(public, signature, text) or payload != hashlib.sha256(manifest).hexdigest().encode():
        stop(6, "The bundle was altered: its signature does not match. Nothing of it was used.")

def check_target(target):
    if target is None:
        stop(9, "This bundle holds models only. Have one made with `landfast bundle create OUT --wheels`.")
    here = "cp%d%d" % sys.version_info[:2], sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if here != (target["python"], target["platform"]):
        stop(2, "The bundle's wheels are for %s on %s; this host has %s on %s. Set LANDFAST_PYTHON to another Python, "
             "or have a bundle made for it." % (target["python"], target["platform"], *here))

def copy(root, entry, out):
    with open(out, "wb") as file:
        for part in entry["parts"]:
            raw = open(os.path.join(root, *part["path"].split("/")), "rb").read()
            if hashlib.sha256(raw).hexdigest() != part["sha256"]:
                stop(6, "The bundle was altered: %s is not what was signed. Nothing of it was used." % part["path"])
            file.write(raw)

def main(root, key_file, out):
    raw = open(os.path.join(root, "landfast-bundle.json"), "rb").read()
    check_signature(root, key_file, raw)
    manifest = json.loads(raw)
    check_target(manifest.get("target"))
    for entry in manifest["entries"]:
        folder, _, name = entry["path"].partition("/")
        if folder == "wheels":
            copy(root, entry, os.path.join(out, os.path.basename(name)))

try:
    main(*sys.argv[1:])
except (KeyError, IndexError, TypeError, ValueError) as error:
    stop(6, "The bundle was altered: it cannot be read (%s)." % error)
except OSError as error:
    stop(9, "%s is missing on this medium or cannot be read: %s." % (error.filename, error.strerror))
PYTHON

# --- from a checkout and a package index ------------------------------------------------------------------------

prepare_checkout() {
  [ -f "$CHECKOUT/requirements.lock" ] || stop $EXIT_NOT_FOUND \
    "Run this script from a checkout of Landfast, or with --from BUNDLE: it brings no Landfast of its own."
  "$PYTHON" -I -c 'import ensurepip, venv' 2>/dev/null || stop $EXIT_MISSING "Python's venv module is missing." \
    "Install it (Debian, Ubuntu: apt-get install python3-venv), then run this script again."
  if [ -z "$ENGINE_WHEEL" ]; then
    choose_engine
    has_compiler || stop $EXIT_MISSING "A C++ compiler is needed to build the engine." \
      "Install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)," \
      "or name a built one with --engine-wheel, or take a bundle with --from."
  else
    [ "$(sha256 "$ENGINE_WHEEL")" = "$ENGINE_SHA256" ] || stop $EXIT_INTEGRITY \
      "$ENGINE_WHEEL is not what --engine-sha256 says; it was not used."
    say "Engine: $(basename "$ENGINE_WHEEL"), built by your site."
  fi
}

has() { command -v "$1" >/dev/null 2>&1; }

has_compiler() {
  if [ "$(uname -s)" = Darwin ]; then
    xcode-select -p >/dev/null 2>&1
  else
    has "${CXX:-c++}" || has g++ || has clang++
  fi
}

# Sets ENGINE and its build flags, and says why. A GPU counts where what builds for it is here as well.
choose_engine() {
  local why="asked for"
  if [ "$ENGINE" = auto ]; then
    if [ "$(uname -s)-$(uname -m)" = Darwin-arm64 ]; then
      ENGINE=metal why="this is an Apple processor"
    elif has nvidia-smi && nvidia-smi -L 2>/dev/null | grep -q GPU; then
      if has nvcc; then ENGINE=cuda why="there is an NVIDIA GPU, and CUDA's compiler"
      else ENGINE=cpu why="there is an NVIDIA GPU, but not CUDA's compiler nvcc, which building for it takes"; fi
    elif [ -e /dev/kfd ]; then
      if has hipcc; then ENGINE=rocm why="there is an AMD GPU, and ROCm's compiler"
      else ENGINE=cpu why="there is an AMD GPU, but not ROCm's compiler hipcc, which building for it takes"; fi
    elif has glslc && has vulkaninfo && vulkaninfo --summary 2>/dev/null | grep -Eq 'DISCRETE_GPU|INTEGRATED_GPU'; then
      ENGINE=vulkan why="there is a GPU with a Vulkan driver, and the shader compiler"
    else
      ENGINE=cpu why="no GPU that it could be built for was found"
    fi
  fi
  case $ENGINE in
    cpu) ENGINE_FLAGS= ;;
    cuda) ENGINE_FLAGS=-DGGML_CUDA=on ;;
    rocm) ENGINE_FLAGS=-DGGML_HIP=on ;;
    metal) ENGINE_FLAGS=-DGGML_METAL=on ;;
    vulkan) ENGINE_FLAGS=-DGGML_VULKAN=on ;;
  esac
  say "Engine: built for $ENGINE, since $why."
}

sha256() { "$PYTHON" -I -c 'import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], "rb"), "sha256").hexdigest())' "$1"; }

# --- putting it in place ----------------------------------------------------------------------------------------

# VERSION-HASH: everything that makes one installation differ from another is in the hash.
version_name() {
  local version sum
  if [ -n "$FROM" ]; then
    version=$(basename "$WHEELS"/landfast-*.whl | cut -d - -f 2)
    sum=$(cksum <"$WHEELS/requirements.lock")
  else
    version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$CHECKOUT/deploy/__init__.py")
    sum=$({ cd "$CHECKOUT" && cat requirements*.lock pyproject.toml && find deploy profiles tui \
      -type f ! -name '*.pyc' -exec cksum {} + | LC_ALL=C sort && echo "$ENGINE_FLAGS $ENGINE_SHA256"; } | cksum)
  fi
  echo "$version-${sum%% *}"
}

# A folder whose Python went with an upgrade of the system is not whole any more.
is_complete() { [ -f "$NEW/.complete" ] && "$NEW/bin/python" -I -c 'import deploy' 2>/dev/null; }

is_current() {
  is_complete && [ "$(readlink "$PREFIX/current" 2>/dev/null)" = "versions/$(basename "$NEW")" ] &&
    is_own_command
}

# A command of that name that somebody else put there stays, and is never taken away either.
is_own_command() { [ "$(readlink "$BIN/landfast" 2>/dev/null)" = "$PREFIX/current/bin/landfast" ]; }

require_own_command() {
  if { [ -e "$BIN/landfast" ] || [ -L "$BIN/landfast" ]; } && ! is_own_command; then
    stop $EXIT_REFUSED "$BIN/landfast exists and is not from this script. Remove it, then run this script again."
  fi
}

# Two runs at once would fill the same folder, or one take away what the other puts there: then its folder is another
# one after the wait. flock is not on macOS: there nobody waits.
one_at_a_time() {
  while :; do
    mkdir -p "$PREFIX" || stop $EXIT_NOT_WRITABLE "$PREFIX cannot be created. Give this user write access to it."
    has flock || return 0
    exec 9<"$PREFIX"
    if ! flock -n 9; then
      say "Another run of this script is at work; waiting for it."
      flock 9
    fi
    if [ "$PREFIX" -ef /dev/fd/9 ]; then return; fi
  done
}

put_in_place() {
  require_disk_space
  one_at_a_time
  if is_current; then
    CHANGED=
    return
  fi
  if ! is_complete; then fill; fi
  try_out
  : >"$NEW/.complete"
  if [ "$SCOPE" = system ]; then make_group; fi
  flip
  forget_older
  say "Landfast $(basename "$NEW") is installed in $PREFIX; the command is $BIN/landfast."
  case :$PATH: in *":$BIN:"*) ;; *) say "Add $BIN to your PATH." ;; esac
}

require_disk_space() {
  local place=$PREFIX free_kib
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  free_kib=$(df -Pk "$place" 2>/dev/null | sed -nE 's/.* ([0-9]+) +[0-9]+%.*/\1/p')
  [ -z "$free_kib" ] || [ "$((free_kib / 1024))" -ge "$NEEDED_MIB" ] || stop $EXIT_RESOURCES \
    "About 2.5 GB of free disk space is needed, and $place has $((free_kib * 1024 / 1000000)) MB. Free some, then run this script again."
}

fill() {
  rm -rf "$NEW"
  mkdir -p "$NEW" || stop $EXIT_NOT_WRITABLE "$NEW cannot be created. Give this user write access to it."
  LOG=$NEW/install.log
  : >"$LOG"
  if [ -n "$FROM" ]; then fill_from_bundle; else fill_from_index; fi
}

fill_from_bundle() {
  say "Installing from the bundle; pip's full output: $LOG"
  "$PYTHON" -I -m venv --without-pip "$NEW" >>"$LOG" 2>&1 || explain
  # pip's wheel is a program of its own: a bare host has no pip.
  PYTHONPATH=$(echo "$WHEELS"/pip-*.whl) pip_install --no-index --find-links "$WHEELS" \
    --require-hashes -r "$WHEELS/requirements.lock"
}

fill_from_index() {
  say "Installing; pip's full output: $LOG"
  "$PYTHON" -I -m venv "$NEW" >>"$LOG" 2>&1 || explain
  if [ -n "$ENGINE_WHEEL" ]; then
    without 'cmake|ninja|scikit-build-core' requirements-build.lock >"$SCRATCH/build.lock"
    pip_install --require-hashes --no-deps -r "$SCRATCH/build.lock"
    pip_install --no-index --no-deps "$ENGINE_WHEEL"
    without llama-cpp-python requirements.lock >"$SCRATCH/others.lock"
    pip_install --require-hashes --no-build-isolation --no-deps -r "$SCRATCH/others.lock"
  else
    pip_install --require-hashes -r "$CHECKOUT/requirements-build.lock"
    say "The engine is built from source, unless pip has kept one: that takes about 3 to 10 minutes."
    CMAKE_ARGS="$ENGINE_FLAGS ${CMAKE_ARGS-}" pip_install --require-hashes --no-build-isolation -r "$CHECKOUT/requirements.lock"
  fi
  mkdir "$SCRATCH/source"
  (cd "$CHECKOUT" && tar -cf - --exclude=__pycache__ profiles deploy tui pyproject.toml README.md LICENSE) | tar -xf - -C "$SCRATCH/source"
  pip_install --no-index --no-deps --no-build-isolation "$SCRATCH/source"
  "$NEW/bin/python" -P -m pip uninstall --yes cmake ninja scikit-build-core >>"$LOG" 2>&1 || explain
}

# without NAMES LOCK: the lock without the entries of these packages.
without() { awk -v names="^($1)==" '/^[a-z]/ { skip = $0 ~ names } !skip' "$CHECKOUT/$2"; }

pip_install() {
  local options=(--no-input --disable-pip-version-check --progress-bar=off)
  if [ -n "$INDEX_URL" ]; then export PIP_INDEX_URL=$INDEX_URL; fi
  if [ -n "$PROXY" ]; then export PIP_PROXY=$PROXY; fi
  if [ -n "$CERT" ]; then export PIP_CERT=$CERT; fi
  TMPDIR=$SCRATCH "$NEW/bin/python" -P -m pip install "${options[@]}" "$@" >>"$LOG" 2>&1 </dev/null || explain
}

# The cause is in pip's last words; only a failure without a known cause needs them shown.
explain() {
  local words
  words=$(tail -n 60 "$LOG")
  tail -n 15 "$LOG" >&2
  case $words in
    *"DO NOT MATCH THE HASHES"*) stop $EXIT_INTEGRITY "A package is not the one that the lock names; it was not installed." ;;
    *"No space left on device"*) stop $EXIT_RESOURCES "The disk is full. Free about 2.5 GB, then run this script again." ;;
  esac
  [ -z "$FROM" ] || stop $EXIT_INTERNAL "pip could not install from the bundle. The last lines are above; all of it: $LOG"
  case $words in
    *"connection broken by"* | *"Could not fetch URL"* | *"Max retries exceeded"* | *"from versions: none"*)
      stop $EXIT_UNREACHABLE "The package index does not answer. Check --index-url, --proxy and --cert, or pip's own settings." ;;
    *llama-cpp-python*) stop $EXIT_ENGINE "The engine could not be built. The last lines are above; all of it: $LOG" ;;
    *) stop $EXIT_INTERNAL "pip could not install. The last lines are above; all of it: $LOG" ;;
  esac
}

# What does not start here is not put in the place of what does.
try_out() {
  LOG=$NEW/install.log
  if ! (cd / && "$NEW/bin/landfast" doctor --offline >>"$LOG" 2>&1 </dev/null); then
    tail -n 15 "$LOG" >&2
    stop $EXIT_ENGINE "The new installation does not work here; what was in use before is still in use."
  fi
}

make_group() {
  if ! has groupadd || getent group $GROUP >/dev/null 2>&1; then return; fi
  groupadd --system $GROUP
  : >"$PREFIX/made-group"
}

# Replaces a link in one step: there is no moment without a working command.
link() { "$PYTHON" -I -c 'import os, sys; t = sys.argv[2] + ".new"; os.path.lexists(t) and os.unlink(t); os.symlink(sys.argv[1], t); os.replace(t, sys.argv[2])' "$1" "$2"; }

flip() {
  local now
  now=$(readlink "$PREFIX/current" 2>/dev/null || true)
  mkdir -p "$BIN"
  require_own_command
  if [ -n "$now" ] && [ "$now" != "versions/$(basename "$NEW")" ]; then link "$now" "$PREFIX/previous"; fi
  link "versions/$(basename "$NEW")" "$PREFIX/current"
  link "$PREFIX/current/bin/landfast" "$BIN/landfast"
}

# The version before this one stays, for the way back.
forget_older() {
  local kept folder
  kept=$(basename "$(readlink "$PREFIX/previous" 2>/dev/null || true)")
  for folder in "$PREFIX"/versions/*; do
    case $(basename "$folder") in "$(basename "$NEW")" | "$kept") ;; *) rm -rf "$folder" ;; esac
  done
}

landfast() {
  if [ "$SCOPE" = system ]; then "$BIN/landfast" --system "$@"; else "$BIN/landfast" "$@"; fi
}

# `landfast install` runs the pip of its own folder, which finds index and certificates there. What holds a password
# is not written down for everybody to read.
remember_index() {
  local settings=$NEW/pip.conf cert=$CERT
  case $INDEX_URL in *@*) return ;; esac
  [ -n "$INDEX_URL$CERT" ] || return 0
  case $CERT in '' | /*) ;; *) cert=$PWD/$CERT ;; esac
  {
    echo "[global]"
    if [ -n "$INDEX_URL" ]; then echo "index-url = $INDEX_URL"; fi
    if [ -n "$cert" ]; then echo "cert = $cert"; fi
  } >"$SCRATCH/pip.conf"
  if cmp -s "$SCRATCH/pip.conf" "$settings"; then return; fi
  CHANGED=yes
  if [ -n "$DRY_RUN" ]; then
    say "Would keep --index-url and --cert for \`landfast install\`."
  else
    cp "$SCRATCH/pip.conf" "$settings"
  fi
}

# The bundle is signed by the key that was named: whoever trusts the one trusts the other.
trust_key() {
  if [ -z "$FROM" ] || landfast bundle inspect --json "$FROM" 2>/dev/null | grep -q '"trusted": true'; then return; fi
  CHANGED=yes
  if [ -n "$DRY_RUN" ]; then
    say "Would trust bundles that are signed by the key of --key."
  else
    landfast keys trust --yes "$KEY" >&2
  fi
}

bring_model() {
  [ -n "$MODEL" ] || return 0
  if [ -n "$DRY_RUN" ]; then
    say "Would install the model $MODEL where it is not installed yet."
    return
  fi
  local words=(install --yes) before
  if [ "$MODEL" != best ]; then words+=("$MODEL"); fi
  if [ -n "$FROM" ]; then words+=(--from "$FROM"); fi
  before=$(landfast models --json)
  landfast "${words[@]}" >&2
  [ "$(landfast models --json)" = "$before" ] || CHANGED=yes
}

# --- going back -------------------------------------------------------------------------------------------------

rollback() {
  local now before
  if [ -d "$PREFIX" ] && [ -w "$PREFIX" ]; then one_at_a_time; fi
  now=$(readlink "$PREFIX/current" 2>/dev/null || true)
  before=$(readlink "$PREFIX/previous" 2>/dev/null || true)
  if [ -z "$now" ] || [ -z "$before" ] || [ ! -f "$PREFIX/$before/.complete" ]; then
    stop $EXIT_NOT_FOUND "There is no version to go back to; nothing was changed."
  fi
  PYTHON=$PREFIX/$before/bin/python
  if [ -z "$DRY_RUN" ]; then
    link "$before" "$PREFIX/current"
    link "$now" "$PREFIX/previous"
  fi
  say "$(if [ -n "$DRY_RUN" ]; then echo "Would go"; else echo "Went"; fi) back to Landfast $(basename "$before")."
}

# --- taking it away ---------------------------------------------------------------------------------------------

uninstall() {
  local places=("$PREFIX") place found=()
  if [ -d "$PREFIX" ] && [ -w "$PREFIX" ]; then one_at_a_time; fi
  if is_own_command; then places+=("$BIN/landfast"); fi
  if [ "$SCOPE" = system ]; then
    for place in "${UNITS[@]}"; do places+=("/etc/systemd/system/$place"); done
  fi
  if [ -z "$KEEP_MODELS" ]; then
    if [ "$SCOPE" = system ]; then
      places+=(/var/lib/landfast /etc/landfast)
    else
      places+=("${XDG_DATA_HOME:-$HOME/.local/share}/landfast" "${XDG_STATE_HOME:-$HOME/.local/state}/landfast")
      places+=("${XDG_CONFIG_HOME:-$HOME/.config}/landfast")
      if [ "$(uname -s)" = Darwin ]; then places+=("$HOME/Library/Application Support/landfast"); fi
    fi
  fi
  for place in "${places[@]}"; do
    if [ -e "$place" ] || [ -L "$place" ]; then found+=("$place"); fi
  done
  if [ ${#found[@]} = 0 ]; then
    say "Landfast is not installed for this ${SCOPE/system/host}; nothing was changed."
    return
  fi
  if [ -n "$DRY_RUN" ]; then
    say "Would remove: ${found[*]}"
    return
  fi
  write_receipt "${found[@]}"
  if [ "$SCOPE" = system ]; then stop_units; fi
  if [ -f "$PREFIX/made-group" ] && [ -z "$KEEP_MODELS" ] && ! groupdel $GROUP; then
    say "The group $GROUP stays: it is the own group of an account."
  fi
  rm -rf "${found[@]}"
  if [ "$SCOPE" = system ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
  say "Landfast is removed. The receipt is $RECEIPT."
}

# What [drift] of a site file put there has nothing to start any more.
stop_units() {
  if [ -d /run/systemd/system ] && [ -e "/etc/systemd/system/${UNITS[1]}" ]; then
    systemctl stop "${UNITS[@]:1}" || true
  fi
}

# What was there, file by file with its size, before it went.
write_receipt() {
  if [ -z "$RECEIPT" ]; then
    if [ "$SCOPE" = system ]; then RECEIPT=/var/log/landfast-uninstalled.txt; else RECEIPT=$HOME/landfast-uninstalled.txt; fi
  fi
  {
    echo "Landfast was removed from this host on $(date -u +%Y-%m-%dT%H:%M:%SZ) by $(id -un)."
    echo "Version: $(basename "$(readlink "$PREFIX/current" 2>/dev/null || echo unknown)")"
    echo "Kept: $(if [ -n "$KEEP_MODELS" ]; then echo "models, keys and settings"; else echo nothing; fi)"
    echo "Removed, with sizes in bytes:"
    find "$@" -type d -o -exec ls -ln {} + | awk '{ size = $5; $1 = $2 = $3 = $4 = $5 = $6 = $7 = $8 = ""; sub(/^ +/, ""); print size "\t" $0 }'
  } >"$RECEIPT" || stop $EXIT_NOT_WRITABLE "The receipt $RECEIPT cannot be written; nothing was removed. Choose another place with --receipt."
}

main "$@"
