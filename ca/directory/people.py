"""Keeping somebody out of everything, letting them in again, and taking a way in from oneself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ca import audit
from ca.directory.apply.grammar import DISPLAY_NAME
from ca.directory.governed import governed
from ca.errors import InvalidRequest, NotFound
from ca.identity.sso import identities
from ca.identity.token_ends import end_tokens, end_tokens_resting_on
from ca.store import directory, members, people, webauthn
from ca.store.engine import writing
from ca.store.revocations import Cause
from ca.store.sessions import end_sessions
from sshd_hook.policy import POSSESSION

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ca.identity.factors import Acting
    from ca.store.people import User


def disable(engine: Engine, username: str, actor: str, now: int) -> None:
    """Refuse a user everywhere from now on: sessions and API tokens end, and hosts hear of it.

    Raises:
        NotFound: there is no such user.
        Conflict: an organization would be left without an admin.
    """
    with writing(engine) as connection:
        directory.lock(connection)
        user = find(connection, username)
        if not user.disabled:
            with governed(connection, members.organizations_of(connection, user.id)):
                directory.set_disabled(connection, user.id, now)
            _end_all(connection, user, Cause(now, actor, "user:disable"))
            directory.bump(connection, now)


def unlink(engine: Engine, acting: Acting, identity_id: str, now: int) -> None:
    """Unlink an identity of whoever asks; every session that rests on it ends.

    Raises:
        InsufficientAuthentication: their session may not.
        NotFound: their account has no such identity.
        Conflict: there is no other way to log in, or for the last admin to meet what an
            organization requires.
    """
    with writing(engine) as connection:
        directory.lock(connection)
        with governed(connection, members.organizations_of(connection, acting.user_id)):
            identities.unlink(connection, acting, identity_id, now)


def enable(engine: Engine, username: str, actor: str, now: int) -> None:
    """Let a disabled user log in again.

    Raises:
        NotFound: there is no such user.
    """
    with writing(engine) as connection:
        directory.lock(connection)
        user = find(connection, username)
        if user.disabled:
            directory.set_disabled(connection, user.id, None)
            audit.append(connection, "user:enable", actor, user.id, {})
            directory.bump(connection, now)


def forget_factors(engine: Engine, username: str, actor: str, now: int) -> None:
    """Take a user's second factors away, who has lost them; their sessions end.

    Raises:
        NotFound: there is no such user.
    """
    with writing(engine) as connection:
        user = find(connection, username)
        people.remove_totp(connection, user.id)
        webauthn.remove_keys(connection, user.id)
        people.remove_recovery_codes(connection, user.id)
        cause = Cause(now, actor, "factors:forget")
        end_tokens_resting_on(connection, user.id, POSSESSION, cause)
        _end_sessions(connection, user, cause)


def revoke(engine: Engine, username: str, actor: str, now: int) -> list[int]:
    """End a user's sessions and API tokens, revoke their certificates; return their serials.

    They may log in again: `disable` is against that.

    Raises:
        NotFound: there is no such user.
    """
    with writing(engine) as connection:
        user = find(connection, username)
        return _end_all(connection, user, Cause(now, actor, "user:revoke"))


def rename(connection: Connection, user: User, name: str) -> User:
    """Give somebody the display name that they ask for, and return them with it.

    Raises:
        InvalidRequest: it could imitate something on a terminal or in a certificate.
    """
    check_name(name)
    if name != user.name:
        people.rename(connection, user.id, name)
        detail = {"before": {"name": user.name}, "after": {"name": name}}
        audit.append(connection, "user:change", user.id, user.username, detail)
    return replace(user, name=name)


def check_name(name: str) -> None:
    """Refuse what nobody may be shown as.

    Raises:
        InvalidRequest: it could imitate something on a terminal or in a certificate.
    """
    if not DISPLAY_NAME.fits(name):
        raise InvalidRequest(f"first_name, last_name: {name!a} is not {DISPLAY_NAME.words}.")


def find(connection: Connection, username: str) -> User:
    """The user of this name.

    Raises:
        NotFound: there is none.
    """
    user = people.find_user_by_name(connection, username)
    if user is None or user.username != username:
        raise NotFound(f"There is no user {username!a}: see `amrgate-ca user list`.")
    return user


def _end_all(connection: Connection, user: User, cause: Cause) -> list[int]:
    by_tokens = end_tokens(connection, user.id, cause)
    return sorted(by_tokens + _end_sessions(connection, user, cause))


def _end_sessions(connection: Connection, user: User, cause: Cause) -> list[int]:
    revoked = end_sessions(connection, user.id, cause)
    audit.append_revoking(connection, cause, user.id, revoked)
    return revoked
