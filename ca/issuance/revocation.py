"""Revoking certificates and keys, and the list of them that hosts obey.

Whatever ends a session revokes its certificates in the same transaction: `ca.store.sessions` does.
Here are the other ways. Each writes one record that says who did it and names the serials.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca import audit
from ca.errors import Conflict, NotFound
from ca.issuance import krl
from ca.store import certificates, revocations, sessions
from ca.store.engine import reading, writing
from ca.store.revocations import Cause

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ca.keys import Keyring
    from ca.store.certificates import Issued
    from ca.store.revocations import Revoked

FINGERPRINT = "SHA256:"  # before a key's fingerprint, as logs and ssh-keygen write it
UNKNOWN = "There is no such certificate, or it has expired."


def revoke_serial(engine: Engine, serial: int, actor: str, why: str, now: int) -> bool:
    """Revoke one certificate; False if it was.

    Raises:
        NotFound: there is none of this serial that anybody could still use.
    """
    with writing(engine) as connection:
        _find(connection, serial, now)
        cause = Cause(now, actor, "certificate:revoke")
        revoked = revocations.revoke_serial(connection, serial, cause)
        if revoked:
            audit.append_revoking(connection, cause, str(serial), revoked, why=why)
    return bool(revoked)


def revoke_session(engine: Engine, handle: str, actor: str, why: str, now: int) -> None:
    """End the session that certificates and hosts' logs call `handle`.

    Raises:
        NotFound: no session has this handle, or it has ended, and its certificates with it.
    """
    with writing(engine) as connection:
        sid = sessions.find_handle(connection, handle)
        cause = Cause(now, actor, "session:revoke")
        revoked = None if sid is None else sessions.end_grant_session(connection, sid, cause)
        if sid is None or revoked is None:
            raise NotFound(f"There is no session {handle}, or it has ended.")
        audit.append_revoking(connection, cause, sid, revoked, why=why)


def revoke_key(  # noqa: PLR0913 -- what, by whom, why and when, and what must not be
    engine: Engine, fingerprint: str, ours: tuple[bytes, ...], actor: str, why: str, *, now: int
) -> bool:
    """Revoke the key with this fingerprint ("SHA256:…") for good, whoever uses it; False if it was.

    `ours` are the CA's own public keys.

    Raises:
        Conflict: it is one of `ours`: every certificate would be refused.
    """
    digest = base64.b64decode(f"{fingerprint.removeprefix(FINGERPRINT)}=")
    if digest in {hashlib.sha256(key).digest() for key in ours}:
        raise Conflict("This is the CA's own key: revoked, it would shut everybody out.")
    with writing(engine) as connection:
        cause = Cause(now, actor, "key:revoke")
        if not revocations.revoke_key(connection, digest.hex(), cause):
            return False
        audit.append(connection, cause.event, actor, fingerprint, {"why": why})
    return True


def revoke_own(engine: Engine, user_id: str, serial: int, now: int) -> None:
    """Revoke one of the user's own certificates; nothing if it is.

    Raises:
        NotFound: there is none of this serial, or it is another's.
    """
    with writing(engine) as connection:
        if _find(connection, serial, now).subject != user_id:
            raise NotFound(UNKNOWN)
        cause = Cause(now, user_id, "certificate:revoke")
        revoked = revocations.revoke_serial(connection, serial, cause)
        if revoked:
            audit.append_revoking(connection, cause, str(serial), revoked)


def revoke_all_own(engine: Engine, user_id: str, now: int) -> None:
    """Revoke all of the user's own certificates; their sessions live on."""
    with writing(engine) as connection:
        cause = Cause(now, user_id, "certificate:revoke")
        revoked = revocations.revoke_user(connection, user_id, cause)
        if revoked:
            audit.append_revoking(connection, cause, user_id, revoked)


def _find(connection: Connection, serial: int, now: int) -> Issued:
    found = certificates.find_usable(connection, serial, now)
    if found is None:
        raise NotFound(UNKNOWN)
    return found


@dataclass(frozen=True)
class RevocationList:
    """A list as hosts install it (PROTOCOL.krl), its version, and its SHA-256 in hex."""

    version: int
    data: bytes
    digest: str


class Revocations:
    """The current list, written once in each worker for each version.

    All workers write the very same bytes from the same database.
    """

    def __init__(self, engine: Engine, keys: Keyring) -> None:
        self._engine = engine
        self._authorities = {"user": keys.user_ca.public_key, "host": keys.host_ca.public_key}
        self._kept: RevocationList | None = None
        self._writing = threading.Lock()

    def known(self, version: int) -> RevocationList | None:
        """The list that was written last, if it is of this version or a later one."""
        kept = self._kept
        return kept if kept is not None and kept.version >= version else None

    def current(self) -> RevocationList:
        """The list as the database has it now. Takes a while after a change."""
        with self._writing, reading(self._engine) as connection:
            kept = self._kept
            if kept is None or kept.version != revocations.version(connection):
                kept = self._kept = self._write(revocations.listed(connection))
            return kept

    def _write(self, revoked: Revoked) -> RevocationList:
        serials = {self._authorities[kind]: some for kind, some in revoked.serials.items()}
        keys = map(bytes.fromhex, revoked.keys)
        data = krl.write(revoked.version, revoked.changed_at, serials, keys, revoked.spared)
        return RevocationList(revoked.version, data, hashlib.sha256(data).hexdigest())
