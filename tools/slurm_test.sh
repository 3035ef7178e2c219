#!/usr/bin/env bash
# Test under Slurm; GPUS=8, GPUS_PER_NODE, CPUS_PER_TASK=5 and SRUN_ARGS say with what.
set -euo pipefail
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 4 ] || usage \
    'tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]'
run_slurm "$1" "$2" "$(dirname "${BASH_SOURCE[0]}")/test.py" "$3" "$4" "${@:5}"
