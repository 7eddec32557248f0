"""Queries about certificates and their serial numbers."""

from sqlalchemy import Connection, func, insert, select, text, update

from ca.store.tables import certificates, serial_epochs

SIGNED, FAILED, UNKNOWN = "signed", "failed", "unknown"


def next_epoch(connection: Connection, lowest: int, now: int) -> int:
    """Take the next epoch, not below `lowest`: ours alone, once the transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE serial_epochs IN EXCLUSIVE MODE"))
    highest = connection.execute(select(func.max(serial_epochs.c.epoch))).scalar() or 0
    epoch: int = max(highest + 1, lowest)
    connection.execute(insert(serial_epochs).values(epoch=epoch, taken_at=now))
    return epoch


def close_open(connection: Connection, before: int) -> list[int]:
    """Note that nobody knows what became of the intents before `before`; return their serials."""
    closed = connection.execute(
        update(certificates)
        .where(certificates.c.outcome.is_(None), certificates.c.issued_at < before)
        .values(outcome=UNKNOWN)
        .returning(certificates.c.serial)
    )
    return sorted(closed.scalars())
