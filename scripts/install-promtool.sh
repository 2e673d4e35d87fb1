#!/usr/bin/env bash
# Prints the path of promtool, which checks and evaluates the rules of deploy/prometheus. If it is not installed, unpacks
# it from Debian's package prometheus into target/, and starts and installs no service. Where that cannot be done it says
# so and prints nothing; with CI=true, that is an error. Safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

give_up() {
    say "$1: the rules of deploy/prometheus are not checked"
    [[ ${CI:-} != true ]]
    exit
}

if command -v promtool; then
    exit
fi
tools=${CARGO_TARGET_DIR:-$PWD/target}/promtool
if [[ ! -x $tools/usr/bin/promtool ]]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || give_up "promtool is missing"
    say "fetching promtool"
    mkdir -p "$tools"
    work=$(mktemp -d "$tools/fetch-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    # Root's apt-get fetches as the user _apt, who cannot write here.
    fetch() { (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2); }
    fetch || { apt-get update -qq >&2 && fetch; } || give_up "the package prometheus cannot be fetched"
    dpkg-deb --extract "$work"/prometheus_*.deb "$work/files"
    mkdir -p "$tools/usr/bin"
    # Several tests may run this script at once.
    mv "$work/files/usr/bin/promtool" "$tools/usr/bin/promtool"
fi
printf '%s\n' "$tools/usr/bin/promtool"
