#!/usr/bin/env bash
# Sets up all that the checks need and passes them: lint, types, contracts, then every test with coverage.
# Arguments go to pytest: scripts/test.sh tests/profiles -k cgroup
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$ROOT/scripts/check.sh"
cd "$ROOT"
exec "$VENV/bin/python" -m pytest --cov --cov-report=term "$@"
