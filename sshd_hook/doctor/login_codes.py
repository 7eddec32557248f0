"""The codes of what sshd and PAM do at a login. `sshd_hook.doctor.codes` has all."""

from __future__ import annotations

from sshd_hook import hostfiles, paths, preflight
from sshd_hook.doctor.cures import AGAIN, AGENT, REINSTALL
from sshd_hook.doctor.findings import FAULT, WARNING, Code

_WINS = f"Remove it, or let {paths.SSHD_DROP_IN} be read before it; then reload sshd."
_LINES = f"{paths.LIBRARY}/sshd_hook/files/pam-account"

LOGIN_CODES = {
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
        AGAIN,
    ),
    "host-certificate-expired": Code(
        FAULT, "a host certificate is not valid now, so ssh clients refuse this host", AGAIN
    ),
    "host-certificate-expiring": Code(
        WARNING, "a host certificate should have been renewed by now", AGENT
    ),
    "host-certificate-key": Code(
        WARNING,
        "a host certificate is for a key that sshd does not have, and is not offered",
        AGAIN,
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
        FAULT, "the program that PAM runs is not ours any more", REINSTALL
    ),
}
