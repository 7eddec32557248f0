"""Identities at providers, and the accounts that they are linked to."""

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import Conflict, NotFound
from ca.identity.factors import Acting, begin_change, changed, check_may_change
from ca.identity.proofs import LOGIN
from ca.identity.sso.providers import NoProvider, note_tested
from ca.identity.token_ends import end_tokens_resting_on
from ca.store import sso as store
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from ca.store.sessions import end_sessions
from ca.store.sso import Identity, Provider

if TYPE_CHECKING:
    from ca.identity.sso.id_token import Login


def link(engine: Engine, acting: Acting, provider: Provider, login: "Login", now: int) -> None:
    """Link the identity that came back to the account of whoever is logged in.

    Raises:
        InsufficientAuthentication: this session may not.
        NoProvider: it was retired meanwhile.
        Conflict: it is somebody else's.
    """
    with writing(engine) as connection:
        # First: whoever ends it holds it, and then those who are linked to it.
        if not store.hold_provider(connection, provider.slug):
            raise NoProvider
        begin_change(connection, acting, now)
        if store.is_anothers(connection, provider.issuer, login.subject, acting.user_id):
            raise Conflict(f"This account at {provider.label} is linked to somebody else's here.")
        if not store.add_identity(connection, _new_identity(acting, provider, login, now)):
            raise Conflict(f"Your account at {provider.label} is linked already.")
        note_tested(connection, provider, acting.user_id, now)
        cause = Cause(now, acting.user_id, "identity:link")
        changed(connection, acting, cause, provider=provider.slug)


def unlink(connection: Connection, acting: Acting, identity_id: str, now: int) -> None:
    """Unlink an identity; every session that rests on it ends, also the present one.

    `ca.directory.people.unlink` sees to it that nobody is missed who decides.

    Raises:
        InsufficientAuthentication: this session may not.
        NotFound: the account has no such identity.
        Conflict: there is no other way to log in.
    """
    begin_change(connection, acting, now)
    theirs = store.identities_of(connection, acting.user_id)
    gone = next((one for one in theirs if one.id == identity_id), None)
    if gone is None:
        raise NotFound("There is no such identity.")
    if len(theirs) == 1 and not store.has_password(connection, acting.user_id):
        raise Conflict("This is your only way to log in. Set a password first.")
    store.remove_identity(connection, gone.id)
    amr = f"{LOGIN}{gone.slug}"
    cause = Cause(now, acting.user_id, "identity:unlink")
    end_tokens_resting_on(connection, acting.user_id, [amr], cause)
    rests = any(one.amr == amr for one in acting.proofs)
    but = "" if rests else acting.session_id
    revoked = end_sessions(connection, acting.user_id, cause, but=but)
    audit.append_revoking(connection, cause, acting.user_id, revoked, provider=gone.slug)


def check_may_link(engine: Engine, acting: Acting, now: int) -> None:
    """Whether this session may link an identity.

    Raises:
        InsufficientAuthentication: it may not.
    """
    with reading(engine) as connection:
        check_may_change(connection, acting, now)


def _new_identity(acting: Acting, provider: Provider, login: "Login", now: int) -> Identity:
    return Identity(
        id=str(uuid.uuid4()),
        user_id=acting.user_id,
        issuer=provider.issuer,
        subject=login.subject,
        slug=provider.slug,
        created_at=now,
        used_at=None,
    )
