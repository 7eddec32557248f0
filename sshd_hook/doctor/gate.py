"""What sshd would do for logins to services, and for administrators, as it says itself."""

from __future__ import annotations

import contextlib
import fnmatch
import os

from sshd_hook import hostfiles, paths, preflight, questions
from sshd_hook.doctor import pam
from sshd_hook.doctor.findings import Finding
from sshd_hook.wire import Reader, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined, Settings
    from sshd_hook.questions import Question

# The code for each keyword that must have one value. `preflight.DEMANDED` says which.
CODES = {
    "pamservicename": "pam-service",
    "authenticationmethods": "authentication-methods",
    "trustedusercakeys": "trusted-ca-keys",
    "revokedkeys": "revoked-keys",
    "authorizedprincipalscommanduser": "principals-command-user",
    "authorizedprincipalsfile": "principals-file",
    "authorizedkeysfile": "authorized-keys-file",
    "authorizedkeyscommand": "authorized-keys-command",
    "passwordauthentication": "password-login",
    "kbdinteractiveauthentication": "keyboard-login",
    "hostbasedauthentication": "hostbased-login",
    "permittunnel": "tunnel",
    "permituserrc": "user-rc",
    "allowtcpforwarding": "tcp-forwarding",
    "allowstreamlocalforwarding": "stream-forwarding",
    "chrootdirectory": "chroot-directory",
    "allowusers": "allow-lists",
    "allowgroups": "allow-lists",
}
# The same for keywords that enrolling does not look at: `none` where this sshd has no such thing.
FURTHER = {
    "pubkeyauthentication": ("public-key-login", ("yes",)),
    "permitemptypasswords": ("password-login", ("no",)),
    "gssapiauthentication": ("gssapi-login", ("no", "none")),
    "kerberosauthentication": ("gssapi-login", ("no", "none")),
    "gatewayports": ("gateway-ports", ("no",)),
    "exposeauthinfo": ("expose-auth-info", ("no",)),
    "denyusers": ("allow-lists", ("none",)),
    "denygroups": ("allow-lists", ("none",)),
}

