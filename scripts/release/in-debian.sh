#!/usr/bin/env bash
# Runs a script in a Debian, over which a layer takes what is written. scripts/check-packages.sh runs it as the first
# process of namespaces of its own, so mounts and processes end with it. The exit code of the script is then in
# RESULTS/code, and what it said in RESULTS/said. Usage:
#   in-debian.sh ROOT PACKAGE SCRIPT RESULTS [systemd]     systemd: boots it, and the script is a service
set -euo pipefail

root=$1 package=$2 script=$3 results=$4 init=${5:-}
# Nobody outside sees this mount, and nothing needs to be cleaned up.
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/overlay /mnt/debian
mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/overlay" /mnt/debian
inside=/mnt/debian
mkdir -p "$inside/dev/shm" "$inside/results"
mount -t proc proc "$inside/proc"
mount -t tmpfs none "$inside/dev/shm"
mount -t tmpfs none "$inside/run"
mount --bind "$results" "$inside/results"
ip link set lo up
cp "$package" "$inside/srv/package.deb"
cp "$script" "$inside/srv/try.sh"
cat >"$inside/srv/main.sh" <<'MAIN'
/bin/bash /srv/try.sh /srv/package.deb >/results/said 2>&1
echo $? >/results/code
MAIN
# The program keeps the data of root, whom it knows by the home, in another place than that of others.
clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$(getent passwd root | cut -d: -f6)" LC_ALL=C.UTF-8)
if [[ $init != systemd ]]; then
    exec "${clean[@]}" chroot "$inside" /bin/bash /srv/main.sh
fi
mount --rbind /sys "$inside/sys"
mount -t cgroup2 none "$inside/sys/fs/cgroup"
cat >"$inside/etc/systemd/system/try.service" <<'UNIT'
[Service]
Type=oneshot
Environment=HOME=%h LC_ALL=C.UTF-8
ExecStart=/bin/bash /srv/main.sh
ExecStopPost=/bin/systemctl poweroff --force --force
UNIT
mkdir -p "$inside/etc/systemd/system/multi-user.target.wants"
ln -s ../try.service "$inside/etc/systemd/system/multi-user.target.wants/try.service"
exec "${clean[@]}" container=docker chroot "$inside" /lib/systemd/systemd --unit=multi-user.target
