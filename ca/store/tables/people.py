"""People, and what they prove themselves with."""

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
    UniqueConstraint,
)

from ca.store.tables.base import HASH, ID, metadata

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
    Column("email_verified_at", BigInteger),
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

# Attempts in a row that no whole login followed, over all factors, sessions and addresses, and how
# many were made since nobody tried for a day. `subject` is a user's id, or stands for a name that
# nobody has: both must look alike.
attempts = Table(
    "attempts",
    metadata,
    Column("subject", HASH, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("since_rest", Integer, server_default="0", nullable=False),
    Column(
        "earlier_at", BigInteger, server_default="0", nullable=False
    ),  # the one before `last_at`
)

# Who somebody is at a provider of single sign-on: a provider's `sub` is never given twice by one
# issuer, whatever e-mail address it says. `slug` is the provider it was linked through: two
# organizations may use the same issuer, and each link counts for its own.
identities = Table(
    "identities",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("slug", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    UniqueConstraint("issuer", "subject", "slug"),
    Index(None, "user_id"),
)

# Browsers in which somebody once completed a login: others' wrong guesses do not lock them out.
known_browsers = Table(
    "known_browsers",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("browser_hash", HASH, primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
)

# Links that were mailed to somebody who is a user already. `email` is where it was sent: for a
# new address, the one that is proved by the link.
mailed_links = Table(
    "mailed_links",
    metadata,
    Column("token_hash", HASH, primary_key=True),
    Column("purpose", String(16), nullable=False),  # password, email
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("email", String(254), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index(None, "user_id"),
)

# Users that are no persons: they belong to an organization, and have API tokens only. `exempt`
# frees them there from what a login must show.
service_users = Table(
    "service_users",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "organization_id", ID, ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False
    ),
    Column("exempt", Boolean, nullable=False),
    Index(None, "organization_id"),
)
