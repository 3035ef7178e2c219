# Sourced by the scripts beside it: makes or reuses a virtual environment.
#
#   ensure_venv DIR PYTHON CONSTRAINTS REQUIREMENTS...
#
# leaves in DIR the requirements, under the constraints, and this checkout as an
# editable install. A stamp in DIR remembers what was asked for: while that stays the
# same, a second call takes no time and no network.

unset CDPATH
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the first of $PYTHON, python3.11, python3.12, python3 that can hold the stack.
find_base_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3 python; do
        if "$candidate" -c 'import ensurepip, sys, venv
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
        [ -z "${PYTHON:-}" ] || break
    done
    die "the tested stack needs Python 3.11 or 3.12 with venv and pip;" \
        "found neither${PYTHON:+ in PYTHON=$PYTHON}. Set PYTHON=/path/to/python3.11"
}

ensure_venv() {
    local dir=$1 python=$2 constraints=$3 wanted stamp file
    shift 3
    stamp="$dir/.stamp"
    wanted="$({ echo "$ROOT"; "$python" -V; cat "$ROOT/setup.py" "$constraints" "$@"; } |
        cksum)"
    if [ -x "$dir/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    rm -f "$stamp"
    say "[1/3] virtual environment in $dir ($("$python" -V))"
    if ! "$dir/bin/python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear "$dir" || die "$python could not make $dir"
    fi
    say "[2/3] packages (torch with CUDA is several GB; the first time takes minutes)"
    local arguments=()
    for file in "$@"; do arguments+=(-r "$file"); done
    "$dir/bin/python" -m pip install --disable-pip-version-check \
        "${arguments[@]}" -c "$constraints" ||
        die "pip could not install the requirements into $dir; call again to go on"
    say "[3/3] this checkout, editable"
    "$dir/bin/python" -m pip install --disable-pip-version-check --quiet \
        --no-deps --no-build-isolation --editable "$ROOT" ||
        die "pip could not install $ROOT into $dir"
    printf '%s\n' "$wanted" >"$stamp"
}

# The environment of quickstart.sh and run_tests.sh: .venv, or $VENV. Afterwards $PYTHON
# is its interpreter, for this script and for the scripts that it calls.
ensure_default_venv() {
    VENV="${VENV:-$ROOT/.venv}"
    local python
    python="$(find_base_python)" || exit 1
    ensure_venv "$VENV" "$python" "$ROOT/requirements/constraints.txt" \
        "$ROOT/requirements/runtime.txt" "$ROOT/requirements/tests.txt"
    export PYTHON="$VENV/bin/python"
}