OURS = ("trustedusercakeys", "revokedkeys", "authorizedprincipalscommand")
DANGEROUS = ("LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "ENV", "BASH_ENV", "PYTHONPATH")
QUIET = ("QUIET", "SILENT", "FATAL", "ERROR")  # sshd calls the first by the second
RSA_BITS = 3072
SIGNATURES = {"ssh-rsa": "rsa-sha2-512"}  # what a key of this type signs with, where not itself
ACCEPTED = ("pubkeyacceptedalgorithms", "pubkeyacceptedkeytypes")  # as until OpenSSH 8.5
CERTIFICATES = "ssh-ed25519-cert-v01@openssh.com"
WAYS_IN = {  # for an administrator, and the value that closes each
    "authorizedkeysfile": "none",
    "authorizedkeyscommand": "none",
    "trustedusercakeys": "none",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "hostbasedauthentication": "no",
    "gssapiauthentication": "no",
}


def check_services(host: Examined) -> Iterator[Finding]:
    """Every way around the hook, and everything that keeps people out, whichever block opens it."""
    found: dict[str, Finding] = {}
    for question, settings in host.gate:
        for finding in _check(question, settings):
            found.setdefault(finding.code, finding)
    yield from found.values()


def _check(question: Question, settings: Settings) -> Iterator[Finding]:
    if all(settings.get(keyword) != preflight.DEMANDED[keyword] for keyword in OURS):
        yield Finding("gate-missing", f"for {question}")
        return
    for keyword, code in CODES.items():
        allowed = (preflight.DEMANDED[keyword], *preflight.STRICTER.get(keyword, ()))
        if settings.get(keyword) not in allowed:
            yield _says(code, keyword, question, settings)
    for keyword, (code, values) in FURTHER.items():
        if settings.get(keyword) not in values:
            yield _says(code, keyword, question, settings)
    yield from _check_command(question, settings)
    yield from _check_others(question, settings)


def _check_command(question: Question, settings: Settings) -> Iterator[Finding]:
    keyword = "authorizedprincipalscommand"
    program, _, _tokens = settings.get(keyword).partition(" ")
    if program != paths.PRINCIPALS:
        yield _says("principals-command", keyword, question, settings)
    elif settings.get(keyword) != preflight.DEMANDED[keyword]:
        yield _says("principals-command-tokens", keyword, question, settings)


def _check_others(question: Question, settings: Settings) -> Iterator[Finding]:
    if settings.get("forcecommand") != "none":
        code = "forced-command" if pam.is_in_place() else "forced-command-ungated"
        yield _says(code, "forcecommand", question, settings)
    patterns = [word for value in settings.all("acceptenv") for word in value.split()]
    if any(fnmatch.fnmatchcase(name, one) for name in DANGEROUS for one in patterns):
        yield _says("accept-env", "acceptenv", question, settings)
    if settings.get("loglevel") in QUIET:
        yield _says("log-level", "loglevel", question, settings)
    bits = settings.get("requiredrsasize")
    if bits.isdecimal() and int(bits) < RSA_BITS:
        yield _says("rsa-size", "requiredrsasize", question, settings)
    if not any(CERTIFICATES in settings.get(keyword).split(",") for keyword in ACCEPTED):
        yield Finding("certificate-algorithms", f"no {CERTIFICATES} for {question}")


def check_signatures(host: Examined) -> Iterator[Finding]:
    """That sshd takes signatures by our CA's kinds of keys."""
    kinds = _authority_types()
    for question, settings in host.gate:
        taken = settings.get("casignaturealgorithms").split(",")
        for kind in kinds:
            if SIGNATURES.get(kind, kind) not in taken:
                yield Finding("certificate-algorithms", f"no signature by {kind} for {question}")
                return


def _authority_types() -> set[str]:
    """The types of the CA keys, as far as they can be read."""
    found: set[str] = set()
    if not os.path.isfile(paths.USER_CA):
        return found
    with open(paths.USER_CA, encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, IndexError):
                found.add(Reader(unb64(line.split()[1])).text())
    return found


def check_names(host: Examined) -> Iterator[Finding]:
    """Users of this host, services not, for whom sshd asks the hook."""
    host.check_name_service()
    for name in sorted(set(preflight.all_names())):
        if fnmatch.fnmatchcase(name, hostfiles.SERVICES):
            settings = host.sshd(questions.Question(name))
            if settings.get(OURS[0]) == preflight.DEMANDED[OURS[0]]:
                yield Finding("names-fit-services", name)


def check_administrators(host: Examined) -> Iterator[Finding]:
    """That administrators have a way in, and nothing of ours in it."""
    closed = []
    for question, settings in host.administrators:
        ours = [word for word in OURS if settings.get(word) == preflight.DEMANDED[word]]
        if ours:
            yield Finding("gate-outside-block", f"{', '.join(ours)} for {question.user}")
            return
        barred = question.user == "root" and settings.get("permitrootlogin") == "no"
        ways = (settings.get(word) not in (value, "none") for word, value in WAYS_IN.items())
        closed.append(barred or not any(ways))
    if all(closed):
        names = ", ".join(question.user for question, _settings in host.administrators)
        yield Finding("no-way-in", f"asked about {names}")


def check_for_all(host: Examined) -> Iterator[Finding]:
    """What is set for the whole of sshd only."""
    settings = host.sshd()
    if settings.get("usepam") != "yes":
        yield Finding("use-pam")
    if settings.get("permituserenvironment") != "no":
        yield Finding("user-environment", settings.get("permituserenvironment"))
    exempt = settings.get("persourcepenaltyexemptlist") != "none"
    if settings.knows("persourcepenalties") and not exempt:
        penalties = settings.get("persourcepenalties")
        if penalties != "no" and "authfail:0" not in penalties.split():
            yield Finding("penalties", penalties)


def _says(code: str, keyword: str, question: Question, settings: Settings) -> Finding:
    return Finding(code, f"`{keyword} {settings.get(keyword)}` for {question}")


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_services,
    check_signatures,
    check_names,
    check_administrators,
    check_for_all,
)
