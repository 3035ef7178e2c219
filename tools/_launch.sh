# What the launch scripts share; they source it.

unset CDPATH
MMVKD_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="${MMVKD_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"

usage() {
    echo "usage: $*" >&2
    exit 2
}

# $PYTHON, else the active python if it has MMAction2, else the checkout's .venv.
find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        return
    fi
    for name in python python3 "${MMVKD_ROOT}/.venv/bin/python"; do
        if "${name}" -c 'import importlib.util as u, sys
sys.exit(not (u.find_spec("mmaction") and u.find_spec("mmengine")))' 2>/dev/null; then
            PYTHON=${name}
            return
        fi
    done
    echo 'error: no python with MMAction2; activate one, set PYTHON, or run' \
        'tools/quickstart.sh, which makes .venv' >&2
    exit 1
}

has_accelerator() {
    case "${CUDA_VISIBLE_DEVICES-unset}" in '' | -1) return 1 ;; esac
    [ -e /dev/nvidiactl ] || [ -e /dev/kfd ] || [ -e /dev/davinci_manager ]
}

# run_processes COUNT SCRIPT ARGUMENTS…: this node's share of the run, by torchrun.
run_processes() {
    local count=$1 cores place
    shift
    case ${count} in '' | *[!0-9]* | 0) usage "the number of processes is '${count}'" ;; esac
    find_python
    if [ -z "${OMP_NUM_THREADS:-}" ] && ! has_accelerator; then
        cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
        export OMP_NUM_THREADS=$((cores > count ? cores / count : 1))
    fi
    if [ "${NNODES:-1}" != 1 ] && [ -z "${MASTER_ADDR:-}" ]; then
        usage "NNODES=${NNODES} needs MASTER_ADDR, the address of the first node"
    fi
    if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
        # any free port, so that runs on one machine do not meet
        place=(--standalone --local-addr "${MASTER_ADDR:-127.0.0.1}")
    else
        place=(--nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}"
            --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-${MASTER_PORT:-29500}}")
    fi
    # torchrun without its own trace, which says nothing of why a process failed; the
    # reason stands last, once. In the place of this shell, so that signals reach it.
    exec "${PYTHON}" -c 'import os, pathlib, sys, tempfile
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main
with tempfile.TemporaryDirectory() as folder:
    reason = pathlib.Path(folder, "line")
    os.environ["MMVKD_ERROR_FILE"] = str(reason)
    try:
        main()
    except ChildFailedError:
        if reason.is_file():
            sys.stderr.write(reason.read_text())
        sys.exit(1)' "${place[@]}" --nproc-per-node "${count}" "$@" --launcher pytorch
}

# run_slurm PARTITION JOB_NAME SCRIPT ARGUMENTS…: GPUS tasks by srun.
run_slurm() {
    local partition=$1 name=$2 gpus=${GPUS:-8} per_node resources=()
    shift 2
    find_python
    per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    # on nodes without GPUs: GPU_RESOURCE=none
    if [ "${GPU_RESOURCE:-gpu}" != none ]; then
        resources=("--gres=${GPU_RESOURCE:-gpu}:${per_node}")
    fi
    # shellcheck disable=SC2086  # SRUN_ARGS holds several words
    exec srun -p "${partition}" --job-name="${name}" ${resources[@]+"${resources[@]}"} \
        --ntasks="${gpus}" --ntasks-per-node="${per_node}" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "${PYTHON}" -u "$@" --launcher slurm
}
