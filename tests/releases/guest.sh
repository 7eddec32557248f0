#!/bin/sh
# The first process under user-mode Linux: `sh guest.sh` in the checkout, at its place in a machine.
exec > /dev/console 2>&1 < /dev/null
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t securityfs security /sys/kernel/security
mount -t tmpfs -o mode=0755 run /run
mkdir -p /dev/pts /dev/shm /run/sshd /run/lock /run/systemd/userdb
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
cd /opt/amrgate && PYTHONPATH=. .venv/bin/python -m tests.releases.confined build/releases/bookworm-apparmor
echo o > /proc/sysrq-trigger
sleep 60
