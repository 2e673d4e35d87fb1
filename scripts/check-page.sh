#!/usr/bin/env bash
# Checks the types of the page (JSDoc in src/web/assets) with TypeScript from npm. As root on
# Debian and Ubuntu it installs npm if that is missing. Elsewhere it says that nothing is
# checked; with CI=true, that is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

typescript=7.0.2

if ! command -v npm >/dev/null && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing npm" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends npm; } >/dev/null || true
fi
if ! command -v npm >/dev/null; then
    echo "npm is missing: the types of the page are not checked" >&2
    [[ ${CI:-} != true ]]
    exit
fi
tools=target/npm
if [[ $(cat "$tools/node_modules/typescript/package.json" 2>/dev/null) != *"\"version\": \"$typescript\""* ]]; then
    mkdir -p "$tools"
    npm install --silent --no-audit --no-fund --no-save --prefix "$tools" "typescript@$typescript" >&2
fi
"$tools/node_modules/.bin/tsc" --project src/web/assets/jsconfig.json
echo "the types of the page are right" >&2
