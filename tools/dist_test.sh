#!/usr/bin/env bash
# Test with several processes on this machine: GPUs, or without them the CPU.
# Several nodes: on each, NNODES=2 NODE_RANK=0|1 MASTER_ADDR=… [PORT=29500]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 3 ] || usage 'tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]'
run_processes "$3" "$(dirname "${BASH_SOURCE[0]}")/test.py" "$1" "$2" "${@:4}"
