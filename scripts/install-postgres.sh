#!/usr/bin/env bash
# Makes sure that the programs of a PostgreSQL that runtraced can run as its
# private database are on this machine. Installs them on Debian and Ubuntu, as
# root or with passwordless sudo; elsewhere says what to install. Creates no
# cluster and leaves no service running. Safe to repeat.
set -euo pipefail

oldest=15
newest=18

say() { printf '%s\n' "$*" >&2; }

# The major version of the programs in a directory, or nothing.
major_in() {
    local dir=$1 text
    [[ -x $dir/postgres && -x $dir/initdb ]] || return 0
    text=$("$dir/postgres" --version 2>/dev/null) || return 0
    [[ $text =~ \(PostgreSQL\)\ ([0-9]+) ]] || return 0
    printf '%s' "${BASH_REMATCH[1]}"
}

# Where to look, in order: the same places as src/postgres/binaries.rs.
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
    say "Or name the bin directory of a PostgreSQL $oldest to $newest in RUNTRACED_PG_BIN,"
    say "or use a server you have: DATABASE_URL=postgresql://user@host/database"
    exit 1
}

advise() {
    if [[ $(uname -s) == Darwin ]]; then
        give_up "Install PostgreSQL: brew install postgresql@17"
    elif [[ -e /etc/fedora-release || -e /etc/redhat-release ]]; then
        give_up "Install PostgreSQL: dnf install postgresql-server"
    elif [[ -e /etc/alpine-release ]]; then
        give_up "Install PostgreSQL: apk add postgresql17"
    elif [[ -e /etc/arch-release ]]; then
        give_up "Install PostgreSQL: pacman -S postgresql"
    fi
    give_up "Install the PostgreSQL server with the package manager of this system."
}

as_root=()
become_root() {
    if [[ $(id -u) == 0 ]]; then
        return
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        give_up "Install PostgreSQL: sudo apt-get install postgresql"
    fi
}

run() { "${as_root[@]}" "$@"; }

apt() {
    run env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2
}

# The newest version from 15 to 18 that apt offers, or nothing.
offered() {
    local major
    for ((major = newest; major >= oldest; major--)); do
        if apt-cache show "postgresql-$major" >/dev/null 2>&1; then
            printf '%s' "$major"
            return
        fi
    done
}

# The package would make a cluster and start it. Whoever wants one of their
# own can still make it with pg_createcluster.
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
    say "Installing PostgreSQL with apt-get ..."
    apt update || say "apt-get update failed; going on with the lists that are here"
    major=$(offered)
    if [[ -z $major ]]; then
        give_up "This system's PostgreSQL is older than $oldest: add the PGDG repository \
(https://wiki.postgresql.org/wiki/Apt), then: apt-get install postgresql-17"
    fi
    forbid_cluster
    apt install -y --no-install-recommends "postgresql-$major"
}

if found; then
    exit 0
fi
if [[ -n ${RUNTRACED_PG_BIN:-} ]]; then
    give_up "RUNTRACED_PG_BIN=$RUNTRACED_PG_BIN holds no PostgreSQL $oldest to $newest."
fi
if ! command -v apt-get >/dev/null; then
    advise
fi
install_with_apt
found || give_up "apt-get installed PostgreSQL, but it is not where it was expected."
