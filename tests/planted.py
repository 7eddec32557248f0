"""Faults for the doctor to find on an enrolled host, each under its code."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sshd_hook import bundle as bundles
from sshd_hook import enroll, hostfiles, install, paths, preflight
from sshd_hook.agent import host as agent_host
from tests.hosts import DAY, SERVICE, wait_for
from tests.planter import HOST_CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts import Host
    from tests.planter import Planter

USERDB_PID = "/run/userdb.pid"
AGENT_PID = "/run/agent.pid"
PERMIT = "account sufficient pam_permit.so\n"
DENIAL = (
    'type=AVC msg=audit({when}.123:45): avc:  denied  {{ read }} for  pid=7 comm="principals"'
    ' name="bundle" scontext=system_u:system_r:sshd_t:s0 tclass=file permissive=0\n'
)
SLOW = """
import socket, sys, threading, time
sys.path.insert(0, "/usr/lib/amrgate/lib")
from sshd_hook import paths, userdb
book = userdb.Book(paths.UIDS, paths.HOMES)
listener = socket.socket(socket.AF_UNIX)
listener.bind(paths.USERDB_SOCKET)
import os; os.chmod(paths.USERDB_SOCKET, 0o666)
listener.listen(64)
def serve(connection):
    while message := connection.recv(4096):
        time.sleep(0.3)
        connection.sendall(book.answer(message.rstrip(b"\\0")) or b"")
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@dataclass(frozen=True)
class Fault:
    """A fault: its code, how it is planted, and codes of what goes with it."""

    code: str
    plant: Callable[[Planter], object]
    also: frozenset[str] = frozenset()


def setting(code: str, *settings: str, match: str = "User *") -> Fault:
    return Fault(code, lambda p: p.for_services(*settings, match=match))


def globally(code: str, text: str) -> Fault:
    return Fault(code, lambda p: p.sshd(text))


# --- plants of more than a line -------------------------------------------------------------


def link_program(p: Planter) -> None:
    """As in attack 51: the link stands where anyone may replace it, and sshd follows it."""
    p.run("mkdir", "-m", "0777", "/opt/current")
    p.undo(p.run, "rm", "-r", "/opt/current")
    p.run("cp", paths.PRINCIPALS, "/opt/current/principals")
    p.away(paths.PRINCIPALS)
    p.path(paths.PRINCIPALS).symlink_to("/opt/current/principals")
    p.undo(p.path(paths.PRINCIPALS).unlink)


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
    for pid in (str(supervisor), *processes):
        p.run("kill", "-STOP", pid)
        p.undo(p.run, "kill", "-CONT", pid)
    p.sshd("Match Group sudo\n    PermitTTY yes\n")


def slow_user_database(p: Planter) -> None:
    stop_user_database(p)
    pid = p.host.machine.spawn("/usr/bin/python3", "-IS", "-c", SLOW, log="/dev/null")
    p.undo(p.path(paths.USERDB_SOCKET).unlink)
    p.undo(p.run, "kill", str(pid))
    wait_for(p.path(paths.USERDB_SOCKET).exists)


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


def run_ahead(p: Planter) -> None:
    p.state(**since(1800))
    os.utime(p.path(paths.FRESH))


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


def hide_processes(p: Planter) -> None:
    p.run("mount", "-o", "remount,hidepid=2", "/proc")
    p.undo(p.run, "mount", "-o", "remount,hidepid=0", "/proc")


def deny(p: Planter) -> None:
    p.run("mkdir", "-p", "/var/log/audit")
    p.write("/var/log/audit/audit.log", DENIAL.format(when=int(time.time()) - 60))


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

    return lambda p: p.edit(enroll.NSSWITCH, change)


def append(inside: str, text: str) -> Callable[[Planter], None]:
    return lambda p: p.edit(inside, lambda before: before + text)


def pam_module(p: Planter) -> str:
    found = p.run("sh", "-c", "ls /usr/lib/*/security/pam_exec.so")
    return found.strip()


def since(seconds: int) -> dict[str, int]:
    issued_at = int(time.time()) - seconds
    return {"issued_at": issued_at, "not_after": issued_at + DAY}


def force_without_pam(p: Planter) -> None:
    p.for_services(FORCED[1])
    p.edit(enroll.PAM, hostfiles.remove_pam)


