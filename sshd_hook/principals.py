"""What sshd asks at each login: may the holder of this certificate come in by this name?

sshd runs it twice for each login, and for anybody who has the public half of a certificate. So it
does what is cheap first, prints one line or nothing, and answers the same to the same question.
It prints a line that lets in, a line that only shows a refusal, or nothing: for every doubt.
"""

import posix
import sys
import syslog
import time
from posix import _exit  # nothing to flush, and taking Python down costs a millisecond

from sshd_hook import entry, verdict
from sshd_hook.bundle import Bundle, ServiceRecord, from_fd
from sshd_hook.certificate import (
    MAX_BLOB,
    Certificate,
    check_fields,
    display_name,
    is_valid_at,
    parse,
    session_handle,
)
from sshd_hook.freshness import MAX_STATEMENT, Freshness, is_fresh
from sshd_hook.freshness import parse as parse_freshness
from sshd_hook.log import MAX_DECISIONS, log_decision
from sshd_hook.names import DIGITS, is_project, is_user_id, parse_service
from sshd_hook.paths import (
    BUNDLE,
    CONFIGURATION,
    ENTER,
    ENTRY,
    FRESH,
    POLICY,
    REFUSE,
    SHARED_UID,
    UntrustedError,
    check_folders,
    open_trusted,
    read_trusted,
)
from sshd_hook.policy import (
    ALLOWED,
    CONTRIBUTOR,
    MORE_AUTHENTICATION,
    NO_ACCESS,
    NO_ROLE,
    Access,
    Claims,
    Decision,
    Requirement,
    decide,
    lacking,
)
from sshd_hook.wire import WireError, b64, fingerprint, unb64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

SECONDS = 3  # until the alarm ends the process, and sshd takes that for no
MEMORY = 256 << 20  # bytes of address space; the interpreter alone takes about 20 MB
MAX_ARGUMENT = (MAX_BLOB + 2) // 3 * 4  # characters of base64
FILE_SIZE = MAX_DECISIONS  # bytes that a file may grow to: a verdict has less
MAX_UID_DIGITS = 10
MAX_SERIAL_DIGITS = 20
STDOUT = 1

REPORT_ONLY = "report_only"  # let in, but not if all were held against them that is asked for
CODES = {ALLOWED: "allowed", NO_ACCESS: "no_access", MORE_AUTHENTICATION: "more_authentication"}


def code_of(outcome: str, reported: "tuple[str, ...]" = ()) -> str:
    """What the log calls it; `reported` is what who is let in lacks of what is only reported."""
    return REPORT_ONLY if reported else CODES[outcome]


class DeniedError(Exception):
    """No answer for the person; `code` and `reason` are the operator's."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Policy:
    """What the host knows: the bundle, how fresh it is, the uid of names that are no service's.

    `entries` is the operator's file of how sessions get into services.
    """

    __slots__ = ("bundle", "entries", "freshness", "shared_uid")

    def __init__(
        self, bundle: Bundle, freshness: Freshness, shared_uid: str, entries: str = ""
    ) -> None:
        self.bundle = bundle
        self.freshness = freshness
        self.shared_uid = shared_uid
        self.entries = entries


class Question:
    """What sshd asked, checked: the name of a service, its account, and the certificate.

    `claims` are what the certificate says about the login.
    """

    __slots__ = ("certificate", "claims", "name", "record", "uid")

    def __init__(
        self, name: str, record: str, uid: str, certificate: Certificate, claims: Claims
    ) -> None:
        self.name = name
        self.record = record
        self.uid = uid
        self.certificate = certificate
        self.claims = claims


class Answer:
    """The line for sshd, the verdict that goes before it, and the decision's stable code."""

    __slots__ = ("code", "details", "ending", "line", "note")

    def __init__(
        self, code: str, line: str, ending: str, note: bytes, details: "dict[str, str]"
    ) -> None:
        self.code = code
        self.line = line
        self.ending = ending
        self.note = note
        self.details = details


# --- the decision ---------------------------------------------------------------------------


def answer_to(arguments: "list[str]", now: int, read: "Callable[[], Policy]") -> Answer:
    """The answer to `%u %U %i %s %t %K %k`. `read` is called only if it can matter.

    Raises:
        DeniedError: there is none, for the reason that it gives.
    """
    question = read_question(arguments, now)
    policy = read()
    try:
        return _decide(question, policy, now)
    except ValueError as error:  # of the bundle's and the certificate's readers
        raise DeniedError("bundle_damaged", str(error)) from error


