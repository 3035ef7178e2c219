#!/usr/bin/env bash
# From a bare machine to a distilled student: install, make videos, train, distil, score.
#
#   bash tools/quickstart.sh
#
# Makes .venv the first time ($PYTHON names the interpreter). A second call reuses what
# is done; a killed one goes on where it was.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_venv.sh"
ensure_default_venv
cd "$ROOT"
export MMVKD_DATA=motions MMVKD_SIZE=32

say 'Motions: generated videos of 14 motions'
"$PYTHON" tools/data/make_motions.py data/motions --workers "$(nproc)"

say 'teachers, the student alone, the distilled student (work_dirs/studies/quickstart)'
"$PYTHON" tools/study.py configs/studies/quickstart.py

say "the distilled student again, by MMAction2's own tools/test.py on the plain config"
