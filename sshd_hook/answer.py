"""What the holder of a certificate is answered who wants to come in by this name.

It is a line that lets in, a line that only shows a refusal, or none: for every doubt. This takes
what sshd asked, what the host knows and the time as arguments; `sshd_hook.principals` reads them.
"""

from sshd_hook import entry, verdict
from sshd_hook.bundle import Bundle, ServiceRecord
from sshd_hook.certificate import (
    MAX_BLOB,
    Certificate,
    check_fields,
    display_name,
    is_valid_at,
    parse,
    session_handle,
)
from sshd_hook.freshness import Freshness, is_fresh
from sshd_hook.names import DIGITS, is_project, parse_service
from sshd_hook.paths import ENTER, ENTRY, REFUSE
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

MAX_ARGUMENT = (MAX_BLOB + 2) // 3 * 4  # characters of base64
MAX_UID_DIGITS = 10

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
