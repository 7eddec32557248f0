"""The SSH hosts, and how they join."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    false,
)

from ca.store.tables.base import HASH, ID, metadata

# A host is in the directory before it joins: until then it has no token and no key. `names` are
# those that its host certificates hold, `name` among them. One that is `report_only` holds no
# requirement against anybody.
hosts = Table(
    "hosts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("names", JSON, nullable=False),
    Column("token_hash", HASH, unique=True),
    Column("public_key", LargeBinary),  # of the agent
    Column("joined_at", BigInteger),
    Column("seen_at", BigInteger),
    Column("acknowledged_version", BigInteger, nullable=False, server_default="0"),
    Column("acknowledged_digest", HASH, nullable=False, server_default=""),
    Column("built_version", BigInteger, nullable=False, server_default="0"),
    Column("built_digest", HASH, nullable=False, server_default=""),
    Column("built_content", HASH, nullable=False, server_default=""),
    Column("report_only", Boolean, nullable=False, server_default=false()),
    Column("connections_at", BigInteger),  # when it last said which are open
)

# How many connections are open on a host to a service (without an instance), by certificates of
# the session that has this handle, from an address ("" if it has none): as the host said last.
open_connections = Table(
    "open_connections",
    metadata,
    Column("host_id", ID, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True),
    Column("service", String(128), primary_key=True),
    Column("session", ID, primary_key=True),
    Column("address", String(45), primary_key=True),
    Column("connections", Integer, nullable=False),
)

# Whom a change concerns that is newer than this version of the directory, or of the revocation
# list: written by triggers (migration 0006). A subject is a host's or service's name, the id
# of a project, organization or user, or "*" for everybody.
directory_changes, revocation_changes = (
    Table(
        name,
        metadata,
        Column("subject", String(128), primary_key=True),
        Column("version", BigInteger, nullable=False, index=True),
    )
    for name in ("directory_changes", "revocation_changes")
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("token_hash", HASH, primary_key=True),
    Column("host_id", ID, ForeignKey("hosts.id", ondelete="CASCADE"), nullable=False),
    Column("names", JSON, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index(None, "host_id"),
)
