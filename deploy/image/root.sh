#!/bin/sh
# root.sh PROGRAM FOLDER: makes FOLDER the root file system of the image around a static program. The Dockerfile runs it, and
# `make image-check`. Needs root (for the owner of two folders), ca-certificates and tzdata.
#
# Beside the program: certificates of authorities for TLS, time zones for budgets, and the folders that somebody mounts on, with
# the owner and the mode that a new volume of Docker's takes over. All files have the time $SOURCE_DATE_EPOCH (default 0), so
# that the same inputs give the same layer.
set -eu

[ $# -eq 2 ] || { echo "root.sh: usage: root.sh PROGRAM FOLDER" >&2; exit 1; }
program=$1 root=$2
mkdir -p "$root"/usr/bin "$root"/usr/share "$root"/etc/ssl/certs "$root"/tmp \
  "$root"/var/lib/openclaw-usage "$root"/home/node/.openclaw
cp "$program" "$root/usr/bin/openclaw-usage"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -R -P /usr/share/zoneinfo "$root/usr/share/zoneinfo"
find "$root" -type d -exec chmod 0755 {} +
find "$root" -type f -exec chmod 0644 {} +
chmod 0755 "$root/usr/bin/openclaw-usage"
chmod 1777 "$root/tmp"
chmod 0700 "$root/var/lib/openclaw-usage"
chown -R 0:0 "$root"
chown -R 1000:1000 "$root/var/lib/openclaw-usage" "$root/home/node"
find "$root" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