def read_question(arguments: "list[str]", now: int) -> Question:
    """Check all that can be checked without knowing the policy, the cheapest first.

    Raises:
        DeniedError: sshd would not ask so, or not about a good certificate of ours.
    """
    if len(arguments) != len(("%u", "%U", "%i", "%s", "%t", "%K", "%k")):
        raise DeniedError("bad_arguments", "not the seven arguments of the drop-in's line")
    login, uid, key_id, serial, key_type, authority, blob = arguments
    name = parse_service(login)
    if name is None:
        code = "repository" if is_project(login) else "other_name"
        raise DeniedError(code, "not the name of a service")
    if len(blob) > MAX_ARGUMENT or not 0 < len(uid) <= MAX_UID_DIGITS or not DIGITS.issuperset(uid):
        raise DeniedError("bad_arguments", "a certificate too long, or not a uid")
    try:
        certificate, _, _ = parse(unb64(blob))
        told = (key_id, serial, key_type, authority)
        if told != _tokens(certificate):
            raise DeniedError("disagreement", "sshd reads something else in this certificate")
        if not is_valid_at(certificate, now):
            raise DeniedError("not_valid_now", "the certificate is expired or not valid yet")
        claims = check_fields(certificate)
    except WireError as error:
        raise DeniedError("bad_certificate", str(error)) from error
    return Question(login, name.record, uid, certificate, claims)


def _tokens(certificate: Certificate) -> "tuple[str, str, str, str]":
    """What sshd says of this certificate as `%i %s %t %K`."""
    return (
        certificate.key_id,
        str(certificate.serial),
        certificate.key_type,
        b64(certificate.signature_key),
    )


def _decide(question: Question, policy: Policy, now: int) -> Answer:
    certificate, bundle = question.certificate, policy.bundle
    if not bundle.trusts(certificate.signature_key):
        raise DeniedError(
            "authority_unknown", "the certificate is of a CA that is not in the bundle"
        )
    record = bundle.service(question.record)
    found = bundle.role(record.access_list if record else 0, certificate.key_id)
    role, exempt = found or (NO_ROLE, False)
    access = Access(role, CONTRIBUTOR, exempt=exempt) if record else None
    claims = question.claims
    decision = decide(record.requirement if record else Requirement(), access, claims, None, now)
    # Whoever has no access must not learn by an organization's own limit that it has a service.
    known = record and decision.outcome != NO_ACCESS
    limit = record.max_offline if record and known else bundle.strictest
    if not is_fresh(policy.freshness, limit, now):
        raise DeniedError("policy_stale", "no word from the CA for too long: see the agent's log")
    if record is None or decision.outcome != ALLOWED:
        return _refusal(question, decision)
    if question.uid == policy.shared_uid:
        raise DeniedError("no_account", "the service has no account yet: see the agent's log")
    options = _options(record)
    if _has_entry(policy, question):
        # exec: a shell that waited would be ended by the Ctrl-C that is meant for what runs inside.
        options = f'{options},command="exec {ENTER} {question.name}"'
    missing = lacking(decision, record.reported, access, claims, None, now)
    return _admission(question, options, missing)


def _has_entry(policy: Policy, question: Question) -> bool:
    try:
        return entry.find(policy.entries, question.record) is not None
    except entry.EntryError as error:
        raise DeniedError("entry_damaged", f"{ENTRY}: {error}") from error


def _admission(question: Question, options: str, missing: "tuple[str, ...]") -> Answer:
    """Let in, with these options; `missing` is what they lack of what is only reported."""
    certificate = question.certificate
    connection = verdict.Connection(
        user=certificate.key_id,
        service=question.name,
        serial=certificate.serial,
        key=fingerprint(certificate.public_key),
        authority=fingerprint(certificate.signature_key),
        session=session_handle(certificate),
        claims=question.claims,
    )
    line = f"{options} {certificate.key_id}\n"
    note = verdict.render(connection)
    details = _details(question)
    if missing:
        details["missing"] = ",".join(missing)
    return Answer(code_of(ALLOWED, missing), line, verdict.ALLOWED, note, details)


def _options(record: ServiceRecord) -> str:
    """What a connection to a service may do, and from where (sshd(8), AUTHORIZED_KEYS)."""
    options = ["restrict", "pty", "agent-forwarding", "X11-forwarding"]
    if record.forwards:
        options.append("port-forwarding")
        options.extend(f'permitopen="{forward}"' for forward in record.forwards)
    if record.requirement.networks is not None:
        options.append(f'from="{",".join(record.requirement.networks)}"')
    return ",".join(options)


def _refusal(question: Question, decision: Decision) -> Answer:
    from sshd_hook.refusal import Refusal, to_fields  # who comes in does not wait for these
    from sshd_hook.refuse import to_word

    certificate = question.certificate
    refusal = Refusal(decision, question.name, display_name(certificate), certificate.key_id)
    line = f'restrict,pty,command="{REFUSE} {to_word(refusal)}" {certificate.key_id}\n'
    details = _details(question)
    if decision.missing:
        details["missing"] = ",".join(decision.missing)
    return Answer(code_of(decision.outcome), line, verdict.REFUSED, to_fields(refusal), details)


