"""Sessions, and the codes and tokens that belong to them."""

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
)

from ca.store.tables.base import HASH, ID, metadata

# `proofs` is a list of {"amr": "otp", "at": 1700000000, "verified": false}: what was proved in
# this login, and when. `verified` is WebAuthn's user verification. `ca.identity.proofs` reads it.
browser_sessions = Table(
    "browser_sessions",
    metadata,
    Column("cookie_hash", HASH, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("proofs", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("user_agent", String(255), nullable=False, server_default=""),
    Column("address", String(45), nullable=False, server_default=""),
    Index(None, "user_id"),
)

# `handle` stands in certificates (session@amrgate) and is a credential nowhere.
grant_sessions = Table(
    "grant_sessions",
    metadata,
    Column("sid", ID, primary_key=True),
    Column("handle", ID, nullable=False, unique=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("browser_session_id", ID, nullable=False, server_default=""),
    Column("client_id", String(64), nullable=False),
    Column("scope", String(255), nullable=False, server_default=""),
    Column("proofs", JSON, nullable=False),
    Column("via", String(8), nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),  # the last refresh
    Column("expires_at", BigInteger, nullable=False),  # however much it is used
    Column("ended_at", BigInteger),
    Column("api_token_id", ID),  # that it was begun with
    Column("user_agent", String(255), nullable=False, server_default=""),  # of its client
    Column("address", String(45), nullable=False, server_default=""),
    Index(None, "user_id"),
    Index(None, "browser_session_id"),
    Index(None, "api_token_id"),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("code_hash", HASH, primary_key=True),
    Column("client_id", String(64), nullable=False),
    Column("redirect_uri", String(255), nullable=False),
    Column("code_challenge", String(64), nullable=False),
    Column("scope", String(255), nullable=False, server_default=""),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("browser_session_id", ID, nullable=False),
    Column("proofs", JSON, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("sid", ID),  # the grant session it was exchanged for: a second use ends that
    Index(None, "user_id"),
)

# The successor is sealed under a key derived from the token itself, which is not stored.
refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", HASH, primary_key=True),
    Column("sid", ID, ForeignKey("grant_sessions.sid", ondelete="CASCADE"), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("successor_sealed", LargeBinary),
    Index(None, "sid"),
)

revoked_access_tokens = Table(
    "revoked_access_tokens",
    metadata,
    Column("jti", ID, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)

# States of logins at a provider that came back. They are issued sealed and are not kept before.
sso_states = Table(
    "sso_states",
    metadata,
    Column("state_hash", HASH, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)

# Device authorizations (RFC 8628): who asked, what for, and what a person decided about it.
device_codes = Table(
    "device_codes",
    metadata,
    Column("device_code_hash", HASH, primary_key=True),
    Column("user_code_hash", HASH, nullable=False, unique=True),
    Column("client_id", String(64), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("amr", JSON, nullable=False),
    Column("max_age", Integer),
    Column("address", String(45), nullable=False),
    Column("user_agent", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("interval", Integer, nullable=False),  # seconds between two polls
    Column("polled_at", BigInteger),
    Column("failures", Integer, nullable=False),  # approvals that were refused
    Column("decided_at", BigInteger),
    Column("allowed", Boolean),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE")),
    Column("browser_session_id", ID),
    Column("proofs", JSON(none_as_null=True)),
    Column("used_at", BigInteger),
    Column("sid", ID),  # the grant session it was exchanged for
    Index(None, "expires_at"),
)

# `proofs` and `via` are those of the session that made the token, for as long as it lives.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_by", ID, nullable=False),
    Column("name", String(64), nullable=False),
    Column("token_hash", HASH, nullable=False, unique=True),
    Column("scope", String(255), nullable=False),
    Column("proofs", JSON, nullable=False),
    Column("via", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("ended_at", BigInteger),
    Index(None, "user_id"),
)
