#!/usr/bin/env bash
# Runs a script in a Debian, over which a layer takes what is written. scripts/check-packages.sh runs it in namespaces of
# its own, so mounts and processes end with it. Usage: in-debian.sh ROOT PACKAGE SCRIPT
set -euo pipefail

root=$1 package=$2 script=$3
work=$(mktemp -d)
trap 'umount --lazy --recursive "$work"; rmdir "$work"' EXIT
mount -t tmpfs none "$work"
mkdir "$work/upper" "$work/overlay" "$work/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/overlay" "$work/root"
mount -t proc proc "$work/root/proc"
mkdir -p "$work/root/dev/shm"
mount -t tmpfs none "$work/root/dev/shm"
ip link set lo up
cp "$package" "$work/root/root/package.deb"
cp "$script" "$work/root/root/try.sh"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 chroot "$work/root" /bin/bash /root/try.sh /root/package.deb
