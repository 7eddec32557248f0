"""Issuing: authorize, draft, lint, commit the intent, sign, compare; then answer.

Nothing reaches a CA key but through `authorize`, and no certificate leaves without a record that
was on the disk before it was signed. There is no transaction open while a key signs.
"""

import hashlib
import os
import time
from dataclasses import dataclass

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from ca.errors import Denied, NotAuthenticated, SigningFailed
from ca.issuance import bounds, draft
from ca.issuance.bounds import Bounds
from ca.issuance.draft import Holder, Issue
from ca.issuance.lint import NONCE_SIZE, lint_host_certificate, lint_user_certificate
from ca.issuance.mailbox import Mailbox
from ca.issuance.serials import Serials, take_epoch
from ca.issuance.verify import verify_signature
from ca.issuance.writer import SESSION_ENDED, Intent, Writer
from ca.keys import Keyring, Signer
from ca.keys.files import FileSigner
from ca.store.certificates import FAILED, SIGNED
from ca.store.engine import writing
from ca.store.issuing import Entitlement, Entitlements
from sshd_hook.certificate import to_be_signed
from sshd_hook.wire import WireError, string


@dataclass(frozen=True)
class Bearer:
    """What a valid access token says: whose it is, of which session, and its own id."""

    user_id: str
    sid: str
    jti: str


@dataclass(frozen=True)
class Host:
    """A host that has joined, and the names that the operator gave it."""

    id: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Authorization:
    """Leave to have one certificate signed. Only `authorize` gives it.

    `limits` of the lifetime are in seconds, None where there is none. `bounds` are what it counts for.
    """

    subject: Holder | Host
    sid: str
    limits: tuple[int | None, ...]
    bounds: Bounds = ()


def authorize(caller: Bearer | Host, entitlement: Entitlement | None, now: int) -> Authorization:
    """Say whether `caller` may have a certificate: the one way to a CA's signature.

    Raises:
        NotAuthenticated: the session behind the token has ended, or is not its user's.
        Denied: it is a session, a key, or a host that certificates are not for.
    """
    if isinstance(caller, Host):
        if not caller.names:
            raise Denied("This host was given no name that could be certified.")
        return Authorization(caller, "", ())
    if entitlement is None or entitlement.session.user.id != caller.user_id:
        raise NotAuthenticated(SESSION_ENDED)
    if entitlement.key_revoked:
        raise Denied("This key was revoked. Log in anew, which makes another: amrgate login -f.")
    session = entitlement.session
    if session.auth_time is None:
        raise Denied("This session does not say when its holder logged in.")
    holder = Holder(
        user_id=session.user.id,
        name=session.user.name,
        handle=session.handle,
        amr=session.amr,
        auth_time=session.auth_time,
        via=session.via,
    )
    limits = (entitlement.lifetime, session.expires_at - now)
    return Authorization(holder, session.sid, limits, bounds.of_session(session, now))


class Issuer:
    """Signs the certificates of users and hosts."""

    def __init__(self, engine: Engine, keys: Keyring) -> None:
        self._keys = keys
        self._entitlements = Entitlements(engine)
        self._serials = Serials(lambda: _take_epoch(engine))
        self._writer = Writer(engine)
        self._recorded = Mailbox()

    async def issue_user(
        self, bearer: Bearer, public_key: bytes, lifetime: object, now: int
    ) -> bytes:
        """A certificate for whoever holds the token, over `public_key`.

        `lifetime` is what was asked for; `draft.lifetime` says what of it is granted.

        Raises:
            NotAuthenticated, Denied: see `authorize`.
            InvalidRequest: the lifetime makes no sense.
            TooManyAttempts: as many as there may be in an hour were asked for already.
            Unavailable: it could not be recorded or signed. There is no certificate.
        """
        fingerprint = hashlib.sha256(public_key).hexdigest()
        entitlement = await self._entitlements.find(bearer.sid, bearer.jti, fingerprint, now)
        authorization = authorize(bearer, entitlement, now)
        granted = draft.lifetime(lifetime, authorization.limits)
        self._writer.check(authorization.bounds, now)
        intent = self._prepare(authorization, public_key, granted, now)
        await self._recorded.wait(self._writer.record(intent))
        if isinstance(self._keys.user_ca, FileSigner):
            return self._sign(intent)  # 50 µs: to ask another thread takes longer
        return await run_in_threadpool(self._sign, intent)

    def issue_host(self, host: Host, public_key: bytes, now: int) -> bytes:
        """A certificate for `host` over its `public_key`. Blocks: not for the event loop.

        Raises:
            Denied, Unavailable: as `issue_user`.
        """
        intent = self._prepare(authorize(host, None, now), public_key, draft.HOST_LIFETIME, now)
        self._writer.record(intent).result()
        return self._sign(intent)

    def close(self) -> None:
        """Record what is left to record."""
        self._writer.close()
        self._entitlements.close()

    def _prepare(
        self, authorization: Authorization, public_key: bytes, lifetime: int, now: int
    ) -> Intent:
        """Draft what will be signed, and check its very bytes."""
        subject = authorization.subject
        kind = "host" if isinstance(subject, Host) else "user"
        authority = self._signer(kind).public_key
        issue = Issue(self._serials.next(), os.urandom(NONCE_SIZE), authority, now, lifetime)
        if isinstance(subject, Host):
            drafted = draft.host_certificate(public_key, subject.id, subject.names, issue)
            signed = to_be_signed(drafted)
            found = lint_host_certificate(
                signed, authority, subject.names, draft.HOST_LIFETIME, now
            )
        else:
            signed = to_be_signed(draft.user_certificate(public_key, subject, issue))
            found = lint_user_certificate(signed, authority, draft.MAX_LIFETIME, now)
        return Intent(
            serial=found.serial,
            kind=kind,
            subject=found.key_id,
            sid=authorization.sid,
            issued_at=now,
            valid_before=found.valid_before,
            signed=signed,
            bounds=authorization.bounds,
        )

    def _sign(self, intent: Intent) -> bytes:
        """Sign what is recorded, and see that it is what was signed."""
        signer = self._signer(intent.kind)
        outcome = FAILED
        try:
            signature = signer.sign(intent.signed)
            verify_signature(signer.public_key, intent.signed, signature)
            outcome = SIGNED
        except WireError as error:
            raise SigningFailed("The CA's key made a wrong signature. Try again.") from error
        finally:
            self._writer.note(intent.serial, outcome)
        return intent.signed + string(signature)

    def _signer(self, kind: str) -> Signer:
        return self._keys.host_ca if kind == "host" else self._keys.user_ca


def _take_epoch(engine: Engine) -> int:
    with writing(engine) as connection:
        return take_epoch(connection, int(time.time()))
