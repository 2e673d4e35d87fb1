#!/usr/bin/env bash
# Installs the Debian package where systemd runs, and uses the service. scripts/check-packages.sh runs it in a bare Debian.
set -euo pipefail

package=$1
fail() {
    echo "the service: $*"
    journalctl --unit runtraced --no-pager | tail -20
    exit 1
}
ready() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        runtraced status --ready >/dev/null 2>&1 && return
        sleep 0.2
    done
    fail "the daemon does not become ready"
}
main_pid() { systemctl show --property MainPID --value runtraced; }

dpkg -i "$package" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
! systemctl --quiet is-active runtraced || fail "the installation starts it before it is set up"
systemctl enable --now runtraced || fail "it does not start"
ready
pid=$(main_pid)
is() { grep -qE "^$1:[[:space:]]+$2\$" "/proc/$pid/status" || fail "$(grep "^$1" "/proc/$pid/status")"; }
is NoNewPrivs 1
is Seccomp 2
is CapBnd 0000000000000000
[[ $(stat -c %U "/proc/$pid") == runtraced ]] || fail "it runs as $(stat -c %U "/proc/$pid")"
grep -qE ' / / ro,' "/proc/$pid/mountinfo" || fail "it can write to the root of the file system"
grep -qE ' /var/lib/runtraced rw,' "/proc/$pid/mountinfo" || fail "it cannot write to its state folder"
event='{"time":"2026-01-31T12:00:00Z","run_started":{"run_id":"0194bb0a-0000-7000-8000-000000000001","agent_id":"researcher"}}'
runtraced send - <<<"$event" | grep -q '1 accepted' || fail "an event is not accepted"
runtraced runs | grep -q researcher || fail "the run is not there"
echo "the service: it starts with its private Postgres, without rights, and stores an event"

dpkg -i "$package" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
[[ $(main_pid) != "$pid" ]] || fail "an upgrade does not restart it"
ready
runtraced runs | grep -q researcher || fail "the run is gone after an upgrade"
dpkg --purge runtraced >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
! systemctl --quiet is-active runtraced || fail "it runs after purge"
! pgrep -u runtraced >/dev/null || fail "purge leaves processes"
[[ -d /var/lib/runtraced/postgres ]] || fail "purge took the data"
journalctl --unit runtraced --no-pager | grep -q 'all settled' || fail "it was not shut down in order"
echo "the service: an upgrade restarts it, purge stops it and leaves the data"
