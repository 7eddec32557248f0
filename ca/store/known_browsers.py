"""Queries about the browsers in which somebody once completed a login."""

from sqlalchemy import Connection, delete, insert, select

from ca.store.tables import known_browsers

KEPT = 90 * 86400  # seconds since a login was last completed there
MOST = 20  # of one account; the oldest is forgotten


def is_known(connection: Connection, user_id: str, browser_hash: str, now: int) -> bool:
    """Whether this is one of the user's."""
    query = select(known_browsers.c.user_id).where(
        known_browsers.c.user_id == user_id,
        known_browsers.c.browser_hash == browser_hash,
        known_browsers.c.seen_at > now - KEPT,
    )
    return connection.execute(query).first() is not None


def put(connection: Connection, user_id: str, browser_hash: str, replaced: str, now: int) -> None:
    """Note a browser as one of the user's, in the place of the one with the hash `replaced`."""
    newest = (
        select(known_browsers.c.browser_hash)
        .where(known_browsers.c.user_id == user_id, known_browsers.c.browser_hash != replaced)
        .order_by(known_browsers.c.seen_at.desc())
        .limit(MOST - 1)
    )
    kept = connection.execute(newest).scalars().all()
    connection.execute(
        delete(known_browsers).where(
            known_browsers.c.user_id == user_id,
            known_browsers.c.browser_hash.not_in(kept) | (known_browsers.c.seen_at <= now - KEPT),
        )
    )
    connection.execute(
        insert(known_browsers).values(user_id=user_id, browser_hash=browser_hash, seen_at=now)
    )


def forget(connection: Connection, user_id: str) -> None:
    """Forget all browsers of the user."""
    connection.execute(delete(known_browsers).where(known_browsers.c.user_id == user_id))
