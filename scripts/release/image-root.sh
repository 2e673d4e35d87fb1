#!/usr/bin/env bash
# Fills the root folder of the container image: the program, the libraries that it loads, a user without rights and
# the folder for its data. Nothing else, no shell either. Usage:
#   scripts/release/image-root.sh PROGRAM ROOT
set -euo pipefail

program=$1 root=$2
# The user of the image. Kubernetes and other runtimes want a number.
id=10001

mkdir -p "$root"/{etc,tmp,usr/bin,var/lib/runtraced}
install -m 0755 "$program" "$root/usr/bin/runtraced"
# Lines of ldd: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`.
ldd "$program" | grep -o '/[^ ]*' | while IFS= read -r library; do
    install -D -m 0755 "$library" "$root$library"
done
printf 'root:x:0:0:root:/:/sbin/nologin\nruntraced:x:%d:%d::/var/lib/runtraced:/sbin/nologin\n' "$id" "$id" >"$root/etc/passwd"
printf 'root:x:0:\nruntraced:x:%d:\n' "$id" >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"
chmod 0700 "$root/var/lib/runtraced"
chown "$id:$id" "$root/var/lib/runtraced"
