#!/usr/bin/env bash
# Mends what the linter can mend, and formats.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

set_up dev
cd "$ROOT"
"$VENV/bin/ruff" check --fix-only
"$VENV/bin/ruff" format
