"""The first process of a private machine: it lays out the file system, then reaps and logs.

Runs as pid 1 of fresh mount, pid and network namespaces, under `/usr/bin/python3 -IS`, so with
nothing but the standard library. When its standard input ends it ends, and the kernel ends every
other process in the machine with it.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

STAGE = Path("/mnt")  # exists on every Debian; hidden again before anything runs
CHECKOUT = "/opt/amrgate"
OVERLAID = ("/etc", "/usr/bin", "/usr/lib", "/usr/local", "/usr/share", "/opt", "/srv", "/var")
# In a root of our own, besides those of FRESH: what is not shown from the machine's.
OWN_FOLDERS = (
    *("/proc", "/dev", "/mnt", "/old", "/opt", "/srv", "/usr/lib", "/usr/local/bin"),
    *("/var/empty", "/var/lib", "/var/log", "/var/tmp"),  # noqa: S108 - fresh as well
)
FRESH = {"/home": "0755", "/root": "0700", "/tmp": "1777", "/run": "0755"}  # noqa: S108 - a fresh one
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # an ordinary user's may be without root's programs
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x41
LAST_SYSTEM_UID = 999
NOBODY = 65534
PERSONS = {"alice": 1001, "bob": 1002, "carol": 1003, "mallory": 1004, "admin": 1005}
COMMANDS = {
    "amrgate": "ca.client.main",
    "amrgate-ca": "ca.ops.main",
    "sshd-hook": "sshd_hook.main",
}
NAMES = "127.0.0.1 localhost ssh.acme.example ca.acme.example\n"


def main(checkout: str) -> None:
    """Make the machine and stay until standard input ends."""
    os.environ["PATH"] = PATH
    lay_out(checkout)
    private_devices()
    private_accounts()
    private_ssh()
    private_commands()
    bring_loopback_up()
    signal.signal(signal.SIGCHLD, reap)
    log = syslog_socket()
    print("ready", flush=True)  # noqa: T201 - what the outside waits for
    keep_log(log)


def mount(*arguments: str) -> None:
    """Run the mount command, or fail."""
    subprocess.run(("mount", *arguments), check=True)


def lay_out(checkout: str) -> None:
    """Put private files where services write, and make the rest read-only."""
    opened = os.open(checkout, os.O_PATH)  # it may be where the stage hides it
    if os.stat("/").st_uid == 0:  # noqa: PTH116
        layer(opened)
    else:
        copy(opened)
    os.close(opened)
    for path, mode in FRESH.items():
        mount("-t", "tmpfs", "-o", f"mode={mode}", "machine", path)
    Path(CHECKOUT).mkdir()
    mount("--move", str(STAGE / "checkout"), CHECKOUT)
    mount("-o", "remount,bind,ro", CHECKOUT)
    lead_imports_here()
    for path in ("/run/sshd", "/run/lock", "/run/systemd/userdb"):
        Path(path).mkdir(parents=True)


def layer(checkout: int) -> None:
    """Put a private layer over what services write."""
    keep(checkout)
    mount("-o", "remount,bind,ro", "/")
    for number, path in enumerate(OVERLAID):
        upper, work = STAGE / f"upper{number}", STAGE / f"work{number}"
        upper.mkdir(0o755)
        work.mkdir()
        mount(
            "-t",
            "overlay",
            "machine",
            "-o",
            f"lowerdir={path},upperdir={upper},workdir={work}",
            path,
        )


def copy(checkout: int) -> None:
    """Make a root of our own: in a user namespace the machine's files belong to nobody.

    sshd and the hook trust what is root's, and so is every folder above it. What they do not ask
    that of, programs and libraries, is the machine's.
    """
    mount("-t", "tmpfs", "-o", "mode=0755", "machine", str(STAGE))
    for name in (*OWN_FOLDERS, *FRESH):
        Path(f"{STAGE}{name}").mkdir(parents=True)
    for path in Path("/").iterdir():
        if path.is_symlink():  # /bin, /lib and the like
            (STAGE / path.name).symlink_to(path.readlink())
    for folder in ("/usr", "/usr/lib"):
        for path in Path(folder).iterdir():
            show(path)
    with contextlib.suppress(shutil.Error):  # what only root may read
        shutil.copytree("/etc", STAGE / "etc", symlinks=True)
    for name in ("/proc", "/dev"):
        mount("--rbind", name, f"{STAGE}{name}")
    subprocess.run(("pivot_root", str(STAGE), str(STAGE / "old")), check=True)
    os.chdir("/")
    keep(checkout)
    subprocess.run(("umount", "-l", "/old"), check=True)
    Path("/old").rmdir()


def show(path: Path) -> None:
    """Let a file or folder of the machine be seen at its place in the new root."""
    new = STAGE / path.relative_to("/")
    if path.is_symlink():
        new.symlink_to(path.readlink())
    elif not new.exists():
        new.mkdir() if path.is_dir() else new.touch()
        mount("--rbind", str(path), str(new))


def keep(checkout: int) -> None:
    """Keep the checkout, an open folder, at hand while the file system is laid out."""
    mount("-t", "tmpfs", "-o", "mode=0700", "machine", str(STAGE))
    (STAGE / "checkout").mkdir()
    source = f"/proc/{os.getpid()}/fd/{checkout}"
    mount("--no-canonicalize", "--rbind", source, str(STAGE / "checkout"))


def lead_imports_here() -> None:
    """Make the virtual environment find our packages at their place in the machine.

    Where it says they are, others than root may not be able to look.
    """
    for file in Path(CHECKOUT).glob(".venv/lib/python3*/site-packages/__editable__*.pth"):
        new = STAGE / file.name
        new.write_text(f"{CHECKOUT}\n")
        mount("--bind", str(new), str(file))


def private_devices() -> None:
    """A /dev with terminals and a system log of its own."""
    new = STAGE / "dev"
    new.mkdir()
    mount("-t", "tmpfs", "-o", "mode=0755", "machine", str(new))
    for name in DEVICES:
        (new / name).touch()
        mount("--bind", f"/dev/{name}", str(new / name))
    for name, target in LINKS.items():
        (new / name).symlink_to(f"/proc/self/{target}")
    for name in ("pts", "shm"):
        (new / name).mkdir()
    (new / "ptmx").symlink_to("pts/ptmx")
    mount(
        "-t",
        "devpts",
        "-o",
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
        "machine",
        str(new / "pts"),
    )
    mount("-t", "tmpfs", "-o", "mode=1777", "machine", str(new / "shm"))
    mount("--move", str(new), "/dev")
    subprocess.run(("umount", "-l", str(STAGE)), check=True)


def private_accounts() -> None:
    """Debian's own accounts, five people with homes, and no trace of the machine's people."""
    users = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    groups = [line.split(":") for line in Path("/etc/group").read_text().splitlines()]
    users = [user for user in users if is_of_the_system(int(user[2])) and "amrgate" not in user[0]]
    groups = [
        group for group in groups if is_of_the_system(int(group[2])) and "amrgate" not in group[0]
    ]
    for name, uid in PERSONS.items():
        users.append([name, "x", str(uid), str(uid), "", f"/home/{name}", "/bin/bash"])
        groups.append([name, "x", str(uid), ""])
        Path(f"/home/{name}/.ssh").mkdir(parents=True)
        for path, mode in ((f"/home/{name}/.ssh", 0o700), (f"/home/{name}", 0o700)):
            os.chown(path, uid, uid)
            os.chmod(path, mode)  # noqa: PTH101
    for name, rows in (("passwd", users), ("group", groups)):
        write(f"/etc/{name}", "".join(":".join(row) + "\n" for row in rows))
    write("/etc/shadow", "".join(f"{user[0]}:*:20000:0:99999:7:::\n" for user in users), 0o640)
    write("/etc/gshadow", "".join(f"{group[0]}:!::\n" for group in groups), 0o640)
    for name in ("subuid", "subgid"):  # as useradd leaves them
        write(f"/etc/{name}", "alice:100000:65536\nbob:165536:65536\n")


def is_of_the_system(number: int) -> bool:
    """Whether a uid or gid is one of Debian's own accounts."""
    return number <= LAST_SYSTEM_UID or number == NOBODY


