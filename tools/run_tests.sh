#!/usr/bin/env bash
# Linter, type checker and all tests, offline and in random order.
#
#   bash tools/run_tests.sh [pytest arguments]
#
# Makes .venv the first time ($PYTHON names the interpreter, $VENV another place) and
# reuses it afterwards. Runs every step and fails if one of them failed. pytest prints
# the seed of its order; the argument --randomly-seed=N repeats it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_venv.sh"
ensure_default_venv
cd "$ROOT"

# Nothing below may need the network.
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TRANSFORMERS_OFFLINE=1
export WANDB_MODE=offline PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Small tensors: more threads only cost time.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MPLBACKEND=Agg

failed=()
step() {
    local name=$1
    shift
    say "$name"
    "$@" || failed+=("$name")
}

step 'ruff check' "$PYTHON" -m ruff check .
step 'ruff format --check' "$PYTHON" -m ruff format --check .
step 'mypy' "$PYTHON" -m mypy
step 'pytest' "$PYTHON" -m pytest --numprocesses "$(getconf _NPROCESSORS_ONLN)" "$@"

if [ ${#failed[@]} -gt 0 ]; then
    die "failed: $(printf '%s; ' "${failed[@]}")"
fi
say 'everything passed'
