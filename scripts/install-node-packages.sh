#!/usr/bin/env bash
# Installs the packages that the TypeScript client's tests and examples need, as their
# package-lock.json says, and builds the client. Without npm or a registry it says so and fails.
# Safe to repeat: what is up to date is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v npm >/dev/null || { echo "npm is missing" >&2; exit 1; }
node --eval 'process.exit(Number.parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "Node 20 or newer is needed" >&2; exit 1; }

install() {
    local folder=$1
    # npm writes this file last.
    local made=$folder/node_modules/.package-lock.json
    [[ $made -nt $folder/package-lock.json && $made -nt $folder/package.json ]] && return
    npm ci --silent --no-audit --no-fund --prefix "$folder" >&2
    touch "$made"
}

install clients/typescript
node clients/typescript/scripts/build.mjs
install examples/typescript
examples/typescript/node_modules/.bin/tsc --project examples/typescript
