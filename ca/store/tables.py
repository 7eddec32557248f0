"""Every table. Times are seconds since the epoch, UTC, as in certificates.

What is secret is here only as a hash (`…_hash`, SHA-256 of something random, in hex) or sealed
under a key that is not in the database (`…_sealed`).
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(36)  # a UUID
HASH = String(64)  # SHA-256 in hex

# --- people ---------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("username", String(64), nullable=False, unique=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("kind", String(8), nullable=False, server_default="person"),  # or "service"
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

passwords = Table(
    "passwords",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("argon2", String(255), nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

# `last_step` is the last time step (RFC 6238) that was spent: no step at or before it counts.
totp_credentials = Table(
    "totp_credentials",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger, nullable=False),
)

totp_enrolments = Table(
    "totp_enrolments",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("code_hash", HASH, primary_key=True),
    Column("used_at", BigInteger),
)

# What a person is called by their passkeys: random, and the same for all of them.
webauthn_handles = Table(
    "webauthn_handles",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("handle", LargeBinary, nullable=False, unique=True),
)

# Passkeys and security keys. `public_key` is a COSE key (RFC 9052); `counter_fell_at` is when
# the signature counter last failed to rise, so that the key may have been copied.
webauthn_keys = Table(
    "webauthn_keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("backup_eligible", Boolean, nullable=False),
    Column("backed_up", Boolean, nullable=False),
    Column("transports", JSON, nullable=False),
    Column("name", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("counter_fell_at", BigInteger),
    Index(None, "user_id"),
)

# Challenges that were answered. They are issued sealed and are not kept before that, so that
# whoever opens the login page fills nothing up.
webauthn_challenges = Table(
    "webauthn_challenges",
    metadata,
    Column("challenge_hash", HASH, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)

# Attempts in a row that no whole login followed, over all factors, sessions and addresses.
# `subject` is a user's id, or the SHA-256 of a name that nobody has: both must look alike.
attempts = Table(
    "attempts",
    metadata,
    Column("subject", HASH, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)

# --- sessions and tokens --------------------------------------------------------------------

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
    Index(None, "user_id"),
    Index(None, "browser_session_id"),
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

# --- directory ------------------------------------------------------------------------------

organizations = Table(
    "organizations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),  # as in URLs and files: "acme"
    Column("label", String(64), nullable=False),
    Column("max_offline", Integer, nullable=False, server_default="86400"),
    # Of its members' certificates, at most, in seconds; NULL for the usual hour.
    Column("certificate_lifetime", Integer),
    Column("created_at", BigInteger, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column(
        "organization_id", ID, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(16), nullable=False),  # owner, admin, viewer
    Index(None, "user_id"),
)

# Slugs are never used again: a retired provider keeps its row.
sso_providers = Table(
    "sso_providers",
    metadata,
    Column("slug", String(32), primary_key=True),
    Column("organization_id", ID, ForeignKey("organizations.id", ondelete="SET NULL")),
    Column("retired_at", BigInteger),
    Index(None, "organization_id"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(13), primary_key=True),
    Column(
        "organization_id",
        ID,
        ForeignKey("organizations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("title", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "organization_id"),
)

environments = Table(
    "environments",
    metadata,
    Column(
        "project_id", String(13), ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("name", String(63), primary_key=True),  # the machine name
    Column("type", String(16), nullable=False),  # production, staging, development
    Column("active", Boolean, nullable=False),
)

# `name` is the whole name without an instance; `forwards` are "host:port" for permitopen.
services = Table(
    "services",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("project_id", String(13), ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("environment", String(63), nullable=False),
    Column("host", String(64), nullable=False),
    Column("forwards", JSON, nullable=False),
    Index(None, "project_id"),
    Index(None, "host"),
)

# `subject` is an organization's id, a project's id or a service's name; no row asks for nothing.
requirements = Table(
    "requirements",
    metadata,
    Column("subject", String(128), primary_key=True),
    Column("amr", JSON, nullable=False),
    Column("max_age", Integer),
    Column("networks", JSON(none_as_null=True)),  # NULL for any
    Column("device", Boolean, nullable=False),
)

# `scope` is "project" or an environment type.
project_access = Table(
    "project_access",
    metadata,
    Column(
        "project_id", String(13), ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("scope", String(16), primary_key=True),
    Column("role", String(16), nullable=False),  # admin, contributor, viewer
    Index(None, "user_id"),
)

# One row. What a host obeys was made from the directory as of this version, or a later one.
directory_version = Table(
    "directory_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

# --- hosts ----------------------------------------------------------------------------------

# A host is in the directory before it joins: until then it has no token and no key. `names` are
# those that its host certificates hold, `name` among them.
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

# --- issuance and the log -------------------------------------------------------------------

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

# --- revocation -----------------------------------------------------------------------------

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
