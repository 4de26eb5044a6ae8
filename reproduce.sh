#!/usr/bin/env bash
# Makes an environment if there is none, then hands over to `python -m cra_lib`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
./reproduce.sh [DATASET] [OPTIONS]   from the data to the report; DATASET is shapes (default),
                                     nextgqa or star
./reproduce.sh setup                 only make the environment
./reproduce.sh test [PYTEST OPTIONS] run the test suite
./reproduce.sh check [DATASET]       compare the obtained numbers with the expected ones
./reproduce.sh lint                  run the linter and the format check
./reproduce.sh docs                  build the site of docs, API and finished runs into site/
./reproduce.sh bench [NAME]          measure speed and memory (tests/benchmarks/bench_NAME.py)
./reproduce.sh --help                this text

Options of a reproduction
  --profile quick|paper   small or full size (shapes: quick; nextgqa, star: paper), or a YAML file,
                          whose results go to a folder named after it (docs/training.md);
            frozen        the models on a frozen language model (FrozenBiLM)
            annotation    nothing is trained: what the annotation alone shows (nextgqa, star: chosen
                          where no frame features and no videos are found)
  --variants A,B          which models, such as cra,ng+,no-gsg (default: the profile's)
  --seeds 1,2             which seeds (default: the profile's)
  --cores N               CPU cores to use (default: all)
  --data DIR              folder of the datasets, or of this dataset (default: data)
  --results DIR           where the products go (default: results/DATASET)
  --train-from nextoe     NExT-GQA: build training questions from the open-ended edition
  --weights FOLDER        weights of the frame encoder, where features are extracted
  --set SECTION.NAME=VALUE  a setting for all runs; may be repeated. The results go to a folder
                          named after the settings unless --results says where
  --force                 run every stage again
  --executor NAME         Snakemake executor, such as slurm (default: this machine)
  --dry-run               show the plan and stop

Exit status
  0 all done   1 a cell failed (its notebook is kept)   2 bad or missing input
  3 numbers outside their interval (check)   4 a kernel died, most often for want of memory

Environment: an active one (venv or conda) that satisfies pyproject.toml is used as it is. Else
conda, mamba or micromamba makes .conda with the Python of environment.yml; else python3 makes
.venv. Both then get the packages of requirements.lock, the versions that were tested, each
compared with its hash. CRA_ENV=venv or CRA_ENV=conda chooses. Once made, no network is needed.
TEXT
}

refuse() {
    echo "reproduce.sh: $1; see ./reproduce.sh --help" >&2
    exit 2
}

say() { echo "reproduce.sh: $*" >&2; }

# Refuse misspelt words before anything is installed.
command=reproduce
case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    setup | test | check | lint | docs | bench) command=$1; shift ;;
    shapes | nextgqa | star | "" | -*) ;;
    *) refuse "unknown command or dataset '$1'" ;;
esac
if [[ $command == reproduce ]]; then
    for word in "$@"; do
        case "${word%%=*}" in
            -h | --help) usage; exit 0 ;;
            --profile | --variants | --seeds | --cores | --data | --results | --force) ;;
            --executor | --dry-run | --train-from | --weights | --set) ;;
            -*) refuse "unknown option '$word'" ;;
        esac
    done
fi

# Both files and the interpreter: a changed lock or a moved clone makes the environment again.
stamp_of() { cat requirements.lock environment.yml pyproject.toml <(pwd) | cksum; }
is_ready() { [[ -x $1/bin/python && $(cat "$1/.ready" 2>/dev/null) == "$(stamp_of)" ]]; }

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
        then
            echo "$name"
            return
        fi
    done
    refuse "no Python 3.11 to 3.13 found (apt install python3.11 python3.11-venv, or conda)"
}

make_conda() {
    say "making .conda with $1, then installing requirements.lock (some minutes, 8 GB)"
    "$1" env create --yes --quiet --prefix .conda --file environment.yml </dev/null >&2 &&
        install_lock .conda/bin/python
}

make_venv() {
    local python
    python=$(find_python) || exit 2
    say "making .venv with $python, then installing requirements.lock (about a minute, 7 GB)"
    "$python" -m venv .venv || refuse "$python cannot make a venv (apt install python3-venv)"
    install_lock .venv/bin/python
}

# Everything that the lock lists and nothing else; a file whose hash differs is refused.
install_lock() {
    local one=(-m pip install --quiet --require-hashes --no-deps)
    if "$1" "${one[@]}" -r <(lock_entry uv) >&2; then
        # Compiled once here: processes that may not write beside the packages start in half the time.
        "$1" -m uv pip install --quiet --compile-bytecode --python "$1" --require-hashes --no-deps \
            -r requirements.lock >&2 || return 1
    else
        say "uv could not be had; going on with pip (some minutes)"
        "$1" "${one[@]}" -r requirements.lock >&2 || return 1
    fi
    "$1" -m pip install --quiet --no-deps --no-build-isolation -e . >&2
}

# One package of the lock, with its hashes.
lock_entry() {
    awk -v name="$1==" 'index($0, name) == 1 {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock
}

find_conda() {
    local name
    for name in mamba conda micromamba; do
        if command -v "$name" >/dev/null; then
            echo "$name"
            return
        fi
    done
}

# The active environment's python, if it has all that pyproject.toml asks for.
find_active() {
    local prefix
    for prefix in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
        if [[ -n $prefix && -x $prefix/bin/python ]] &&
            "$prefix/bin/python" workflow/environment.py full dev >/dev/null 2>&1; then
            echo "$prefix/bin/python"
            return
        fi
    done
    return 1
}

# Prints the python to use, after making its environment where there is none.
environment() {
    local prefix conda
    cd "$root"
    [[ -z ${CRA_ENV:-} ]] && find_active && return
    for prefix in .venv .conda; do
        if [[ ${CRA_ENV:-${prefix#.}} == "${prefix#.}" ]] && is_ready "$prefix"; then
            echo "$root/$prefix/bin/python"
            return
        fi
    done
    conda=$([[ ${CRA_ENV:-} == venv ]] || find_conda)
    prefix=.conda
    if [[ -z $conda ]] || ! make_conda "$conda"; then
        [[ ${CRA_ENV:-} == conda ]] && refuse "conda did not make the environment"
        prefix=.venv
        make_venv || refuse "the environment could not be made; is a package registry in reach?"
    fi
    stamp_of >"$prefix/.ready"
    echo "$root/$prefix/bin/python"
}

python=$(environment)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
case $command in
    setup) say "the environment is ready: $python" ;;
    test) cd "$root" && exec "$python" -m pytest -n "${CRA_TEST_WORKERS:-auto}" --dist loadfile \
        --no-loadscope-reorder "$@" ;;
    lint) cd "$root" && "$python" -m ruff check . && exec "$python" -m ruff format --check . ;;
    docs)
        cd "$root"
        "$python" workflow/environment.py docs || refuse "run: pip install 'cra-lib[docs]'"
        NO_MKDOCS_2_WARNING=1 exec "$python" -m mkdocs build --strict --quiet "$@"
        ;;
    bench)
        cd "$root"
        for script in tests/benchmarks/bench_"${1:-*}".py; do
            [[ -f $script ]] || refuse "unknown benchmark '$1'"
            "$python" "$script"
        done
        ;;
    check) exec "$python" -m cra_lib check "$@" ;;
    reproduce) exec "$python" -m cra_lib reproduce "$@" ;;
esac
