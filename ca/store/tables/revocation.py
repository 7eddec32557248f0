"""What is refused, though it was signed."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from ca.store.tables.base import HASH, metadata

# Certificates that are refused, each until it has expired everywhere. `actor` and `event` are those
# of the audit record of the same transaction, which says why.
revocations = Table(
    "revocations",
    metadata,
    Column(
        "serial",
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey("certificates.serial"),
        primary_key=True,
    ),
    Column("revoked_at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("event", String(64), nullable=False),
    Column("listed_until", BigInteger, nullable=False),
    Index(None, "listed_until"),
)

# Keys that are refused for good, by the SHA-256 of the public key as SSH encodes it.
revoked_keys = Table(
    "revoked_keys",
    metadata,
    Column("fingerprint", HASH, primary_key=True),
    Column("revoked_at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
)

# One row. Hosts take no list that is older than the one they have.
revocation_list = Table(
    "revocation_list",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
