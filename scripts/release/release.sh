#!/usr/bin/env bash
# Builds everything of a release into dist/: an archive, a Debian package, a Python wheel, the chart, the bill of
# materials, the licences and checksums. The same commit gives the same bytes. Needs Rust, python3, dpkg-deb, binutils.
#   RUNTRACED_TARGET   another target of Rust, for example aarch64-unknown-linux-gnu. Needs `rustup target add` and a
#                      C compiler for it (Debian: gcc-aarch64-linux-gnu).
#   RUNTRACED_BINARY   take this program instead of building one
#   SOURCE_DATE_EPOCH  the time in all files; by default that of the commit
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 022
export LC_ALL=C

say() { printf '%s\n' "$*" >&2; }

host=$(rustc -vV | sed -n 's/^host: //p')
target=${RUNTRACED_TARGET:-$host}
case $target in
x86_64-unknown-linux-gnu) machine=x86_64 architecture=amd64 tools='' ;;
aarch64-unknown-linux-gnu) machine=aarch64 architecture=arm64 tools=aarch64-linux-gnu- ;;
*)
    say "no packages for $target: only for x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu"
    exit 1
    ;;
esac
[[ $target != "$host" ]] || tools=''
# Kernels for aarch64 have pages of 4, 16 or 64 KiB. jemalloc would take those of the machine that builds, and end the
# program on a kernel with larger ones.
[[ $machine != aarch64 ]] || export JEMALLOC_SYS_WITH_LG_PAGE=16
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
# cargo takes a relative path from here.
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# No path of this machine may be in the program. The last of two that fit counts.
build() {
    local place
    places=("$PWD=/src" "$cargo_home=/cargo" "$(rustc --print sysroot)=/rust" "$target_dir=/target")
    for place in "${places[@]}"; do
        export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$place" CFLAGS="${CFLAGS:--g0} -ffile-prefix-map=$place"
    done
    # Debug information would go anyway, but the number of the build is a hash that includes it.
    export CARGO_PROFILE_RELEASE_DEBUG=0
    if [[ -n $tools ]]; then
        export "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER=${tools}gcc"
        export "CC_${target//-/_}=${tools}gcc"
    fi
    cargo build --locked --release --target "$target"
    program=$target_dir/$target/release/runtraced
}

# Fails if a program holds one of these paths. grep reads all of it: a pipe that ends early would count as no match.
has_no_path() {
    local place found
    for place in "${places[@]}"; do
        found=$("${tools}strings" "$1" | grep -F -e "${place%=*}/" || true)
        if [[ -n $found ]]; then
            say "the program contains a path of this machine: ${found%%$'\n'*}"
            return 1
        fi
    done
}

# The newest symbol of glibc that the program needs, as 2.34.
oldest_glibc() {
    "${tools}objdump" -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 | cut -d_ -f2
}

program=${RUNTRACED_BINARY:-}
[[ -n $program ]] || build
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=runtraced-$version-$machine-linux
mkdir -p "$work/$name"
# Names of functions stay, for backtraces. Lines and paths go.
"${tools}strip" --strip-debug --enable-deterministic-archives -o "$work/$name/runtraced" "$program"
chmod 0755 "$work/$name/runtraced"
[[ -n ${RUNTRACED_BINARY:-} ]] || has_no_path "$work/$name/runtraced"
glibc=$(oldest_glibc "$work/$name/runtraced")

dist=dist
rm -rf "$dist"
mkdir "$dist"
python3 scripts/release/licences.py "$target" "$dist/THIRD-PARTY-LICENCES.txt"
python3 scripts/release/sbom.py "$target" "$work/$name/runtraced" "$dist/$name.cdx.json"
python3 scripts/release/wheel.py "$work/$name/runtraced" "$version" "manylinux_${glibc/./_}_$machine" "$dist"
scripts/release/deb.sh "$work/$name/runtraced" "$version" "$architecture" "$glibc" "$dist/THIRD-PARTY-LICENCES.txt" "$dist"

pack() {
    tar -C "$1" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        --mode='u+rw,go+r-w,a+X' -cf - "$2" | gzip -9 -n >"$dist/$3"
}
cp README.md LICENSE "$dist/THIRD-PARTY-LICENCES.txt" "$work/$name"
cp -R deploy/systemd deploy/grafana deploy/prometheus "$work/$name"
pack "$work" "$name" "$name.tar.gz"
pack deploy/helm runtraced "runtraced-chart-$version.tgz"

(cd "$dist" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum >SHA256SUMS)
say "dist/ holds version $version for $machine Linux with glibc $glibc or newer:"
(cd "$dist" && du -h --apparent-size -- * | sed 's/^/  /' >&2)
