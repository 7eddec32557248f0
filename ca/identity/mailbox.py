"""What somebody may do who reads a mailbox: choose a new password, or prove a new address.

A mailed link neither logs in nor removes a factor: who has a second one is asked for it as before.
"""

import re

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import Conflict, InvalidRequest, TooManyAttempts
from ca.identity import accounts, attempts, links, passwords
from ca.identity.factors import Acting, begin_change, check_may_change, overview
from ca.identity.links import EMAIL, PASSWORD, LinkOver
from ca.store import links as store
from ca.store import people
from ca.store.api_tokens import lock_owner
from ca.store.engine import reading, writing
from ca.store.people import User
from ca.store.revocations import Cause

MAX_ADDRESS = 254  # characters (RFC 5321, section 4.5.3.1.3)
# Not with an encoded word (RFC 2047): mail would go to the address in it, not to this one.
_ADDRESS = re.compile(
    r"(?!.*=\?)[^@\s\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,64}@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+"
)


def ask_reset(engine: Engine, name: str, now: int) -> tuple[User, str] | None:
    """Who is to be mailed a link, and its token; None where nobody is: the asker is not told.

    Not a service user or a disabled one, and not more often than every five minutes.
    """
    with writing(engine) as connection:
        user = people.find_user_by_name(connection, name.strip())
        if user is None or not user.logs_in:
            return None
        if not links.may_issue(connection, user.id, PASSWORD, now):
            return None
        token = links.issue(connection, PASSWORD, user.id, user.email, now)
        audit.append(connection, "password:ask", "", user.id, {})
    return user, token


def find_reset(engine: Engine, token: str, now: int) -> User:
    """Whose password the link changes; it is not spent by it.

    Raises:
        LinkOver: it is no longer good, or never was.
    """
    with reading(engine) as connection:
        return _live(people.find_user(connection, _look(connection, token, now)))


def reset(engine: Engine, token: str, password: str, now: int) -> User:
    """Spend the link: its user has a new password, and all their sessions and tokens end.

    Raises:
        LinkOver: it is no longer good, or never was.
        InvalidRequest: the password must not be one; the link is not spent.
    """
    user = find_reset(engine, token, now)
    passwords.check_new(password, accounts.names_of(user))
    argon2 = passwords.make_hash(password)  # slow: before the transaction, not in it
    with writing(engine) as connection:
        lock_owner(connection, user.id)  # first, as all who change an account do
        link = links.spend(connection, PASSWORD, token, now)
        _live(people.find_user(connection, link.user_id))
        store.note_proved(connection, link, now)
        accounts.store_password(
            connection, link.user_id, argon2, Cause(now, user.id, "password:reset")
        )
        guarded = overview(connection, user.id).has_second_factor
    # Nobody has guessed at the new password yet. A second factor is the old one, and who reads the
    # mailbox must not get to guess at it anew with each link.
    if not guarded:
        attempts.begin_anew(engine, user.id)
    return user


def change_password(engine: Engine, acting: Acting, password: str, now: int) -> None:
    """Give somebody the new password that they chose; their other sessions and all tokens end.

    Raises:
        InsufficientAuthentication: this session may not.
        InvalidRequest: the password must not be one.
    """
    with reading(engine) as connection:
        check_may_change(connection, acting, now)
        user = _live(people.find_user(connection, acting.user_id))
    passwords.check_new(password, accounts.names_of(user))
    argon2 = passwords.make_hash(password)
    cause = Cause(now, user.id, "password:change")
    with writing(engine) as connection:
        begin_change(connection, acting, now)
        accounts.store_password(connection, user.id, argon2, cause, but=acting.session_id)


def ask_address(engine: Engine, acting: Acting, address: str, now: int) -> str:
    """The token of a link to be mailed to `address`, which the person says is theirs.

    Raises:
        InsufficientAuthentication: this session may not.
        InvalidRequest: it is no address.
        TooManyAttempts: a link was mailed a moment ago.
    """
    if len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise InvalidRequest("This is not an e-mail address.")
    with writing(engine) as connection:
        begin_change(connection, acting, now)
        if not links.may_issue(connection, acting.user_id, EMAIL, now):
            message = "A link was mailed a moment ago. Ask again in five minutes."
            raise TooManyAttempts(message, links.EVERY)
        token = links.issue(connection, EMAIL, acting.user_id, address, now)
        audit.append(connection, "email:ask", acting.user_id, acting.user_id, {})
    return token


def find_address(engine: Engine, token: str, now: int) -> tuple[User, str]:
    """Whose address the link proves, and which; it is not spent by it.

    Raises:
        LinkOver: it is no longer good, or never was.
    """
    with reading(engine) as connection:
        link = links.look(connection, EMAIL, token, now)
        return _live(people.find_user(connection, link.user_id)), link.email


def take_address(engine: Engine, token: str, now: int) -> tuple[User, str]:
    """Spend the link: its user has the address that it went to. Returns them as they were, and it.

    Other sessions live on: nobody logs in with the mailbox. Links to the old address are over.

    Raises:
        LinkOver: it is no longer good, or never was.
        Conflict: somebody else has this address.
    """
    with writing(engine) as connection:
        lock_owner(connection, links.look(connection, EMAIL, token, now).user_id)
        link = links.spend(connection, EMAIL, token, now)
        user = _live(people.find_user(connection, link.user_id))
        if store.is_taken(connection, link.email, user.id):
            raise Conflict("This address belongs to another account.")
        store.put_email(connection, user.id, link.email, now)
        links.end_all(connection, user.id, now)
        audit.append(connection, "email:change", user.id, user.id, {})
    return user, link.email


def _look(connection: Connection, token: str, now: int) -> str:
    return links.look(connection, PASSWORD, token, now).user_id


def _live(user: User | None) -> User:
    if user is None or not user.logs_in:
        raise LinkOver
    return user
