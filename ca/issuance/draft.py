"""What a certificate will say: all of it computed here, but for the public key. Pure."""

from dataclasses import dataclass

from ca.errors import InvalidRequest
from ca.issuance.lint import BACKDATE
from sshd_hook.certificate import (
    AMR,
    AUTH_TIME,
    HAS_MFA,
    HOST,
    NAME,
    PERMISSIONS,
    SESSION,
    USER,
    VIA,
    Certificate,
    certificate_type,
    option,
)
from sshd_hook.names import is_display_name
from sshd_hook.wire import Reader

MIN_LIFETIME = 300  # seconds
MAX_LIFETIME = 3600  # seconds, of a user's certificate; also what one gets without asking
HOST_LIFETIME = 30 * 86400  # seconds


@dataclass(frozen=True)
class Holder:
    """Whom a user certificate is for, and how they logged in.

    `handle` names their session in certificates; `auth_time` is in seconds since the epoch.
    """

    user_id: str
    name: str
    handle: str
    amr: frozenset[str]
    auth_time: int
    via: str


@dataclass(frozen=True)
class Issue:
    """What is new with each certificate: number, random bytes, the CA's key, and the times."""

    serial: int
    nonce: bytes
    authority: bytes
    now: int
    lifetime: int


def user_certificate(public_key: bytes, holder: Holder, issue: Issue) -> Certificate:
    """The certificate that lets `holder` log in with `public_key`."""
    extensions = dict.fromkeys(PERMISSIONS, b"")
    extensions[AUTH_TIME] = option(str(holder.auth_time))
    extensions[SESSION] = option(holder.handle)
    extensions[NAME] = option(holder.name if is_display_name(holder.name) else holder.user_id)
    if holder.amr:
        extensions[AMR] = option(",".join(sorted(holder.amr)))
    if "mfa" in holder.amr:
        extensions[HAS_MFA] = b""
    if holder.via:
        extensions[VIA] = option(holder.via)
    return _certificate(public_key, USER, holder.user_id, (holder.user_id,), extensions, issue)


def host_certificate(
    public_key: bytes, host_id: str, names: tuple[str, ...], issue: Issue
) -> Certificate:
    """The certificate by which clients know the host under exactly `names`."""
    return _certificate(public_key, HOST, host_id, names, {}, issue)


def lifetime(asked: object, limits: tuple[int | None, ...]) -> int:
    """How long a user certificate may live: what was asked for, as far as `limits` allow it.

    `asked` is as it stood in the request; `limits` are in seconds, None where there is none. More
    than is allowed is cut to that. Less than the shortest lifetime is refused, since nobody shall
    get more than they asked for.

    Raises:
        InvalidRequest: `asked` is no whole number of seconds, or too short.
    """
    allowed = min(limit for limit in (MAX_LIFETIME, *limits) if limit is not None)
    allowed = max(allowed, MIN_LIFETIME)
    if type(asked) is not int:  # True is an int to isinstance
        raise InvalidRequest("The lifetime must be a whole number of seconds.")
    if asked < MIN_LIFETIME:
        raise InvalidRequest(f"The shortest lifetime is {MIN_LIFETIME} seconds.")
    return min(asked, allowed)


def _certificate(  # noqa: PLR0913, PLR0917 -- what the two kinds differ in
    public_key: bytes,
    kind: int,
    key_id: str,
    principals: tuple[str, ...],
    extensions: dict[str, bytes],
    issue: Issue,
) -> Certificate:
    return Certificate(
        key_type=certificate_type(Reader(public_key).text()),
        nonce=issue.nonce,
        public_key=public_key,
        serial=issue.serial,
        kind=kind,
        key_id=key_id,
        principals=principals,
        valid_after=issue.now - BACKDATE,
        valid_before=issue.now + issue.lifetime,
        critical_options=(),
        # In byte order, because strict readers refuse anything else (PROTOCOL.certkeys).
        extensions=tuple(sorted(extensions.items())),
        signature_key=issue.authority,
    )
