#!/usr/bin/env bash
# Installs, uses, upgrades and purges the Debian package. scripts/check-packages.sh runs it in a bare Debian.
set -euo pipefail

package=$1
data=/var/lib/runtraced
say() { printf 'the Debian package: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

! command -v runtraced >/dev/null || fail "it is installed already"
! command -v cargo >/dev/null || fail "this Debian has Rust"
dpkg -i "$package" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
grep -q 'systemctl enable --now runtraced' /tmp/said || fail "the installation does not say how to start it"
[[ $(stat -c '%U:%G %a' $data) == "runtraced:runtraced 700" ]] || fail "$data belongs to $(stat -c %U $data)"
[[ $(stat -c '%U %a' /etc/runtraced/runtraced.env) == "root 600" ]] || fail "the settings can be read by others"
dpkg --verify runtraced
say "installed, with its user"

# The command line of the unit, with its user and its variables.
unit=/usr/lib/systemd/system/runtraced.service
of_unit() { sed -n "s/^$1=//p" "$unit"; }
[[ $(of_unit User) == runtraced ]] || fail "the unit has another user"
start() {
    # As systemd does with Environment= and EnvironmentFile=.
    local settings
    mapfile -t settings < <(grep -v '^#' /etc/runtraced/runtraced.env | grep .)
    # shellcheck disable=SC2046
    setpriv --reuid runtraced --regid runtraced --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
        env HOME=$data "$(of_unit Environment)" "${settings[@]}" $(of_unit ExecStart) 2>/tmp/log &
    daemon=$!
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        runtraced status --ready >/dev/null 2>&1 && return
        kill -0 $daemon 2>/dev/null || break
        sleep 0.2
    done
    fail "the daemon does not become ready: $(tail -5 /tmp/log)"
}
stop() {
    kill -TERM $daemon
    wait $daemon || fail "the daemon ended with $?: $(tail -5 /tmp/log)"
}

start
[[ $(stat -c %U /proc/$daemon) == runtraced ]] || fail "the daemon runs as $(stat -c %U /proc/$daemon)"
event='{"time":"2026-01-31T12:00:00Z","run_started":{"run_id":"0194bb0a-0000-7000-8000-000000000001","agent_id":"researcher"}}'
runtraced send - <<<"$event" | grep -q '1 accepted' || fail "an event is not accepted"
runtraced runs | grep -q researcher || fail "the run is not there"
runtraced status >/dev/null || fail "status: $(runtraced status)"
stop
say "the command line of the unit starts as its user, stores an event in a private Postgres and stops"

setpriv --reuid runtraced --regid runtraced --clear-groups env HOME=/tmp runtraced demo >/tmp/demo ||
    fail "the demo fails: $(cat /tmp/demo)"
grep -q 'Respond to a churn risk' /tmp/demo || fail "the demo draws nothing: $(cat /tmp/demo)"
say "the demo runs"

echo 'RUNTRACED_WRITERS=3' >>/etc/runtraced/runtraced.env
dpkg -i "$package" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
grep -q RUNTRACED_WRITERS /etc/runtraced/runtraced.env || fail "an upgrade changes the settings"
start
runtraced runs | grep -q researcher || fail "the run is gone after an upgrade"
stop
say "an upgrade keeps settings and data"

dpkg --purge runtraced >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
grep -q "the data stays in $data" /tmp/said || fail "purge does not say what it leaves: $(cat /tmp/said)"
[[ -d $data/postgres && $(stat -c %U $data/postgres) == runtraced ]] || fail "purge took the data"
[[ ! -e /etc/runtraced/runtraced.env && ! -e /usr/bin/runtraced && ! -e $unit ]] || fail "purge leaves files"
say "purge leaves the data, and says so"

dpkg -i "$package" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
start
runtraced runs | grep -q researcher || fail "the run is gone after purge and installation"
stop
say "installed again, it has its data"
