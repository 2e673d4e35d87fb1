#!/usr/bin/env bash
# Tries the packages in dist/ as users do: the Debian package in a bare Debian (debootstrap, no Rust), where it is
# installed, started as its user, shows the demo, is upgraded and purged, also as a service of systemd; the wheel in a bare venv and with pipx. Run it
# as root on Debian, after `make release`. Needs debootstrap, python3 with venv, and PyPI for pipx. Usage:
#   scripts/check-packages.sh [deb] [wheel] [bytes]
# The Debian stays in target/ for the next time; what is done in it goes to a layer over it that is thrown away. Nothing
# outside is touched: processes, network and mounts are those of namespaces. Packages for another processor are not
# installed: their program is only started, with Debian's qemu-user-static and libc6-arm64-cross.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm
base=${CARGO_TARGET_DIR:-$PWD/target}/package-root
say() { printf '%s\n' "$*" >&2; }

# The processor of the packages, as in the name of the archive.
archive=(dist/runtraced-*-linux.tar.gz)
[[ -e ${archive[0]} && ${#archive[@]} == 1 ]] || { say "dist/ holds no archive: run make release"; exit 1; }
machine=${archive[0]%-linux.tar.gz}
machine=${machine##*-}
emulator=()
[[ $machine == "$(uname -m)" ]] || emulator=("qemu-$machine-static" -L "/usr/$machine-linux-gnu")

make_base() {
    [[ -e $base/made ]] && return
    say "making a bare Debian ..."
    if ! command -v debootstrap >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null 2>&1 ||
            { say "debootstrap is not installed, and apt-get cannot install it"; exit 1; }
    fi
    rm -rf "$base"
    mkdir -p "$base"
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)
    debootstrap --variant=minbase --include=adduser,postgresql,procps,systemd "$suite" "$base/root" "$mirror" \
        >"$base/log" 2>&1 || { tail -5 "$base/log" >&2; exit 1; }
    touch "$base/made"
}

is_foreign() {
    [[ ${#emulator[@]} -gt 0 ]] || return 1
    say "$1 is not installed here: it is for $machine"
}

check_deb() {
    ! is_foreign "the Debian package" || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        say "the Debian package is not tried: that needs root, on Debian"
        [[ ${CI:-} != true ]]
        return
    fi
    make_base
    local package=(dist/runtraced_*.deb)
    [[ -e ${package[0]} && ${#package[@]} == 1 ]] || { say "dist/ holds no package: run make release"; exit 1; }
    in_debian "${package[0]}" try-deb.sh
    in_debian "${package[0]}" try-systemd.sh systemd
}

in_debian() {
    local package=$1 script=$2 results
    results=$(mktemp -d)
    # How a system in namespaces ends says nothing: what its script wrote counts.
    timeout --kill-after=5 300 unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child scripts/release/in-debian.sh \
        "$base/root" "$package" "scripts/release/$script" "$results" "${@:3}" >"$results/console" 2>&1 || true
    cat "$results/said" >&2 || true
    if [[ $(cat "$results/code" 2>/dev/null) != 0 ]]; then
        say "scripts/release/$script failed:"
        tail -20 "$results/console" >&2
        exit 1
    fi
    rm -rf "$results"
}

check_wheel() {
    ! is_foreign "the wheel" || return 0
    local wheel=(dist/runtraced_server-*.whl) work program
    [[ -e ${wheel[0]} && ${#wheel[@]} == 1 ]] || { say "dist/ holds no wheel: run make release"; exit 1; }
    work=$(mktemp -d)
    # Postgres runs as another user than root, and passes through here.
    chmod 0711 "$work"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --no-index --no-deps "${wheel[0]}"
    program=$work/venv/bin/runtraced
    [[ $("$program" --version) == "$("$work/venv/bin/runtraced-server" --version)" ]]
    [[ $("$work/venv/bin/python" -m runtraced_server --version) == "$("$program" --version)" ]]
    "$work/venv/bin/runtraced-server" demo >"$work/demo"
    grep -q 'Respond to a churn risk' "$work/demo"
    say "the wheel: installed without a network, and the demo draws its runs"
    "$work/venv/bin/pip" install -q pipx==1.8.0
    PIPX_HOME=$work/pipx PIPX_BIN_DIR=$work/bin "$work/venv/bin/pipx" run --quiet --spec "${wheel[0]}" runtraced-server demo \
        >"$work/demo"
    grep -q 'Respond to a churn risk' "$work/demo"
    say "the wheel: pipx run shows the demo"
    rm -rf "$work"
}

# The archive, the checksums and the bill of materials; and the same program packed again elsewhere, with another time
# zone, language and umask, gives the same bytes.
check_bytes() {
    local work
    work=$(mktemp -d)
    (cd dist && sha256sum --quiet --check SHA256SUMS)
    tar -xzf dist/runtraced-*-linux.tar.gz --strip-components=1 -C "$work"
    "${emulator[@]}" "$work/runtraced" --version >&2
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q "cyclonedx-python-lib[json-validation]==11.12.0"
    "$work/venv/bin/python" - dist/runtraced-*.cdx.json <<'VALIDATE'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
with open(sys.argv[1], encoding="utf-8") as file:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
sys.exit(fault and f"the bill of materials is not valid: {fault}")
VALIDATE
    say "the archive and the bill of materials are valid"
    mkdir "$work/again"
    git ls-files -z | xargs -0 cp --parents --no-dereference -t "$work/again"
    (
        umask 077
        export SOURCE_DATE_EPOCH RUNTRACED_BINARY=$work/runtraced TZ=Asia/Tokyo LANG=C.UTF-8
        export RUNTRACED_TARGET=$machine-unknown-linux-gnu
        SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
        cd "$work/again" && scripts/release/release.sh 2>/dev/null
    )
    diff dist/SHA256SUMS "$work/again/dist/SHA256SUMS" >&2 || { say "packed again, the packages differ"; exit 1; }
    say "packed again elsewhere, the packages are the same bytes"
    rm -rf "$work"
}

[[ $# -gt 0 ]] || set -- deb wheel bytes
for what in "$@"; do
    "check_$what"
done
