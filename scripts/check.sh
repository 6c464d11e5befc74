#!/usr/bin/env bash
# Lint, format, types and the contracts between the rooms. Changes nothing; scripts/fix.sh mends what can be mended.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

set_up dev
cd "$ROOT"
export PATH="$VENV/bin:$PATH"
ruff check
ruff format --check
mypy
lint-imports
