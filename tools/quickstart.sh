#!/usr/bin/env bash
# From a bare machine to a distilled student: install, make videos, train, distill, score.
#
#   bash tools/quickstart.sh
#
# Makes .venv the first time ($PYTHON names the interpreter). A second call reuses what
# is done, and one that was stopped goes on where it was.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_venv.sh"
ensure_default_venv
cd "$ROOT"
out=work_dirs/studies/quickstart

say 'Motions: generated videos of 14 motions'
"$PYTHON" tools/data/make_motions.py data/motions --workers "$(nproc)"

say "pretext tasks, teachers from them, the student alone and distilled ($out)"
"$PYTHON" tools/study.py configs/studies/quickstart.py

say "the distilled student again, by MMAction2's own test.py on the plain student's config"
checkpoint=$(ls -t $out/runs/graph-seed0/best_*.pth | head -n 1)
mmaction=$("$PYTHON" -c 'import importlib.util as u
print(u.find_spec("mmaction").submodule_search_locations[0])')
MMVKD_SIZE=32 "$PYTHON" "$mmaction/.mim/tools/test.py" configs/students/tsm_r18.py \
    "$checkpoint" --work-dir "$out/mmaction2" >"$out/mmaction2.log" 2>&1 ||
    { tail -n 20 "$out/mmaction2.log"; die "MMAction2's test.py failed"; }
grep -o 'acc/top1: [0-9.]*' "$out/mmaction2.log" | tail -n 1 | sed "s/^/MMAction2's  /"
printf 'ours        acc/top1: %.4f\n' "$("$PYTHON" -c 'import json, sys
print(json.load(open(sys.argv[1]))["acc/top1"])' "$out/runs/graph-seed0/metrics.json")"

say "the table, and the pictures beside it in $out (report.html is one page of both)"
cat "$out/report.md"
