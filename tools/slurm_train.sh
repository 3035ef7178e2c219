#!/usr/bin/env bash
# Train under Slurm; GPUS=8, GPUS_PER_NODE, CPUS_PER_TASK=5 and SRUN_ARGS say with what.
set -euo pipefail
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 3 ] || usage 'tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]'
run_slurm "$1" "$2" "$(dirname "${BASH_SOURCE[0]}")/train.py" "$3" "${@:4}"
