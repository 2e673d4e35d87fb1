#!/usr/bin/env bash
# Builds the Debian package. The time of its files is SOURCE_DATE_EPOCH. Usage:
#   scripts/release/deb.sh PROGRAM VERSION ARCHITECTURE OLDEST_GLIBC LICENCES FOLDER
set -euo pipefail

program=$1 version=$2 architecture=$3 glibc=$4 licences=$5 folder=$6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
doc=$root/usr/share/doc/runtraced

put() { install -D -m "$1" "$2" "$3"; }

put 0755 "$program" "$root/usr/bin/runtraced"
put 0644 deploy/systemd/runtraced.service "$root/usr/lib/systemd/system/runtraced.service"
# It may hold a password. systemd reads it as root.
put 0600 deploy/systemd/runtraced.env "$root/etc/runtraced/runtraced.env"
put 0644 README.md "$doc/README.md"
for example in deploy/grafana/*.json deploy/prometheus/alerts.yaml; do
    put 0644 "$example" "$doc/examples/$(basename "$example")"
done
{
    printf 'runtraced is under the licence Apache-2.0: /usr/share/common-licenses/Apache-2.0\n\n'
    cat "$licences"
} >"$work/copyright"
put 0644 "$work/copyright" "$doc/copyright"
printf 'runtraced (%s) unstable; urgency=medium\n\n  * Version %s.\n\n -- The runtraced project <runtraced@localhost>  %s\n' \
    "$version" "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$work/changelog"
gzip -9 -n "$work/changelog"
put 0644 "$work/changelog.gz" "$doc/changelog.gz"

control=$root/DEBIAN
mkdir -p "$control"
for script in postinst prerm postrm; do
    put 0755 "deploy/debian/$script" "$control/$script"
done
printf '/etc/runtraced/runtraced.env\n' >"$control/conffiles"
# As dpkg counts: files in whole KiB, and one for each folder. What folders take depends on the file system.
size=$(find "$root/etc" "$root/usr" -type f -printf '%s\n' -o -printf '1\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
    -e "s/@DEPENDS@/adduser, libc6 (>= $glibc), libgcc-s1/" deploy/debian/control >"$control/control"
chmod 0644 "$control/control" "$control/conffiles"
(cd "$root" && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$control/md5sums"
chmod 0644 "$control/md5sums"
find "$root" -type d -exec chmod 0755 {} +
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# The bytes of xz depend on whether it has one thread or several.
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz -z6 --build "$root" "$folder/runtraced_${version}_$architecture.deb" >/dev/null
