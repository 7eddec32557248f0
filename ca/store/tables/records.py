"""What was signed, and the log."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, text

from ca.store.tables.base import HASH, ID, metadata

# Upper half of every serial that one node issues in one run; never given twice.
serial_epochs = Table(
    "serial_epochs",
    metadata,
    Column("epoch", BigInteger, primary_key=True),
    Column("taken_at", BigInteger, nullable=False),
)

# The chain: hash = SHA-256(previous hash, then the record's bytes); see `ca.audit`. It cannot
# fork: `seq` is unique, and each record names one before it.
audit_records = Table(
    "audit_records",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("event", String(64), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON
    Column("hash", LargeBinary(32), nullable=False),
)

# What was asked to be signed, committed with its record before it was signed. Indices on random
# ids are what an insert costs: of one subject there are few, so `sid` has none.
certificates = Table(
    "certificates",
    metadata,
    Column("serial", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("kind", String(4), nullable=False),  # user, host
    Column("subject", ID, nullable=False),  # a user's or host's id
    Column("sid", ID, nullable=False, server_default=""),
    Column("issued_at", BigInteger, nullable=False),
    Column("valid_before", BigInteger, nullable=False),
    Column("outcome", String(8)),  # signed, failed, unknown; NULL while it is open
    Index(None, "subject"),
    Index(
        "ix_certificates_open",
        "issued_at",
        sqlite_where=text("outcome IS NULL"),
        postgresql_where=text("outcome IS NULL"),
    ),
)

# What hosts decided, as they say: `at` is by their clock, `fingerprint` the same for what is told
# twice. A host that is none any more keeps its name here.
decisions = Table(
    "decisions",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("fingerprint", HASH, nullable=False, unique=True),
    Column("received_at", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("host", String(64), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("code", String(32), nullable=False),
    Column("service", String(128), nullable=False),
    Column("user_id", ID, nullable=False),
    Column("serial", String(20), nullable=False),
    Column("session", ID, nullable=False),  # its handle
    Column("detail", String(200), nullable=False),
    Index(None, "host", "id"),
    Index(None, "user_id", "id"),
    Index(None, "received_at"),
)
