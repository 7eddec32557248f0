"""A chroot, namespaces and an engine's container for a service, and the document's ways into them."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from machine.clients import SERVICE
from sshd_hook import paths

if TYPE_CHECKING:
    from machine.private import Machine

ROOT = f"/srv/roots/{SERVICE}"
# What the document tells people to write, and which line of the file is whose.
DOCUMENT = (Path(__file__).parent.parent / "docs" / "hosts.md").read_text()
SECTION = DOCUMENT.partition("## Into a container or a chroot")[2].partition("\n## ")[0]
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"(?:^ {4}.*\n)+", SECTION, re.MULTILINE)]
ENTRIES, SCRIPT, SUDOERS = BLOCKS
ENTER_CONTAINER, RULE = "/usr/local/sbin/enter-container", "/etc/sudoers.d/enter-container"
RECIPES = {"chroot": "/usr/bin/unshare", "nsenter": "/usr/bin/nsenter", "exec": "/usr/bin/sudo"}
# A root with programs of its own, and the service's files.
BUILD = f"""
set -e
mkdir -p {ROOT}/usr {ROOT}/home {ROOT}/dev {ROOT}/etc {ROOT}/old {ROOT}/proc
mount --rbind /usr {ROOT}/usr
for name in bin sbin lib lib64; do ln -s usr/$name {ROOT}/$name; done
for device in null tty; do
    touch {ROOT}/dev/$device
    mount --bind /dev/$device {ROOT}/dev/$device
done
echo inside > {ROOT}/home/where
uid=$(getent passwd {SERVICE} | cut -d: -f3)
printf 'root:x:0:0::/:/bin/sh\\nthe-service:x:%s:%s::/home:/bin/sh\\n' $uid $uid > {ROOT}/etc/passwd
echo 'passwd: files' > {ROOT}/etc/nsswitch.conf
chown $uid:$uid {ROOT}/home
"""
# What keeps a container alive: a user and a mount namespace of the service's own, bound to files.
CONTAINER = f"""
set -e
uid=$(getent passwd {SERVICE} | cut -d: -f3)
mkdir -p /run/ns
mount --bind /run/ns /run/ns
mount --make-private /run/ns
touch /run/ns/{SERVICE}.user /run/ns/{SERVICE}.mnt
# Linux binds only mount namespaces with a higher number than its own, and some versions number
# them by processor: the one on which this machine was made will do.
for processor in $(seq 0 $(($(nproc) - 1))); do
    taskset -c $processor setpriv --reuid=$uid --regid=$uid --clear-groups \\
        unshare --user --map-root-user --mount sh -c '
            mount --rbind {ROOT} {ROOT}; cd {ROOT}; mount --rbind /proc proc
            pivot_root . old; umount -l /old; exec sleep 1000' >/dev/null 2>&1 </dev/null &
    pid=$!
    until [ "$(cat /proc/$pid/comm)" = sleep ]; do kill -0 $pid; sleep 0.05; done
    mount --bind /proc/$pid/ns/mnt /run/ns/{SERVICE}.mnt && break
done
mount --bind /proc/$pid/ns/user /run/ns/{SERVICE}.user
"""

# The same root, for an engine. With cgroups of both versions, as few machines have them, it runs nothing.
ENGINE = """
set -e
[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 cgroup /sys/fs/cgroup
echo "127.0.1.1 $(uname -n)" >> /etc/hosts
mkdir /srv/bundle
"""
START = f"""
cat > /srv/bundle/config.json
crun --cgroup-manager=disabled run --detach --bundle /srv/bundle {SERVICE} \\
    </dev/null >/var/log/container 2>&1
"""


def container(uid: int) -> dict[str, object]:
    """The container as engines describe one (OCI runtime specification, config.md)."""
    mounts = [("/proc", "proc", []), ("/dev", "tmpfs", ["mode=755"])]
    mounts.append(("/dev/pts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"]))
    return {
        "ociVersion": "1.0.0",
        "root": {"path": ROOT},
        "process": {
            "args": ["/bin/sleep", "1000"],
            "cwd": "/home",
            "env": ["PATH=/usr/bin:/bin", "WHERE=container"],
            "user": {"uid": uid, "gid": uid},
        },
        "mounts": [
            {"destination": at, "type": kind, "source": kind, "options": options}
            for at, kind, options in mounts
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")]},
    }


def start_container(machine: Machine) -> None:
    """Run it; it goes on after this command."""
    uid = int(machine.check("id", "-u", SERVICE))
    machine.check("sh", "-c", START, stdin=json.dumps(container(uid)))


def install_engine(machine: Machine) -> None:
    """Run the container, and let its service in as the document says."""
    machine.check("sh", "-c", ENGINE)
    start_container(machine)
    rule = re.sub(r"^\w{13}-\S+", SERVICE, SUDOERS, flags=re.MULTILINE)
    for path, text, mode in ((ENTER_CONTAINER, SCRIPT, 0o755), (RULE, rule, 0o440)):
        machine.path(path).write_text(text)
        machine.path(path).chmod(mode)


def let_in(machine: Machine, recipe: str) -> None:
    """Make it the way into the service."""
    (words,) = re.findall(rf"^\S+ +({RECIPES[recipe]} .*)$", ENTRIES, re.MULTILINE)
    machine.path(paths.ENTRY).write_text(f"# ours\n{SERVICE}  {words}\n*  -\n")
