#!/usr/bin/env bash
# Does what Containerfile says without a container engine: an empty folder, an empty environment,
# its COPY, RUN and ENTRYPOINT lines in their order. Then a package whose hash in the lock is not
# that of its file must be refused. Needs a package registry; takes minutes.
#   tests/environment/container.sh [FOLDER]
set -euo pipefail
source=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
place=${1:-$(mktemp -d)}
mkdir -p "$place"
[[ -z $(ls -A "$place") ]] || { echo "$place is not empty" >&2; exit 2; }

# Settings that say where the registry is are the only thing taken along.
keep=("HOME=$HOME" "PATH=$PATH" "LANG=C.UTF-8")
while IFS= read -r line; do
    [[ $line =~ ^(PIP_|UV_|SSL_|REQUESTS_|HTTPS?_PROXY|https?_proxy) ]] && keep+=("$line")
done < <(env)
inside() { (cd "$place" && env -i "${keep[@]}" bash -c "$1"); }

while IFS= read -r line; do
    case $line in
        "COPY . .") git -C "$source" ls-files -z | (cd "$source" && xargs -0 cp --parents -t "$place") ;;
        "RUN "*) inside "${line#RUN }" ;;
        "ENV "*) keep+=("${line#ENV }") ;;
        "ENTRYPOINT "*) inside "./reproduce.sh --dry-run" ;;
        "" | "#"* | "FROM "* | "WORKDIR "*) ;;
        *) echo "Containerfile: cannot do '$line'" >&2; exit 2 ;;
    esac
done <"$source/Containerfile"
inside ".venv/bin/python workflow/environment.py full dev" && echo "container steps: ok ($place)"

awk '/^typer==/ {on = 1} on {print} on && !/\\$/ {exit}' "$place/requirements.lock" |
    sed -E 's/sha256:[0-9a-f]{8}/sha256:00000000/' >"$place/flipped.txt"
for installer in pip "uv pip"; do
    if inside ".venv/bin/python -m $installer install --quiet --no-deps --require-hashes \
        --target flipped -r flipped.txt" 2>"$place/refusal.txt"; then
        echo "$installer took a file whose hash is not in the lock" >&2
        exit 1
    fi
    grep -i -m 1 "hash" "$place/refusal.txt"
done
echo "a flipped hash: refused"
