"""Every code that the doctor knows: how bad it is, what it says, and the cure. docs/doctor.md shows it.

A code is for monitoring and for searching: once released, it keeps its meaning.
"""

from __future__ import annotations

from sshd_hook import hostfiles, paths
from sshd_hook.agent import host as agent_host
from sshd_hook.doctor.cures import AGAIN, AGENT, REINSTALL
from sshd_hook.doctor.findings import FAULT, WARNING, Code
from sshd_hook.doctor.login_codes import LOGIN_CODES

_RULES = f"{paths.LIBRARY}/sshd_hook/files/apparmor"
_CLOCK = "Set the clock, and let it be kept (systemd-timesyncd, chrony)."

CODES = {
    **LOGIN_CODES,
    # --- programs, files, folders ---
    "path-missing": Code(FAULT, "a file or folder of ours is missing", REINSTALL),
    "path-link": Code(
        FAULT,
        "a file or folder of ours is a link, which sshd follows to wherever somebody leads it",
        "Put the real one in its place.",
    ),
    "path-kind": Code(FAULT, "something else is where a file or folder of ours must be", REINSTALL),
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
        REINSTALL,
    ),
    "interpreter-unsafe": Code(
        FAULT,
        "others can exchange the Python that our programs run on",
        "Give it, and each folder above it, to root, writable by nobody else.",
    ),
    "compiled-missing": Code(
        WARNING,
        "Python was upgraded: our modules are compiled again at each login, which makes it slow",
        REINSTALL,
    ),
    "compiled-stale": Code(
        FAULT, "our compiled modules are not those of the sources beside them", REINSTALL
    ),
    # --- users and names ---
    "user-missing": Code(FAULT, "a system user of ours is gone, so the hook cannot run", AGAIN),
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
        f"Remove {agent_host.FLOOR} if you know why it is so. {AGENT}",
    ),
    "bundle-missing": Code(FAULT, "there is no policy, so nobody gets in", AGENT),
    "bundle-damaged": Code(FAULT, "the policy is damaged", AGENT),
    "bundle-foreign": Code(FAULT, "the policy is another host's, as on a copied disk", AGAIN),
    "bundle-rolled-back": Code(
        FAULT,
        "the policy is older than one that was here before",
        f"Find out who put it there. {AGENT}",
    ),
    "report-only": Code(
        WARNING,
        "not all that is asked of logins is held against them, by the policy",
        "If it is meant to be: nothing. Else the CA's operator, or the organization's admin, ends"
        " it (`amrgate-ca host explain` says where it comes from).",
    ),
    "fresh-missing": Code(
        FAULT, "there is no readable word of the CA that the policy is current", AGENT
    ),
    "fresh-mismatch": Code(
        FAULT, "the CA's word that the policy is current is about another policy", AGENT
    ),
    "fresh-expired": Code(
        FAULT,
        "the CA has not been heard for too long, or the clock is ahead: the hook refuses",
        f"See that the clock is right and the CA can be reached. {AGENT}",
    ),
    "fresh-old": Code(
        WARNING,
        "the CA, which speaks every ten minutes, has not been heard",
        f"See that the CA can be reached. {AGENT}",
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
        FAULT, "there is no revocation list, so sshd refuses every certificate", AGENT
    ),
    "krl-empty": Code(
        FAULT, "the revocation list has no bytes, which sshd takes for nothing revoked", AGENT
    ),
    "krl-unreadable": Code(
        FAULT, "sshd cannot read the revocation list, and refuses every certificate", AGENT
    ),
    "krl-old": Code(FAULT, "the revocation list is older than the one that the CA wants", AGENT),
    "krl-differs": Code(
        FAULT, "the revocation list is not the one that the CA signed: somebody changed it", AGENT
    ),
    "ca-keys-unreadable": Code(
        FAULT,
        "sshd cannot read each line of the CA keys, and takes none after the first that it cannot",
        AGENT,
    ),
    "ca-keys-differ": Code(
        FAULT, "the CA keys are not those that the policy names", f"Find out why. {AGENT}"
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
