#!/usr/bin/env bash
# Writes the three locks from pyproject.toml: every package with its hashes, for all platforms, no index address.
# Keeps the versions that still fit; scripts/lock.sh --upgrade takes the newest, --upgrade-package NAME one of them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
export UV_CUSTOM_COMPILE_COMMAND=scripts/lock.sh
find_python
if ! command -v uv >/dev/null; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  "$PYTHON" -m venv "$scratch"
  "$scratch/bin/python" -m pip install --quiet uv
  PATH="$scratch/bin:$PATH"
fi

compile() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links "$@"
}

compile "$@" pyproject.toml -o requirements.lock
compile "$@" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
# The tools that build the engine and the project go in first, so that pip needs no unpinned build environment.
printf '%s\n' pip setuptools scikit-build-core cmake ninja | compile "$@" - -c requirements.lock -o requirements-build.lock
