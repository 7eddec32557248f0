"""Queries about mailed links, and about the address that one proves."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from ca.store.tables import mailed_links, users


@dataclass(frozen=True)
class Link:
    """A link that was mailed to `email`; whoever opens it reads what is sent there."""

    purpose: str
    user_id: str
    email: str
    expires_at: int


def add_link(connection: Connection, token_hash: str, link: Link) -> None:
    """Store a new link."""
    connection.execute(
        insert(mailed_links).values(
            token_hash=token_hash,
            purpose=link.purpose,
            user_id=link.user_id,
            email=link.email,
            expires_at=link.expires_at,
        )
    )


def find_link(connection: Connection, token_hash: str, purpose: str, now: int) -> Link | None:
    """The link with this token, if it is still good for `purpose`."""
    row = connection.execute(
        select(
            mailed_links.c.purpose,
            mailed_links.c.user_id,
            mailed_links.c.email,
            mailed_links.c.expires_at,
        ).where(
            mailed_links.c.token_hash == token_hash,
            mailed_links.c.purpose == purpose,
            mailed_links.c.expires_at > now,
            mailed_links.c.used_at.is_(None),
        )
    ).one_or_none()
    return None if row is None else Link(*row)


def spend_link(connection: Connection, token_hash: str, purpose: str, now: int) -> Link | None:
    """Spend a link; None if it was spent, has expired, or is none for `purpose`.

    One statement, so that of any number of uses at once, on any number of nodes, one succeeds.
    """
    row = connection.execute(
        update(mailed_links)
        .where(
            mailed_links.c.token_hash == token_hash,
            mailed_links.c.purpose == purpose,
            mailed_links.c.expires_at > now,
            mailed_links.c.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(
            mailed_links.c.purpose,
            mailed_links.c.user_id,
            mailed_links.c.email,
            mailed_links.c.expires_at,
        )
    ).one_or_none()
    return None if row is None else Link(*row)


def newest_link(connection: Connection, user_id: str, purpose: str) -> int:
    """When the last link for `purpose` that was mailed to this user expires; 0 if none was."""
    query = select(func.max(mailed_links.c.expires_at)).where(
        mailed_links.c.user_id == user_id, mailed_links.c.purpose == purpose
    )
    return connection.execute(query).scalar_one() or 0


def end_links(connection: Connection, user_id: str, purposes: tuple[str, ...], now: int) -> None:
    """Spend all links of this user for `purposes`; forget all of theirs that have expired."""
    connection.execute(
        delete(mailed_links).where(
            mailed_links.c.user_id == user_id, mailed_links.c.expires_at <= now
        )
    )
    connection.execute(
        update(mailed_links)
        .where(
            mailed_links.c.user_id == user_id,
            mailed_links.c.purpose.in_(purposes),
            mailed_links.c.used_at.is_(None),
        )
        .values(used_at=now)
    )


def is_taken(connection: Connection, email: str, user_id: str) -> bool:
    """Whether somebody else has this address, in any case."""
    # SQLite's `lower` knows no letters but a to z.
    same = or_(users.c.email == email, func.lower(users.c.email) == email.lower())
    query = select(users.c.id).where(same, users.c.id != user_id)
    return connection.execute(query).first() is not None


def put_email(connection: Connection, user_id: str, email: str, now: int) -> None:
    """Give the user an address that they proved."""
    connection.execute(
        update(users).where(users.c.id == user_id).values(email=email, email_verified_at=now)
    )


def note_proved(connection: Connection, link: Link, now: int) -> None:
    """Note that the user's address is proved, if it still is the one that `link` went to."""
    connection.execute(
        update(users)
        .where(users.c.id == link.user_id, users.c.email == link.email)
        .values(email_verified_at=now)
    )
