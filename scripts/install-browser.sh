#!/usr/bin/env bash
# Makes sure that this machine has Chromium and its WebDriver, which the tests of the page
# drive. Installs them on Debian and Ubuntu, as root or with passwordless sudo. Elsewhere it
# says so; with CI=true, that is an error. Safe to repeat.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

give_up() {
    say "$1: the tests of the page are skipped"
    [[ ${CI:-} != true ]]
    exit
}

found() {
    command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null
}

found && exit
as_root=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || give_up "chromium and chromedriver are missing"
    as_root=(sudo -n)
fi
command -v apt-get >/dev/null || give_up "chromium and chromedriver are missing"
say "installing chromium and chromium-driver"
export DEBIAN_FRONTEND=noninteractive
install=("${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium chromium-driver)
"${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -qq && "${install[@]}" >/dev/null; } ||
    give_up "chromium and chromium-driver cannot be installed"
found || give_up "chromium and chromedriver are missing"
