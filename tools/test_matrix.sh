#!/usr/bin/env bash
# All tests in the oldest and in the newest stack that mmvkd supports.
#
#   bash tools/test_matrix.sh [pytest arguments]
#
# Builds two environments below .matrix/ (or $MATRIX): Python 3.9 with torch 2.4 and
# NumPy 1.26, and Python 3.12 with the newest torch, NumPy 2 and the newest OpenCV.
# $PY39 and $PY312 name the interpreters, $CORNERS one of the two ("py39 py312").
# Several GB each; not part of the regular tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_venv.sh"
MATRIX="${MATRIX:-$ROOT/.matrix}"
mkdir -p "$MATRIX"

upstream='mmengine==0.10.7
mmcv-lite==2.1.0
mmaction2==1.2.0
mmpretrain==1.2.0
decord==0.6.0'

printf '%s\n' "$upstream" 'torch==2.4.*' 'torchvision==0.19.*' 'numpy==1.26.*' \
    'opencv-python<4.12' 'opencv-contrib-python<4.12' 'setuptools<81' \
    >"$MATRIX/py39.txt"
# The newest of everything else is what this corner is for; setuptools too, which has
# no pkg_resources any more.
printf '%s\n' "$upstream" 'numpy>=2' 'setuptools>=82' >"$MATRIX/py312.txt"

export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TRANSFORMERS_OFFLINE=1
# Small tensors: more threads only cost time.
export WANDB_MODE=offline OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MPLBACKEND=Agg

failed=()
for corner in ${CORNERS:-py39 py312}; do
    case $corner in
        py39) interpreter="${PY39:-python3.9}" ;;
        py312) interpreter="${PY312:-python3.12}" ;;
        *) die "CORNERS has '$corner'; there are py39 and py312" ;;
    esac
    "$interpreter" -c 'import venv, ensurepip' 2>/dev/null ||
        die "corner $corner needs $interpreter; name another by ${corner^^}=/path/to/it"
    ensure_venv "$MATRIX/$corner" "$interpreter" "$MATRIX/$corner.txt" \
        "$ROOT/requirements/runtime.txt" "$ROOT/requirements/tests.txt"
    python="$MATRIX/$corner/bin/python"
    say "pytest on $corner"
    "$python" -m pip list --disable-pip-version-check 2>/dev/null | grep -iE \
        '^(torch|torchvision|numpy|opencv-python|mmengine|mmcv-lite|mmaction2) ' || true
    (cd "$ROOT" && PIP_NO_INDEX=1 "$python" -m pytest -p no:cacheprovider \
        --numprocesses "$(getconf _NPROCESSORS_ONLN)" "$@") || failed+=("$corner")
done

if [ ${#failed[@]} -gt 0 ]; then
    die "failed: ${failed[*]}"
fi
say "passed: ${CORNERS:-py39 py312}"
