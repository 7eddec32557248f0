"""Ways to spoil a host for the doctor that take more than a line."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

from sshd_hook import bundle as bundles
from sshd_hook import hostfiles, install, paths
from sshd_hook.agent import clock
from sshd_hook.bundle import ServiceRecord
from sshd_hook.policy import Requirement
from tests.hosts import DAY, SERVICE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts import Host
    from tests.planter import Planter

USERDB_PID = "/run/userdb.pid"
AGENT_PID = "/run/agent.pid"
DENIAL = (
    'type=AVC msg=audit({when}.123:45): avc:  denied  {{ read }} for  pid=7 comm="principals"'
    ' name="bundle" scontext=system_u:system_r:sshd_t:s0 tclass=file permissive=0\n'
)
# As Debian 12's kernel wrote it, of sshd under AppArmor's profile.
APPARMOR = (
    'audit: type=1400 audit({when}.322:31): apparmor="DENIED" operation="exec"'
    ' profile="/usr/sbin/sshd" name="/usr/lib/amrgate/principals" pid=1366 comm="sshd"'
    ' requested_mask="x" denied_mask="x" fsuid=999 ouid=0\n'
)
RELOADED = (
    'audit: type=1400 audit({when}.142:35): apparmor="STATUS" operation="profile_replace"'
    '{info} profile="unconfined" name="/usr/sbin/sshd" pid=1421 comm="apparmor_parser"\n'
)
SAME = ' info="same as current profile, skipping"'
SLOW = """
import os, socket, sys, threading, time
sys.path.insert(0, "/usr/lib/amrgate/lib")
from sshd_hook import paths, userdb
book = userdb.Book(paths.UIDS, paths.HOMES)
def serve(connection):
    while message := connection.recv(4096):
        time.sleep(0.3)
        connection.sendall(book.answer(message.rstrip(b"\\0")) or b"")
def listen(path, mode):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, mode)
    listener.listen(64)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=listen, args=(paths.USERDB_ROOT_SOCKET, 0o600)).start()