def private_ssh() -> None:
    """OpenSSH and the name service as Debian installs them, with a host key of the machine's own."""
    for folder in ("/etc/ssh/sshd_config.d", "/etc/ssh/ssh_config.d"):
        for path in Path(folder).iterdir():
            path.unlink()
    for path in Path("/etc/ssh").glob("ssh_host_*"):
        path.unlink()
    write("/etc/ssh/sshd_config", Path("/usr/share/openssh/sshd_config").read_text())
    write("/etc/nsswitch.conf", Path("/usr/share/libc-bin/nsswitch.conf").read_text())
    write("/etc/hosts", NAMES)
    key = "/etc/ssh/ssh_host_ed25519_key"
    subprocess.run(
        ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "host", "-f", key), check=True
    )


def private_commands() -> None:
    """The project's commands, for everybody: the checkout may be where only root can go."""
    for name, module in COMMANDS.items():
        python = f"PYTHONPATH={CHECKOUT} exec {CHECKOUT}/.venv/bin/python -m {module}"
        write(f"/usr/local/bin/{name}", f'#!/bin/sh\n{python} "$@"\n', 0o755)


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file of the machine's own layer."""
    Path(path).write_text(text)
    os.chmod(path, mode)  # noqa: PTH101


def bring_loopback_up() -> None:
    """What `ip link set lo up` does, without needing iproute2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


def reap(_signal: int, _frame: object) -> None:
    """Collect the daemons' orphans, as init does."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def syslog_socket() -> socket.socket:
    """The machine's /dev/log."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)  # noqa: PTH101, S103 - anybody may log
    return log


def keep_log(log: socket.socket) -> None:
    """Append what programs send to the system log to /var/log/syslog, until standard input ends."""
    with Path("/var/log/syslog").open("wb", buffering=0) as file:
        while True:
            ready, _, _ = select.select([0, log.fileno()], [], [])
            if log.fileno() in ready:
                file.write(log.recv(65536).rstrip(b"\n\0") + b"\n")
            if 0 in ready and not os.read(0, 1):
                return


if __name__ == "__main__":
    main(sys.argv[1])