FORCED = ("forced-command", "ForceCommand /bin/true")
NO_COMMAND = "AuthorizedKeysCommand none"
NO_KEYS = "AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
FAULTS = [
    # --- what sshd does for services, whichever block says so ---
    Fault(
        "gate-missing", lambda p: p.edit(paths.SSHD_DROP_IN, lambda text: text.split("Match")[0])
    ),
    setting("public-key-login", "PubkeyAuthentication no"),
    setting("authentication-methods", "AuthenticationMethods publickey,password publickey"),
    setting("certificate-algorithms", "PubkeyAcceptedAlgorithms ssh-ed25519"),
    globally("certificate-algorithms", "CASignatureAlgorithms rsa-sha2-512\n"),
    setting("trusted-ca-keys", "TrustedUserCAKeys /etc/ssh/ssh_host_ed25519_key.pub"),
    setting("revoked-keys", "RevokedKeys none"),
    # With `AuthorizedKeysCommand none`, 9.2 takes no later AuthorizedPrincipalsCommand.
    setting("principals-command", "AuthorizedPrincipalsCommand /usr/bin/echo %u", NO_COMMAND),
    setting(
        "principals-command-tokens",
        f"AuthorizedPrincipalsCommand {paths.PRINCIPALS} %u %C",
        NO_COMMAND,
    ),
    setting("principals-command-user", "AuthorizedPrincipalsCommandUser nobody"),
    setting("principals-file", "AuthorizedPrincipalsFile none"),
    setting("principals-file", "AuthorizedPrincipalsFile %h/.ssh/principals"),
    setting("authorized-keys-file", "AuthorizedKeysFile .ssh/authorized_keys"),
    setting(
        "authorized-keys-command",
        f"AuthorizedPrincipalsCommand {preflight.DEMANDED['authorizedprincipalscommand']}",
        "AuthorizedKeysCommand /usr/bin/true",
        "AuthorizedKeysCommandUser nobody",
        match=f"User {hostfiles.SERVICES}",
    ),
    setting("password-login", "PasswordAuthentication yes"),
    setting("password-login", "PermitEmptyPasswords yes"),
    setting("keyboard-login", "KbdInteractiveAuthentication yes"),
    setting("hostbased-login", "HostbasedAuthentication yes"),
    setting("gssapi-login", "GSSAPIAuthentication yes"),
    setting("user-rc", "PermitUserRC yes"),
    setting("accept-env", "AcceptEnv LANG LD_*"),
    setting("tcp-forwarding", "AllowTcpForwarding yes"),
    setting("tcp-forwarding", "AllowTcpForwarding remote"),
    setting("stream-forwarding", "AllowStreamLocalForwarding yes"),
    setting("gateway-ports", "GatewayPorts yes"),
    setting("tunnel", "PermitTunnel yes"),
    setting(*FORCED),
    setting("chroot-directory", "ChrootDirectory /srv"),
    setting("allow-lists", "AllowUsers admin"),
    setting("allow-lists", "AllowGroups sudo"),
    setting("allow-lists", "DenyUsers *--app"),
    setting("allow-lists", "DenyGroups nogroup"),
    setting("rsa-size", "RequiredRSASize 2048"),
    setting("log-level", "LogLevel QUIET"),
    globally("expose-auth-info", "ExposeAuthInfo yes\n"),
    # --- blocks that hold for some logins only ---
    setting("password-login", "PasswordAuthentication yes", match="Address 10.0.0.0/8"),
    setting("password-login", "PasswordAuthentication yes", match="Address 2001:db8::/32"),
    setting("password-login", "PasswordAuthentication yes", match="Address 172.16.*"),
    setting("password-login", "PasswordAuthentication yes", match="Address *,!127.0.0.1"),
    setting("password-login", "PasswordAuthentication yes", match="Host *.lan,gateway"),
    setting("password-login", "PasswordAuthentication yes", match="LocalPort 2222"),
    setting("password-login", "PasswordAuthentication yes", match="LocalAddress 198.51.100.7"),
    setting("password-login", "PasswordAuthentication yes", match="Group *"),
    setting("password-login", "PasswordAuthentication yes", match=f"User {SERVICE}"),
    setting("password-login", "PasswordAuthentication yes", match="User !root,*-prod--*"),
    setting("authorized-keys-file", "AuthorizedKeysFile /k", match="User *p Address 10.1.2.3"),
    setting("forced-command", "ForceCommand /bin/true", match="all"),
    # --- what holds for all of sshd ---
    globally("sshd-config-invalid", "Nonsense yes\n"),
    globally("use-pam", "UsePAM no\n"),
    globally("user-environment", "PermitUserEnvironment yes\n"),
    globally("gate-outside-block", f"TrustedUserCAKeys {paths.USER_CA}\n"),
    globally("no-way-in", NO_KEYS),
    Fault("sshd-old", old_sshd),
    Fault("sshd-binary-old", replaced_sshd),
    Fault("sshd-config-old", changed_configuration),
    Fault("host-certificate-missing", lambda p: p.away(HOST_CERTIFICATE)),
    Fault("host-certificate-expired", lambda p: p.certify_host("-2d:-1d")),
    Fault("host-certificate-expiring", lambda p: p.certify_host("-10d:+1d")),
    Fault(
        "host-certificate-key",
        lambda p: p.certify_host("-1h:+30d", p.host.ca.keys["recovery"].encode()),
    ),
    # --- PAM ---
    Fault("pam-line-missing", lambda p: p.edit(enroll.PAM, hostfiles.remove_pam)),
    Fault("pam-line-missing", lambda p: p.away(enroll.PAM)),
    Fault("pam-line-not-first", lambda p: p.edit(enroll.PAM, lambda text: PERMIT + text)),
    Fault("pam-line-changed", lambda p: p.replace(enroll.PAM, " requisite ", " optional ")),
    Fault("pam-line-changed", lambda p: p.replace(enroll.PAM, "=~ ?", "=~ [a-z]")),
    Fault("pam-module-missing", lambda p: p.away(pam_module(p))),
    Fault("account-program-changed", append(paths.ACCOUNT, "exit 0\n")),
    Fault(
        "forced-command-ungated",
        force_without_pam,
        frozenset({"pam-line-missing"}),
    ),
    # --- files and folders ---
    Fault("path-missing", lambda p: p.away(paths.REFUSE)),
    Fault("path-missing", lambda p: p.away(agent_host.BUNDLE_SIGNERS)),
    Fault("path-link", link_program),
    Fault("path-kind", put_pipe),
    Fault("path-owner", lambda p: p.owner(paths.PRINCIPALS, 1001)),
    Fault("path-owner", lambda p: p.owner(paths.BUNDLE, 1001)),
    Fault("path-owner", lambda p: p.owner(paths.VERDICTS, 0)),
    Fault("path-mode", lambda p: p.mode(paths.PRINCIPALS, 0o775)),
    Fault("path-mode", lambda p: p.mode(paths.ACCOUNT, 0o644)),
    Fault("path-mode", lambda p: p.mode(paths.BUNDLE, 0o644)),
    Fault("path-mode", lambda p: p.mode(paths.FRESH, 0o600)),
    Fault("path-mode", lambda p: p.mode(paths.REVOKED, 0o666)),
    Fault("path-mode", lambda p: p.mode(paths.UIDS, 0o644)),
    Fault("path-mode", lambda p: p.mode(agent_host.KEY, 0o640)),
    Fault("path-mode", lambda p: p.mode(paths.VERDICTS, 0o755)),
    Fault("path-mode", lambda p: p.mode(paths.HOMES, 0o755)),
    Fault("path-mode", lambda p: p.mode(paths.SSHD_DROP_IN, 0o664)),
    Fault("path-mode", lambda p: p.mode(f"{paths.LIBRARY}/sshd_hook/policy.py", 0o666)),
    Fault("parent-unsafe", lambda p: p.mode("/usr/lib", 0o777)),
    Fault("parent-unsafe", lambda p: p.owner("/etc/ssh/sshd_config.d", 1001)),
    Fault("principals-file-filled", lambda p: p.write(paths.NO_PRINCIPALS, "u-7f3\n")),
    Fault("home-missing", lambda p: p.away(f"{paths.HOMES}/{SERVICE}")),
    Fault("home-unsafe", lambda p: p.owner(f"{paths.HOMES}/{SERVICE}", 1001)),
    Fault("home-unsafe", lambda p: p.mode(f"{paths.HOMES}/{SERVICE}", 0o777)),
    Fault(
        "interpreter-options",
        lambda p: p.replace(paths.PRINCIPALS, f"#!{install.PYTHON} -IS", "#!/usr/bin/env python3"),
    ),
    Fault(
        "interpreter-options", lambda p: p.replace(paths.PRINCIPALS, "python3 -IS", "python3 -S")
    ),
    Fault("interpreter-unsafe", interpreter_in_open_folder),
    Fault("compiled-missing", lambda p: p.away(compiled(p))),
    Fault("compiled-stale", append(f"{paths.LIBRARY}/sshd_hook/refuse.py", "# changed\n")),
    # --- users and names ---
    Fault("user-missing", lose_user(paths.HOOK_USER)),
    Fault("user-missing", lose_user(paths.USERDB_USER)),
    Fault("nsswitch-passwd", switch("passwd: files systemd", "passwd: files")),
    Fault("nsswitch-group", switch("group: files systemd", "group: files")),
    Fault("nsswitch-shadow", switch("shadow: files systemd", "shadow: files")),
    Fault("nsswitch-initgroups", switch("initgroups: files", "initgroups: files systemd")),
    Fault("nsswitch-initgroups", switch("initgroups: files", "")),
    Fault(
        "shadow-unanswered",
        switch("shadow: files systemd", "shadow: files [NOTFOUND=return] systemd"),
    ),
    Fault(
        "names-unresolved",
        switch("passwd: files systemd", "passwd: files [NOTFOUND=return] systemd"),
    ),
    Fault(
        "names-fit-services", append("/etc/passwd", "backup-admin1-x--y:x:1200:1200::/:/bin/sh\n")
    ),
    Fault("uid-range-taken", append("/etc/passwd", "guest:x:400777:1200::/:/bin/sh\n")),
    Fault("uid-range-taken", append("/etc/subuid", "admin:350000:65536\n")),
    Fault("uid-map-bad", lambda p: p.write(paths.UIDS, "nonsense\n")),
    Fault("uid-map-bad", lambda p: p.away(paths.UIDS)),
    Fault("shared-uid-wrong", lambda p: p.write(paths.SHARED_UID, "400005\n")),
    Fault("userdb-down", stop_user_database),
    Fault("userdb-down", stop_hearing),
    Fault("userdb-slow", slow_user_database),
    # --- policy ---
    Fault("not-enrolled", lambda p: p.away(agent_host.RECORD)),
    Fault("agent-down", stop_agent),
    Fault("floor-damaged", lambda p: p.write(agent_host.FLOOR, "one two\n")),
    Fault("bundle-missing", lambda p: p.away(paths.BUNDLE)),
    Fault("bundle-damaged", damage_bundle),
    Fault("bundle-damaged", cut_bundle),
    Fault("bundle-foreign", foreign_bundle),
    Fault("bundle-rolled-back", lambda p: p.write(agent_host.FLOOR, "99 0\n")),
    Fault("fresh-missing", lambda p: p.away(paths.FRESH)),
    Fault("fresh-missing", lambda p: p.write(paths.FRESH, "amrgate-fresh 2\n")),
    Fault("fresh-mismatch", lambda p: p.state(version=98)),
    Fault("fresh-mismatch", lambda p: p.state(host_id="another")),
    Fault("fresh-expired", lambda p: p.state(**since(DAY + 60))),
    Fault("fresh-old", lambda p: p.state(**since(7200))),
    Fault("clock-behind", lambda p: p.state(**since(-3600))),
    Fault("clock-ahead", run_ahead),
    Fault("krl-missing", lambda p: p.away(paths.REVOKED)),
    Fault("krl-empty", lambda p: p.write(paths.REVOKED, "")),
    Fault("krl-unreadable", lambda p: p.write(paths.REVOKED, p.host.read(paths.REVOKED)[:20])),
    Fault("krl-unreadable", lambda p: p.write(paths.REVOKED, p.host.ca.keys["other"])),
    Fault("krl-old", lambda p: p.write(agent_host.FLOOR, "1 5\n")),
    Fault("ca-keys-unreadable", lambda p: p.edit(paths.USER_CA, lambda text: "garbage\n" + text)),
    Fault("ca-keys-unreadable", lambda p: p.away(paths.USER_CA)),
    Fault("ca-keys-differ", lambda p: append(paths.USER_CA, f"{p.host.ca.keys['other']}\n")(p)),
    Fault("ca-keys-differ", lambda p: p.write(paths.USER_CA, "")),
    # --- the machine ---
    Fault("proc-hidden", hide_processes),
    Fault("verdicts-on-disk", verdicts_on_disk),
    Fault("disk-full", on_tmpfs(paths.POLICY, "1m")),
    Fault("disk-read-only", read_only),
    Fault("run-full", on_tmpfs(paths.VERDICTS, "32k")),
    Fault("security-denial", deny),
    Fault("not-started-at-boot", systemd_runs),
    Fault("check-failed", no_getent),
]
# Where sshd knows the keyword.
PENALTIES = globally("penalties", "PerSourcePenalties authfail:5\n")
