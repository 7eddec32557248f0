"""Every code that the doctor knows: how bad it is, what it says, and the cure. docs/doctor.md shows it.

A code is for monitoring and for searching: once released, it keeps its meaning.
"""

from __future__ import annotations

from sshd_hook import hostfiles, paths, preflight
from sshd_hook.agent import host as agent_host
from sshd_hook.doctor.findings import FAULT, WARNING, Code

_WINS = f"Remove it, or let {paths.SSHD_DROP_IN} be read before it; then reload sshd."
_RULES = f"{paths.LIBRARY}/sshd_hook/files/apparmor"
_LINES = f"{paths.LIBRARY}/sshd_hook/files/pam-account"
_AGENT = (
    "Restart the agent (`systemctl restart amrgate-agent`): it fetches everything, or logs why not."
)
_CLOCK = "Set the clock, and let it be kept (systemd-timesyncd, chrony)."
_AGAIN = "Run `sshd-hook unenroll`, then enroll this host again."
_REINSTALL = "Install the hook again (its package, or unenroll and enroll)."

CODES = {
    # --- sshd ---
    "sshd-config-invalid": Code(
        FAULT,
        "sshd does not take its configuration, and would not start again",
        "Mend what `sshd -t` names.",
    ),
    "sshd-old": Code(
        FAULT,
        "this sshd is too old for the hook",
        "Upgrade OpenSSH: 8.2 is the first that checks the CA's signatures.",
    ),
    "sshd-binary-old": Code(
        WARNING,
        "the sshd that runs is not the one on the disk",
        "Restart sshd (`systemctl restart ssh`): open connections stay.",
    ),
    "sshd-config-old": Code(
        WARNING,
        "sshd's configuration was changed after sshd last read it",
        "Reload sshd (`systemctl reload ssh`).",
    ),
    "use-pam": Code(
        FAULT,
        "sshd does not ask PAM, so no refusal shows its reason, and nothing backs the hook",
        "Set `UsePAM yes` and reload sshd.",
    ),
    "penalties": Code(
        FAULT,
        "sshd punishes the addresses of people that were refused, colleagues' as well",
        f"Put `PerSourcePenalties authfail:0` first in {paths.SSHD_DROP_IN}.",
    ),
    "log-level": Code(
        WARNING,
        "sshd does not log who comes in",
        "Set `LogLevel INFO` or more and reload sshd.",
    ),
    "user-environment": Code(
        FAULT,
        "sshd takes environment variables from files of the account, which can subvert a refusal",
        "Set `PermitUserEnvironment no` and reload sshd.",
    ),
    "gate-outside-block": Code(
        WARNING,
        "what is for services alone holds for administrators too, who may be locked out by it",
        f"Take it out of the global part: {paths.SSHD_DROP_IN} has it, in its Match block.",
    ),
    "no-way-in": Code(
        WARNING,
        "no administrator can log in by ssh",
        "Allow their keys again (AuthorizedKeysFile), in a Match block if not for all.",
    ),
    "host-certificate-missing": Code(
        WARNING,
        "sshd cannot read a host certificate, so engineers are asked about the host's key",
        _AGAIN,
    ),
    "host-certificate-expired": Code(
        FAULT, "a host certificate is not valid now, so ssh clients refuse this host", _AGAIN
    ),
    "host-certificate-expiring": Code(
        WARNING, "a host certificate should have been renewed by now", _AGENT
    ),
    "host-certificate-key": Code(
        WARNING,
        "a host certificate is for a key that sshd does not have, and is not offered",
        _AGAIN,
    ),
    # --- what sshd does for services ---
    "gate-missing": Code(
        FAULT,
        "sshd does not ask the hook about services",
        f"See that /etc/ssh/sshd_config includes {paths.SSHD_DROP_IN}, first; without it, enroll again.",
    ),
    "public-key-login": Code(FAULT, "sshd takes no keys for services, so nobody gets in", _WINS),
    "authentication-methods": Code(
        FAULT, "sshd lets services in by something else than a key alone", _WINS
    ),
    "certificate-algorithms": Code(
        FAULT,
        "sshd does not take the certificates, or the signatures, of our CA",
        "Let PubkeyAcceptedAlgorithms and CASignatureAlgorithms have them again; reload sshd.",
    ),
    "trusted-ca-keys": Code(FAULT, "sshd trusts CA keys of others for services", _WINS),
    "revoked-keys": Code(FAULT, "sshd does not look at our revocation list for services", _WINS),
    "principals-command": Code(
        FAULT, "another program than the hook decides about services", _WINS
    ),
    "principals-command-tokens": Code(
        FAULT,
        "sshd does not tell the hook what it needs, or knows one of the tokens not at all",
        f"Write `{preflight.DEMANDED['authorizedprincipalscommand']}`; then reload sshd.",
    ),
    "principals-command-user": Code(FAULT, "the hook runs as another user than its own", _WINS),
    "principals-file": Code(
        FAULT,
        "a principals file lets people in without the hook (`none` is the file ~/none, too)",
        f"Let the first block that fits services name {paths.NO_PRINCIPALS}; then reload sshd.",
    ),
    "authorized-keys-file": Code(FAULT, "a file of keys lets people in without the hook", _WINS),
    "authorized-keys-command": Code(
        FAULT, "another program gives sshd keys that get in without the hook", _WINS
    ),
    "password-login": Code(FAULT, "services can be reached with a password", _WINS),
    "keyboard-login": Code(
        FAULT, "services can be reached by keyboard-interactive authentication", _WINS
    ),
    "hostbased-login": Code(FAULT, "services can be reached by host-based authentication", _WINS),
    "gssapi-login": Code(FAULT, "services can be reached by GSSAPI or Kerberos", _WINS),
    "user-rc": Code(
        FAULT, "sshd runs ~/.ssh/rc of the account, which can subvert a refusal", _WINS
    ),
    "accept-env": Code(
        WARNING,
        "clients may set variables that programs are subverted with",
        "Name the variables in AcceptEnv one by one; then reload sshd.",
    ),
    "tcp-forwarding": Code(FAULT, "services may forward ports to this host", _WINS),
    "stream-forwarding": Code(FAULT, "services may forward Unix sockets", _WINS),
    "gateway-ports": Code(WARNING, "what services forward is open to others", _WINS),
    "tunnel": Code(FAULT, "services may open network tunnels, which no certificate limits", _WINS),
    "forced-command": Code(
        WARNING,
        "a ForceCommand takes the place of the line that refuses: PAM alone is left",
        _WINS,
    ),
    "forced-command-ungated": Code(
        FAULT,
        "a ForceCommand lets in whom the hook refuses, because PAM does not run our program",
        f"Put the lines of {_LINES} first in {hostfiles.PAM}, or remove the ForceCommand.",
    ),
    "chroot-directory": Code(
        WARNING, "sshd locks services into a folder, where our programs are not", _WINS
    ),
    "allow-lists": Code(
        FAULT,
        "a list of allowed or denied users or groups refuses services without a reason",
        _WINS,
    ),
    "expose-auth-info": Code(
        WARNING, "sshd leaves people's certificates on accounts that they share", _WINS
    ),
    "rsa-size": Code(WARNING, "sshd takes RSA keys of less than 3072 bits for services", _WINS),
    # --- PAM ---
    "pam-service": Code(
        FAULT,
        f"sshd asks PAM by another file than {hostfiles.PAM}, where our lines are",
        "Set `PAMServiceName sshd` for services, or remove it; then reload sshd.",
    ),
    "pam-line-missing": Code(
        FAULT,
        "PAM does not run our program for sshd, as after an upgrade that replaced its file",
        f"Put the lines of {_LINES} first in {hostfiles.PAM}.",
    ),
    "pam-line-not-first": Code(
        FAULT,
        "something in PAM's file for sshd comes before our lines and may let people in",
        f"Put the lines of {_LINES} first in {hostfiles.PAM}.",
    ),
    "pam-line-changed": Code(
        FAULT,
        "our lines in PAM's file for sshd were changed, and may never match",
        f"Replace them with those of {_LINES}.",
    ),
    "pam-module-missing": Code(
        FAULT,
        "a module that our PAM lines name is missing",
        "Install libpam-modules again.",
    ),
    "account-program-changed": Code(
        FAULT, "the program that PAM runs is not ours any more", _REINSTALL
    ),
    # --- programs, files, folders ---
    "path-missing": Code(FAULT, "a file or folder of ours is missing", _REINSTALL),
    "path-link": Code(
        FAULT,
        "a file or folder of ours is a link, which sshd follows to wherever somebody leads it",
        "Put the real one in its place.",
    ),
    "path-kind": Code(
        FAULT, "something else is where a file or folder of ours must be", _REINSTALL
    ),
    "path-owner": Code(
        FAULT, "a file or folder that logins rest on is another's", "Give it back with chown."
    ),
    "path-mode": Code(
        FAULT,
        "others can change what logins rest on, or read what is secret, or who needs it cannot",
        "Set its mode with chmod.",
    ),
    "parent-unsafe": Code(
        FAULT,
        "others can exchange what is in a folder above a file that logins rest on",
        "Give the folder to root (chown), and take the right to write from others (chmod go-w).",
    ),
    "principals-file-filled": Code(
        FAULT,
        "the file of principals is not empty: who stands in it gets in without the hook",
        f"Empty it: `: > {paths.NO_PRINCIPALS}`.",
    ),
    "home-missing": Code(
        WARNING,
        "a service has no home: sshd's complaint tells strangers which services there are",
        "Restart the agent: it makes the homes that are missing.",
    ),
    "home-unsafe": Code(
        WARNING,
        "a service's home is not its own, or others can write in it",
        "Give it back with chown, and chmod 700.",
    ),
    "entry-damaged": Code(
        FAULT,
        "the file of entries is not written as it must be, so nobody gets into any service",
        f"Mend the line of {paths.ENTRY} that is named; docs/hosts.md shows its form.",
    ),
    "entry-program": Code(
        FAULT,
        "a program that an entry names is missing, or others can change it",
        f"Name the right one in {paths.ENTRY}, or give it to root, writable by nobody else.",
    ),
    "entry-unused": Code(
        WARNING,
        "an entry fits no service of this host, so whatever it was meant for may run on the host itself",
        f"Mend the name in {paths.ENTRY} (without an instance's number), or remove the line.",
    ),
    "interpreter-options": Code(
        FAULT,
        "a program of ours is not started by a fixed Python with -IS, so files of others may run",
        _REINSTALL,
    ),
    "interpreter-unsafe": Code(
        FAULT,
        "others can exchange the Python that our programs run on",
        "Give it, and each folder above it, to root, writable by nobody else.",
    ),
    "compiled-missing": Code(
        WARNING,
        "Python was upgraded: our modules are compiled again at each login, which makes it slow",
        _REINSTALL,
    ),
    "compiled-stale": Code(
        FAULT, "our compiled modules are not those of the sources beside them", _REINSTALL
    ),
    # --- users and names ---
    "user-missing": Code(FAULT, "a system user of ours is gone, so the hook cannot run", _AGAIN),
    "nsswitch-passwd": Code(
        FAULT,
        "names of services do not resolve, because `passwd` does not ask systemd",
        f"Add `systemd` to `passwd:` in {hostfiles.NSSWITCH}.",
    ),
    "nsswitch-group": Code(
        FAULT,
        "groups of services do not resolve, because `group` does not ask systemd",
        f"Add `systemd` to `group:` in {hostfiles.NSSWITCH}.",
    ),
    "nsswitch-shadow": Code(
        FAULT,
        "PAM refuses services, because `shadow` does not ask systemd",
        f"Add `systemd` to `shadow:` in {hostfiles.NSSWITCH}.",
    ),
    "nsswitch-initgroups": Code(
        WARNING,
        "`initgroups` is not `group` without systemd: administrators lack groups of a directory, or wait for a user database that hangs",
        f"Write `initgroups:` with the sources of `group:` but systemd in {hostfiles.NSSWITCH}.",
    ),
    "shadow-unanswered": Code(
        FAULT,
        "PAM refuses services, because nothing answers for their shadow entries",
        f"See {hostfiles.NSSWITCH}; before systemd 248, put `account [success=done default=ignore] …`"
        " after pam_nologin, as enroll does.",
    ),
    "names-unresolved": Code(
        FAULT,
        "names of services do not lead to our accounts",
        f"See what answers before `systemd` in {hostfiles.NSSWITCH}, or restart nscd.",
    ),
    "names-fit-services": Code(
        FAULT,
        "users of this host have names like services', so their own keys are not taken",
        f"Rename them, or exclude them by `Match User !NAME,{hostfiles.SERVICES}`.",
    ),
    "uid-range-taken": Code(
        FAULT,
        "uids of our range belong to others, so services may own their files",
        "Give the others new uids, or unenroll this host and enroll it again.",
    ),
    "uid-map-bad": Code(
        FAULT,
        "the map of uids is missing or damaged, so no service is found",
        f"Restore {paths.UIDS} from a backup; if there is none, unenroll this host and enroll it again.",
    ),
    "shared-uid-wrong": Code(
        FAULT,
        "the hook takes another uid for the shared account than the user database does",
        f"Write the number in the first line of {paths.UIDS} to {paths.SHARED_UID}.",
    ),
    "userdb-down": Code(
        FAULT,
        "the user database does not answer, so names of services do not resolve",
        "Restart amrgate-userdb.socket, or `sshd-hook userdb --supervise` where no systemd runs.",
    ),
    "userdb-slow": Code(
        WARNING,
        "the user database answers slowly, and every login asks it some twenty times",
        "See what keeps the processor busy; restart amrgate-userdb.service.",
    ),
    # --- policy ---
    "not-enrolled": Code(
        FAULT,
        "this host does not know its CA",
        "Run `sshd-hook enroll` (if it was enrolled before: `sshd-hook unenroll` first).",
    ),
    "agent-down": Code(
        FAULT,
        "the agent does not run, so nothing that the CA says arrives",
        "Start it: `systemctl restart amrgate-agent`, or `sshd-hook agent` where no systemd runs.",
    ),
    "floor-damaged": Code(
        FAULT,
        "the agent cannot read what it must not fall behind, and takes nothing new",
        f"Remove {agent_host.FLOOR} if you know why it is so. {_AGENT}",
    ),
    "bundle-missing": Code(FAULT, "there is no policy, so nobody gets in", _AGENT),
    "bundle-damaged": Code(FAULT, "the policy is damaged", _AGENT),
    "bundle-foreign": Code(FAULT, "the policy is another host's, as on a copied disk", _AGAIN),
    "bundle-rolled-back": Code(
        FAULT,
        "the policy is older than one that was here before",
        f"Find out who put it there. {_AGENT}",
    ),
    "report-only": Code(
        WARNING,
        "not all that is asked of logins is held against them, by the policy",
        "If it is meant to be: nothing. Else the CA's operator, or the organization's admin, ends"
        " it (`amrgate-ca host explain` says where it comes from).",
    ),
    "fresh-missing": Code(
        FAULT, "there is no readable word of the CA that the policy is current", _AGENT
    ),
    "fresh-mismatch": Code(
        FAULT, "the CA's word that the policy is current is about another policy", _AGENT
    ),
    "fresh-expired": Code(
        FAULT,
        "the CA has not been heard for too long, or the clock is ahead: the hook refuses",
        f"See that the clock is right and the CA can be reached. {_AGENT}",
    ),
    "fresh-old": Code(
        WARNING,
        "the CA, which speaks every ten minutes, has not been heard",
        f"See that the CA can be reached. {_AGENT}",
    ),
    "clock-behind": Code(
        FAULT,
        "the clock is behind the CA's: new certificates, or its word, are from the future: refused",
        _CLOCK,
    ),
    "clock-ahead": Code(
        FAULT,
        "the clock is ahead of the CA's: its word was old when it came, new certificates look expired",
        _CLOCK,
    ),
    "clock-set": Code(
        WARNING,
        "the clock was set in the last day, by more than what keeps clocks would",
        f"See who did, and whether it is right. {_CLOCK}",
    ),
    "krl-missing": Code(
        FAULT, "there is no revocation list, so sshd refuses every certificate", _AGENT
    ),
    "krl-empty": Code(
        FAULT, "the revocation list has no bytes, which sshd takes for nothing revoked", _AGENT
    ),
    "krl-unreadable": Code(
        FAULT, "sshd cannot read the revocation list, and refuses every certificate", _AGENT
    ),
    "krl-old": Code(FAULT, "the revocation list is older than the one that the CA wants", _AGENT),
    "krl-differs": Code(
        FAULT, "the revocation list is not the one that the CA signed: somebody changed it", _AGENT
    ),
    "ca-keys-unreadable": Code(
        FAULT,
        "sshd cannot read each line of the CA keys, and takes none after the first that it cannot",
        _AGENT,
    ),
    "ca-keys-differ": Code(
        FAULT, "the CA keys are not those that the policy names", f"Find out why. {_AGENT}"
    ),
    # --- the machine ---
    "proc-hidden": Code(
        FAULT,
        "/proc hides processes (hidepid), so the hook sees no login's start and refuses everybody",
        f"Mount /proc with the option gid= and the number of the group {paths.HOOK_USER} as well.",
    ),
    "verdicts-on-disk": Code(
        WARNING,
        "what the hook tells PAM is kept on a disk, where it outlives a boot",
        f"Let {paths.RUN} be on a tmpfs.",
    ),
    "disk-full": Code(
        FAULT,
        "a disk is full, so no change of policy can be put in place",
        "Make room. What was decided by before is still decided by.",
    ),
    "disk-read-only": Code(
        FAULT,
        "a disk is read-only, so no change of policy can be put in place",
        "Find out why (dmesg), mend it, and mount it for writing again.",
    ),
    "run-full": Code(
        FAULT,
        "there is no room for verdicts, so the hook refuses everybody",
        f"Make room on the file system of {paths.VERDICTS}.",
    ),
    "security-denial": Code(
        WARNING,
        "SELinux or AppArmor denied something to our programs in the last day",
        "Allow it in the policy that the log line names. By AppArmor's profile of sshd, run"
        f" `echo 'include if exists \"{_RULES}\"' >> /etc/apparmor.d/local/usr.sbin.sshd"
        " && apparmor_parser -r /etc/apparmor.d/usr.sbin.sshd`.",
    ),
    "not-started-at-boot": Code(
        WARNING,
        "systemd does not start a unit of ours when this machine boots",
        f"Run `systemctl enable {' '.join(hostfiles.UNITS)}`.",
    ),
    # --- the doctor ---
    "check-failed": Code(
        WARNING,
        "the doctor could not look at something",
        "See the reason; run it again once that is mended.",
    ),
}
