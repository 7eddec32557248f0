"""Faults for the doctor to find on an enrolled host, each under its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sshd_hook import hostfiles, install, paths, preflight
from sshd_hook.agent import host as agent_host
from tests import plants
from tests.hosts import DAY, SERVICE
from tests.planter import HOST_CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.planter import Planter

PERMIT = "account sufficient pam_permit.so\n"
INCLUDE = "@include common-account\n"
SUBSTACK = "account substack common-account\n"
NO_COMMAND = "AuthorizedKeysCommand none"
NO_KEYS = "AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"


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
    setting("forced-command", "ForceCommand /bin/true"),
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
    Fault("password-login", plants.include_elsewhere),
    setting("authorized-keys-file", "AuthorizedKeysFile /k", match="User *p Address 10.1.2.3"),
    setting("forced-command", "ForceCommand /bin/true", match="all"),
    # --- what holds for all of sshd ---
    globally("sshd-config-invalid", "Nonsense yes\n"),
    globally("use-pam", "UsePAM no\n"),
    globally("user-environment", "PermitUserEnvironment yes\n"),
    globally("gate-outside-block", f"TrustedUserCAKeys {paths.USER_CA}\n"),
    globally("no-way-in", NO_KEYS),
    Fault("sshd-old", plants.old_sshd),
    Fault("sshd-binary-old", plants.replaced_sshd),
    Fault("sshd-config-old", plants.changed_configuration),
    Fault("host-certificate-missing", lambda p: p.away(HOST_CERTIFICATE)),
    Fault("host-certificate-expired", lambda p: p.certify_host("-2d:-1d")),
    Fault("host-certificate-expiring", lambda p: p.certify_host("-10d:+1d")),
    Fault(
        "host-certificate-key",
        lambda p: p.certify_host("-1h:+30d", p.host.ca.keys["recovery"].encode()),
    ),
    # --- PAM ---
    Fault("pam-line-missing", lambda p: p.edit(hostfiles.PAM, hostfiles.remove_pam)),
    Fault("pam-line-missing", lambda p: p.away(hostfiles.PAM)),
    Fault("pam-line-not-first", lambda p: p.edit(hostfiles.PAM, lambda text: PERMIT + text)),
    Fault("pam-line-not-first", lambda p: p.edit(hostfiles.PAM, lambda text: INCLUDE + text)),
    Fault("pam-line-not-first", lambda p: p.edit(hostfiles.PAM, lambda text: SUBSTACK + text)),
    Fault("pam-line-changed", lambda p: p.replace(hostfiles.PAM, " requisite ", " optional ")),
    Fault("pam-line-changed", lambda p: p.replace(hostfiles.PAM, "=~ ?", "=~ [a-z]")),
    Fault("pam-module-missing", lambda p: p.away(plants.pam_module(p))),
    Fault("account-program-changed", plants.append(paths.ACCOUNT, "exit 0\n")),
    Fault(
        "forced-command-ungated",
        plants.force_without_pam,
        frozenset({"pam-line-missing"}),
    ),
    # --- files and folders ---
    Fault("path-missing", lambda p: p.away(paths.REFUSE)),
    Fault("path-missing", lambda p: p.away(agent_host.BUNDLE_SIGNERS)),
    Fault("path-link", plants.link_program),
    Fault("path-kind", plants.put_pipe),
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
    Fault("path-mode", lambda p: p.mode(paths.USERDB_ROOT_SOCKET, 0o666)),
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
    Fault("interpreter-unsafe", plants.interpreter_in_open_folder),
    Fault("compiled-missing", lambda p: p.away(plants.compiled(p))),
    Fault(
        "compiled-stale",
        plants.append(f"{paths.LIBRARY}/sshd_hook/refuse.py", "# changed\n"),
    ),
    # --- users and names ---
    Fault("user-missing", plants.lose_user(paths.HOOK_USER)),
    Fault("user-missing", plants.lose_user(paths.USERDB_USER)),
    Fault("nsswitch-passwd", plants.switch("passwd: files systemd", "passwd: files")),
    Fault("nsswitch-group", plants.switch("group: files systemd", "group: files")),
    Fault("nsswitch-shadow", plants.switch("shadow: files systemd", "shadow: files")),
    Fault("nsswitch-initgroups", plants.switch("initgroups: files", "initgroups: files systemd")),
    Fault("nsswitch-initgroups", plants.switch("initgroups: files", "")),
    Fault("nsswitch-initgroups", plants.switch("group: files systemd", "group: files systemd sss")),
    Fault(
        "shadow-unanswered",
        plants.switch("shadow: files systemd", "shadow: files [NOTFOUND=return] systemd"),
    ),
    Fault(
        "names-unresolved",
        plants.switch("passwd: files systemd", "passwd: files [NOTFOUND=return] systemd"),
    ),
    Fault(
        "names-fit-services",
        plants.append("/etc/passwd", "backup-admin1-x--y:x:1200:1200::/:/bin/sh\n"),
    ),
    Fault("uid-range-taken", plants.append("/etc/passwd", "guest:x:400777:1200::/:/bin/sh\n")),
    Fault("uid-range-taken", plants.append("/etc/subuid", "admin:350000:65536\n")),
    Fault("uid-map-bad", lambda p: p.write(paths.UIDS, "nonsense\n")),
    Fault("uid-map-bad", lambda p: p.away(paths.UIDS)),
    Fault("shared-uid-wrong", lambda p: p.write(paths.SHARED_UID, "400005\n")),
    Fault("userdb-down", plants.stop_user_database),
    Fault("userdb-down", plants.stop_hearing),
    Fault("userdb-down", plants.lose_roots_socket),
    Fault("userdb-slow", plants.slow_user_database),
    # --- policy ---
    Fault("not-enrolled", lambda p: p.away(agent_host.RECORD)),
    Fault("agent-down", plants.stop_agent),
    Fault("floor-damaged", lambda p: p.write(agent_host.FLOOR, "one two\n")),
    Fault("bundle-missing", lambda p: p.away(paths.BUNDLE)),
    Fault("bundle-damaged", plants.damage_bundle),
    Fault("bundle-damaged", plants.cut_bundle),
    Fault("bundle-foreign", plants.foreign_bundle),
    Fault("report-only", plants.only_report),
    Fault("bundle-rolled-back", lambda p: p.write(agent_host.FLOOR, "99 0\n")),
    Fault("fresh-missing", lambda p: p.away(paths.FRESH)),
    Fault("fresh-missing", lambda p: p.write(paths.FRESH, "amrgate-fresh 1\n")),
    Fault("fresh-mismatch", lambda p: p.state(version=98)),
    Fault("fresh-mismatch", lambda p: p.state(host_id="another")),
    Fault("fresh-expired", lambda p: p.state(**plants.since(DAY + 60))),
    Fault("fresh-old", lambda p: p.state(**plants.since(7200))),
    Fault("clock-behind", lambda p: p.state(**plants.since(-3600))),
    Fault("clock-ahead", plants.run_ahead),
    Fault("clock-ahead", lambda p: plants.see_clock(p, skew=400)),
    Fault("clock-behind", lambda p: plants.see_clock(p, skew=-90)),
    Fault("clock-set", lambda p: plants.see_clock(p, set_ago=3600, set_by=-90)),
    Fault("entry-damaged", lambda p: p.write(paths.ENTRY, "* relative {name}\n")),
    Fault("entry-damaged", lambda p: p.write(paths.ENTRY, "")),
    Fault("entry-damaged", lambda p: p.write(paths.ENTRY, "abcdefg123456-*  /usr/bin/env\n")),
    Fault("entry-program", lambda p: p.write(paths.ENTRY, "* /usr/bin/none\n")),
    Fault("entry-program", lambda p: p.write(paths.ENTRY, "* /etc/passwd\n")),
    Fault("entry-program", plants.open_script_of_entry),
    Fault("entry-unused", lambda p: p.write(paths.ENTRY, "abcdefg123456-mian-*  /bin/true\n* -\n")),
    Fault("entry-unused", lambda p: p.write(paths.ENTRY, f"{SERVICE}--1  /bin/true\n* -\n")),
    Fault("krl-missing", lambda p: p.away(paths.REVOKED)),
    Fault("krl-empty", lambda p: p.write(paths.REVOKED, "")),
    Fault("krl-unreadable", lambda p: p.write(paths.REVOKED, p.host.read(paths.REVOKED)[:20])),
    Fault("krl-unreadable", lambda p: p.write(paths.REVOKED, p.host.ca.keys["other"])),
    Fault("krl-old", lambda p: p.write(agent_host.FLOOR, "1 5\n")),
    Fault("krl-differs", lambda p: p.write(paths.REVOKED, p.host.ca.longer_krl())),
    Fault("ca-keys-unreadable", lambda p: p.edit(paths.USER_CA, lambda text: "garbage\n" + text)),
    Fault("ca-keys-unreadable", lambda p: p.away(paths.USER_CA)),
    Fault(
        "ca-keys-differ", lambda p: plants.append(paths.USER_CA, f"{p.host.ca.keys['other']}\n")(p)
    ),
    Fault("ca-keys-differ", lambda p: p.write(paths.USER_CA, "")),
    # --- the machine ---
    Fault("proc-hidden", plants.hide_processes),
    Fault("verdicts-on-disk", plants.verdicts_on_disk),
    Fault("disk-full", plants.on_tmpfs(paths.POLICY, "1m")),
    Fault("disk-read-only", plants.read_only),
    Fault("run-full", plants.on_tmpfs(paths.VERDICTS, "32k")),
    Fault("security-denial", plants.deny),
    Fault("security-denial", plants.deny_by_profile),
    Fault(
        "security-denial",
        lambda p: plants.deny_by_profile(p, plants.RELOADED.replace("{info}", plants.SAME)),
    ),
    Fault("not-started-at-boot", plants.systemd_runs),
    Fault("check-failed", plants.no_getent),
]
# What looks like a fault and is none.
HARMLESS: dict[str, Callable[[Planter], object]] = {
    "stricter": lambda p: p.for_services("AllowTcpForwarding no"),
    "for others": lambda p: p.for_services("PasswordAuthentication yes", match="User admin"),
    "for root": lambda p: p.for_services("AuthorizedKeysFile /k", match="User root Address *"),
    "the usual": lambda p: p.sshd("LogLevel VERBOSE\nAcceptEnv LANG LC_*\n"),
    "blanks": lambda p: p.edit(hostfiles.NSSWITCH, lambda text: text.replace("    ", "  ")),
    "auth first": lambda p: p.edit(hostfiles.PAM, lambda text: f"auth required pam_env.so\n{text}"),
    "hidden but for the hook": lambda p: plants.hide_processes(p, f",gid={plants.hook_gid(p)}"),
    "set long ago": lambda p: plants.see_clock(p, skew=-30, set_ago=2 * DAY, set_by=90),
    "denied long ago": lambda p: plants.deny(p, 2 * DAY),
    "allowed since": lambda p: plants.deny_by_profile(p, plants.RELOADED.replace("{info}", "")),
    "an entry": lambda p: p.write(paths.ENTRY, "# none yet\nabcdefg123456-*  -\n* /usr/bin/env\n"),
    "an open home": lambda p: p.mode(f"{paths.HOMES}/{SERVICE}", 0o755),
    "a name that is excluded": plants.exclude_name,
    "a link of PAM's": plants.keep_pam_elsewhere,
}
# Where sshd knows the keyword.
NEWER = [
    globally("penalties", "PerSourcePenalties authfail:5\n"),
    globally("pam-service", "PAMServiceName login\n"),
]
