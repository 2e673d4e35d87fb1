#!/usr/bin/env bash
# Makes a virtual environment in the folder $1 with the client of clients/python, built as a
# wheel, and with what its tests need. Prints the environment's Python. Does nothing if the
# environment is up to date. RUNTRACED_PYTHON names another Python than python3.
set -euo pipefail
cd "$(dirname "$0")/../clients/python"

venv=$1
python=$venv/bin/python
state=$(cat pyproject.toml tests/requirements.txt $(find src -name '*.py' | sort) | cksum)
if [[ $(cat "$venv/complete" 2>/dev/null) != "$state" ]]; then
    "${RUNTRACED_PYTHON:-python3}" -m venv --clear "$venv"
    pip=("$python" -m pip --quiet --disable-pip-version-check --retries 5)
    # A wheel of its own copy: a build leaves files beside the sources.
    cp -R . "$venv/package"
    "${pip[@]}" wheel --no-deps --wheel-dir "$venv/wheel" "$venv/package" >&2
    "${pip[@]}" install --no-deps "$venv"/wheel/runtraced-*.whl >&2
    "${pip[@]}" install --only-binary :all: -r tests/requirements.txt >&2
    printf '%s\n' "$state" > "$venv/complete"
fi
printf '%s\n' "$python"
