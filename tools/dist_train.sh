#!/usr/bin/env bash
# Train with several processes on this machine: GPUs, or without them the CPU.
# Several nodes: on each, NNODES=2 NODE_RANK=0|1 MASTER_ADDR=… [PORT=29500]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 2 ] || usage 'tools/dist_train.sh CONFIG PROCESSES [options of train.py]'
run_processes "$2" "$(dirname "${BASH_SOURCE[0]}")/train.py" "$1" "${@:3}"
