"""Mailed links: a secret in an address that proves who reads a mailbox. Each works once.

The secret is a parameter of the page's address: only paths are logged. Opening the page spends
nothing, because mail programs open links by themselves; the form on it does.
"""

from sqlalchemy import Connection

from ca.errors import AlreadyUsed
from ca.identity.sessions import hash_of, new_secret
from ca.settings import Settings
from ca.store import links as store
from ca.store.links import Link

PASSWORD = "password"  # noqa: S105 -- what a link is for
EMAIL = "email"

LIFETIME = 3600  # seconds
EVERY = 300  # seconds between two links for one purpose: nobody fills a mailbox

PAGES = {PASSWORD: "/reset", EMAIL: "/email"}


class LinkOver(AlreadyUsed):
    """Which of the reasons it is, is not told."""

    def __init__(self) -> None:
        super().__init__(
            "This link was used, is older than an hour, or a newer one took its place. Ask for"
            " another one."
        )


def may_issue(connection: Connection, user_id: str, purpose: str, now: int) -> bool:
    """Whether it is long enough since the last link for this."""
    return store.newest_link(connection, user_id, purpose) <= now + LIFETIME - EVERY


def issue(connection: Connection, purpose: str, user_id: str, email: str, now: int) -> str:
    """The token of a new link for `purpose`, to be mailed to `email`; older ones for it are over."""
    token = new_secret()
    store.end_links(connection, user_id, (purpose,), now)
    store.add_link(connection, hash_of(token), Link(purpose, user_id, email, now + LIFETIME))
    return token


def url_of(settings: Settings, purpose: str, token: str) -> str:
    """The link. Its host is the issuer's, whatever host a request named."""
    return f"{settings.issuer}{PAGES[purpose]}?token={token}"


def look(connection: Connection, purpose: str, token: str, now: int) -> Link:
    """What the link is, without spending it.

    Raises:
        LinkOver: it is not, or no longer, good for `purpose`.
    """
    found = store.find_link(connection, hash_of(token), purpose, now)
    if found is None:
        raise LinkOver
    return found


def spend(connection: Connection, purpose: str, token: str, now: int) -> Link:
    """Spend the link.

    Raises:
        LinkOver: it is not, or no longer, good for `purpose`.
    """
    found = store.spend_link(connection, hash_of(token), purpose, now)
    if found is None:
        raise LinkOver
    return found


def end_all(connection: Connection, user_id: str, now: int) -> None:
    """End every link that was mailed to this user, after what one of them could change was."""
    store.end_links(connection, user_id, tuple(PAGES), now)