def _details(question: Question) -> "dict[str, str]":
    certificate = question.certificate
    return {
        "service": question.name,
        "user": certificate.key_id,
        "serial": str(certificate.serial),
        "session": session_handle(certificate),
    }


# --- the host -------------------------------------------------------------------------------


def read_policy() -> Policy:
    """What is installed on this host. The bundle stays open.

    Raises:
        DeniedError: a part of it is missing, damaged, or could have been written by others.
    """
    try:
        check_folders(POLICY)
        return Policy(
            from_fd(*open_trusted(BUNDLE)),
            parse_freshness(read_trusted(FRESH, MAX_STATEMENT)),
            _uid(read_trusted(SHARED_UID, MAX_UID_DIGITS + 1)),
            _read_entries(),
        )
    except OSError as error:
        raise DeniedError("policy_missing", "the policy cannot be opened") from error
    except UntrustedError as error:
        raise DeniedError("policy_untrusted", str(error)) from error
    except ValueError as error:
        raise DeniedError("policy_damaged", str(error)) from error


def _read_entries() -> str:
    """The operator's file of entries; empty if there is none.

    Raises:
        OSError, UntrustedError: it is there, but is not to be read or trusted.
        DeniedError: it is empty, as while somebody writes it anew: sessions would be on the host.
    """
    try:
        data = read_trusted(ENTRY, entry.MAX_SIZE)
    except FileNotFoundError:
        return ""
    check_folders(CONFIGURATION)
    if not data:
        raise DeniedError("entry_damaged", f"{ENTRY} is empty: remove it if there is to be none")
    return data.decode("utf-8", "replace")


def _uid(text: bytes) -> str:
    uid = text.decode("ascii").removesuffix("\n")
    if not uid or not DIGITS.issuperset(uid):
        raise ValueError("the shared uid is not a number")
    return uid


def main() -> "NoReturn":
    """Answer sshd. Whatever goes wrong: nothing printed, one line in the log, exit 1."""
    status = 1
    try:
        _limit()
        _run(sys.argv[1:], int(time.time()))
        status = 0
    except DeniedError as denied:
        log_decision(denied.code, syslog.LOG_NOTICE, _asked_for(sys.argv), denied.reason)
    except BaseException as error:  # noqa: BLE001 -- a traceback would be no answer
        log_decision("internal", syslog.LOG_ERR, {"error": type(error).__name__})
    finally:
        _exit(status)


def _asked_for(arguments: "list[str]") -> "dict[str, str]":
    """The service, user and serial that sshd asked about, each if it has the alphabet of one."""
    name, user, serial = "".join(arguments[1:2]), "".join(arguments[3:4]), "".join(arguments[4:5])
    details = {} if parse_service(name) is None else {"service": name}
    if is_user_id(user):
        details["user"] = user
    if 0 < len(serial) <= MAX_SERIAL_DIGITS and DIGITS.issuperset(serial):
        details["serial"] = serial
    return details


def _limit() -> None:
    """Give up after a while, and need no more than this answer can take."""
    # `signal` itself makes enumerations of what is in this one.
    import _signal  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]
    import resource

    _signal.alarm(SECONDS)
    for kind, most in (
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _run(arguments: "list[str]", now: int) -> None:
    """Remove the old verdict, decide, leave the new one, print: in this order.

    Raises:
        DeniedError: no step may be left out, so there is no answer.
    """
    try:
        posix.fstat(STDOUT)  # if it is closed, the next file opened would be taken for it
        connection = verdict.parent()
        folder = verdict.open_folder()
        verdict.remove(folder, connection)
    except (verdict.VerdictError, OSError) as error:
        raise DeniedError("no_verdict_folder", "an old verdict could not be removed") from error
    answer = answer_to(arguments, now, read_policy)
    try:
        _deliver(answer, folder, connection)
    except BaseException as error:
        verdict.remove(folder, connection)
        raise DeniedError("not_answered", "the verdict or the line was not written") from error


def _deliver(answer: Answer, folder: int, connection: str) -> None:
    verdict.leave(folder, connection, answer.ending, answer.note)
    log_decision(answer.code, syslog.LOG_INFO, answer.details)
    _print(answer.line.encode("ascii"))


def _print(line: bytes) -> None:
    posix.set_blocking(STDOUT, False)  # who does not read gets no answer, rather than a wait
    try:
        if posix.write(STDOUT, line) != len(line):
            raise OSError("only a part of the answer was taken")
    finally:
        posix.set_blocking(STDOUT, True)