listen(paths.USERDB_SOCKET, 0o666)
"""


def open_script_of_entry(p: Planter) -> None:
    """What sudo would run as root may be changed by others."""
    script = "/usr/local/sbin/enter-container"
    p.write(script, "#!/bin/sh\n")
    p.mode(script, 0o775)
    p.write(paths.ENTRY, f"* /usr/bin/env {script}\n")


def link_program(p: Planter) -> None:
    """As in attack 51: the link stands where anyone may replace it, and sshd follows it."""
    p.run("mkdir", "-m", "0777", "/opt/current")
    p.undo(p.run, "rm", "-r", "/opt/current")
    p.run("cp", paths.PRINCIPALS, "/opt/current/principals")
    p.away(paths.PRINCIPALS)
    p.path(paths.PRINCIPALS).symlink_to("/opt/current/principals")
    p.undo(p.path(paths.PRINCIPALS).unlink)


def include_elsewhere(p: Planter) -> None:
    """A block in a file that is included by one that is included, its criteria with `=`."""
    p.path("/etc/ssh/more").mkdir()
    p.undo(p.path("/etc/ssh/more").rmdir)
    p.write(
        "/etc/ssh/more/a.conf", 'match Address="10.3.0.0/16" # here\nPasswordAuthentication yes\n'
    )
    p.sshd("Include more/*.conf\n")


def put_pipe(p: Planter) -> None:
    p.away(paths.NO_PRINCIPALS)
    os.mkfifo(p.path(paths.NO_PRINCIPALS))
    p.undo(p.path(paths.NO_PRINCIPALS).unlink)


def old_sshd(p: Planter) -> None:
    """The real one, but for the version that it tells."""

    def older(version: re.Match[bytes]) -> bytes:
        return b"OpenSSH_7.9".ljust(len(version[0]), b"9")

    program = p.path("/usr/sbin/sshd").read_bytes()
    p.cover("/usr/sbin/sshd", re.sub(rb"OpenSSH_\d+\.\d", older, program))


def replaced_sshd(p: Planter) -> None:
    p.start_sshd()
    p.cover("/usr/sbin/sshd", p.path("/usr/sbin/sshd").read_bytes())


def changed_configuration(p: Planter) -> None:
    p.start_sshd()
    later = time.time() + 1
    path = p.path("/etc/ssh/sshd_config")
    before = path.stat()
    os.utime(path, (later, later))
    p.undo(os.utime, path, (before.st_atime, before.st_mtime))


def interpreter_in_open_folder(p: Planter) -> None:
    p.run("mkdir", "-m", "0777", "/opt/python")
    p.undo(p.run, "rm", "-r", "/opt/python")
    p.run("ln", "-s", install.PYTHON, "/opt/python/python3")
    p.replace(paths.REFUSE, f"#!{install.PYTHON} ", "#!/opt/python/python3 ")


def compiled(p: Planter) -> str:
    folder = f"{paths.LIBRARY}/sshd_hook/__pycache__"
    name = next(path.name for path in p.path(folder).iterdir() if path.name.startswith("refuse."))
    return f"{folder}/{name}"


def lose_user(name: str) -> Callable[[Planter], None]:
    return lambda p: p.replace("/etc/passwd", f"{name}:", "somebody:")


def stop(p: Planter, pid_file: str) -> int:
    pid = int(p.path(pid_file).read_text())
    p.run("kill", str(pid))
    return pid


def stop_user_database(p: Planter) -> None:
    stop(p, USERDB_PID)
    wait_for(lambda: not p.path(paths.USERDB_SOCKET).exists())
    p.undo(start_user_database, p.host)


def stop_hearing(p: Planter) -> None:
    """It hangs: also where sshd looks up the groups of a service."""
    supervisor = int(p.path(USERDB_PID).read_text())
    processes = p.run("pgrep", "-P", str(supervisor)).split()
    for pid in (supervisor, *map(int, processes)):
        hold(p, pid)
    p.sshd("Match Group sudo\n    PermitTTY yes\n")


def hold(p: Planter, pid: int) -> None:
    p.run("kill", "-STOP", str(pid))
    p.undo(p.run, "kill", "-CONT", str(pid))


def lose_roots_socket(p: Planter) -> None:
    hold(p, int(p.path(USERDB_PID).read_text()))
    p.away(paths.USERDB_ROOT_SOCKET)


def slow_user_database(p: Planter) -> None:
    stop_user_database(p)
    pid = p.host.machine.spawn("/usr/bin/python3", "-IS", "-c", SLOW, log="/dev/null")
    for path in (paths.USERDB_SOCKET, paths.USERDB_ROOT_SOCKET):
        p.undo(p.path(path).unlink)
        wait_for(p.path(path).exists)
    p.undo(p.run, "kill", str(pid))


def start_user_database(host: Host) -> None:
    words = (paths.SSHD_HOOK, "userdb", "--supervise")
    pid = host.machine.spawn(*words, log="/var/log/userdb.log")
    host.machine.path(USERDB_PID).write_text(str(pid))
    wait_for(lambda: host.machine.run("getent", "passwd", SERVICE).status == 0)


def stop_agent(p: Planter) -> None:
    pid = stop(p, AGENT_PID)
    wait_for(lambda: not p.path(f"/proc/{pid}").exists())
    p.undo(start_agent, p.host)


def start_agent(host: Host) -> None:
    pid = host.machine.spawn(paths.SSHD_HOOK, "agent", log="/var/log/agent.log")
    host.machine.path(AGENT_PID).write_text(str(pid))
    # Taking the lock, to see whether it is held, would keep the agent from starting.
    inode = host.machine.path(paths.AGENT).stat().st_ino
    wait_for(lambda: f":{inode} " in host.machine.path("/proc/locks").read_text())


def foreign_bundle(p: Planter) -> None:
    version = bundles.from_bytes(p.host.read(paths.BUNDLE)).version
    data = p.host.ca.bundle(host_id="another", version=version)
    p.write(paths.BUNDLE, data)
    p.state()


def only_report(p: Planter) -> None:
    version = bundles.from_bytes(p.host.read(paths.BUNDLE)).version
    asked = Requirement(frozenset({"mfa"}))
    held = ServiceRecord(SERVICE, Requirement(), max_offline=DAY, access_list=0, reported=asked)
    p.write(paths.BUNDLE, p.host.ca.bundle(version=version, services=[held]))
    p.state()


def run_ahead(p: Planter) -> None:
    p.state(**since(1800))
    os.utime(p.path(paths.FRESH))


def see_clock(p: Planter, skew: int = 0, set_ago: int = 0, set_by: int = 0) -> None:
    """What the agent would have written of the clock."""
    seen = {"skew": skew, "set_at": int(time.time()) - set_ago, "set_by": set_by}
    p.write(clock.FILE, json.dumps(seen))


def damage_bundle(p: Planter) -> None:
    data = p.host.read(paths.BUNDLE)
    p.write(paths.BUNDLE, data[:-1] + bytes([data[-1] ^ 1]))


def cut_bundle(p: Planter) -> None:
    p.write(paths.BUNDLE, p.host.read(paths.BUNDLE)[:100])


def on_tmpfs(folder: str, size: str) -> Callable[[Planter], None]:
    """Put a small file system over a folder, with the same in it."""

    def plant(p: Planter) -> None:
        was = p.path(folder).stat()
        files = [(path.name, path.read_bytes(), path.stat()) for path in p.path(folder).iterdir()]
        owner = f"uid={was.st_uid},gid={was.st_gid},mode={was.st_mode & 0o7777:o}"
        p.mount(folder, "-t", "tmpfs", "-o", f"size={size},{owner}", "small")
        for name, data, status in files:
            path = p.path(f"{folder}/{name}")
            path.write_bytes(data)
            os.chown(path, status.st_uid, status.st_gid)
            path.chmod(status.st_mode & 0o7777)

    return plant


def read_only(p: Planter) -> None:
    p.mount(paths.POLICY, "--bind", paths.POLICY)
    p.run("mount", "-o", "remount,bind,ro", paths.POLICY)


def verdicts_on_disk(p: Planter) -> None:
    p.run("cp", "-a", paths.RUN, "/var/lib/verdicts")
    p.undo(p.run, "rm", "-r", "/var/lib/verdicts")
    p.mount(paths.RUN, "--bind", "/var/lib/verdicts")


def hide_processes(p: Planter, more: str = "") -> None:
    p.run("mount", "-o", f"remount,hidepid=2{more}", "/proc")
    p.undo(p.run, "mount", "-o", "remount,hidepid=0", "/proc")


def deny(p: Planter, ago: int = 60) -> None:
    p.run("mkdir", "-p", "/var/log/audit")
    p.write("/var/log/audit/audit.log", DENIAL.format(when=int(time.time()) - ago))


def deny_by_profile(p: Planter, reloaded: str = "") -> None:
    """AppArmor denied it; then, perhaps, its profile was loaded anew."""
    p.write("/var/log/kern.log", (APPARMOR + reloaded).format(when=int(time.time()) - 60))


def systemd_runs(p: Planter) -> None:
    p.path("/run/systemd/system").mkdir()
    p.undo(p.path("/run/systemd/system").rmdir)


def no_getent(p: Planter) -> None:
    p.write("/run/cover", b"")
    p.mount("/usr/bin/getent", "--bind", "/run/cover")


def switch(old: str, new: str) -> Callable[[Planter], None]:
    """Change a line of nsswitch.conf, blanks aside."""

    def change(text: str) -> str:
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert old in lines
        return "".join(f"{new if line == old else line}\n" for line in lines)

    return lambda p: p.edit(hostfiles.NSSWITCH, change)


def append(inside: str, text: str) -> Callable[[Planter], None]:
    return lambda p: p.edit(inside, lambda before: before + text)


def pam_module(p: Planter) -> str:
    found = p.run("sh", "-c", "ls /usr/lib/*/security/pam_exec.so")
    return found.strip()


def since(seconds: int) -> dict[str, int]:
    issued_at = int(time.time()) - seconds
    return {"issued_at": issued_at, "not_after": issued_at + DAY}


def hook_gid(p: Planter) -> int:
    return p.path(paths.POLICY).stat().st_gid


def exclude_name(p: Planter) -> None:
    """Whoever has such a name keeps their own keys by sshd's own word."""
    append("/etc/passwd", "backup-admin1-x--y:x:1200:1200::/:/bin/sh\n")(p)
    p.replace(paths.SSHD_DROP_IN, "Match User ", "Match User !backup-admin1-x--y,")


def keep_pam_elsewhere(p: Planter) -> None:
    aside = p.away(hostfiles.PAM)
    p.path(hostfiles.PAM).symlink_to(aside.name)
    p.undo(p.path(hostfiles.PAM).unlink)


def force_without_pam(p: Planter) -> None:
    p.for_services("ForceCommand /bin/true")
    p.edit(hostfiles.PAM, hostfiles.remove_pam)
