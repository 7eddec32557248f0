"""Organizations and what they own, require and grant."""

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
    Column("reminded_at", BigInteger),  # that they have no second factor
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

# How many services an organization made by the API, and on which day (since the epoch).
new_services = Table(
    "new_services",
    metadata,
    Column(
        "organization_id", ID, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("day", BigInteger, nullable=False),
    Column("made", Integer, nullable=False),
)

# `subject` is an organization's id, a project's id or a service's name; no row asks for nothing.
# What is only reported is held against nobody.
requirements = Table(
    "requirements",
    metadata,
    Column("subject", String(128), primary_key=True),
    Column("amr", JSON, nullable=False),
    Column("max_age", Integer),
    Column("networks", JSON(none_as_null=True)),  # NULL for any
    Column("device", Boolean, nullable=False),
    Column("report_only", Boolean, nullable=False, server_default=false()),
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

# How a provider is asked (OpenID Connect). `mfa_values` are those of its own `amr` that count as
# `sso:<slug>:mfa`; `domains` are of the e-mail addresses whose owners are sent there; nobody can
# require a provider before `tested_at`, when somebody came back from it.
oidc_clients = Table(
    "oidc_clients",
    metadata,
    Column(
        "slug", String(32), ForeignKey("sso_providers.slug", ondelete="CASCADE"), primary_key=True
    ),
    Column("label", String(64), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("client_id", String(255), nullable=False),
    Column("client_secret_sealed", LargeBinary),
    Column("scopes", JSON, nullable=False),
    Column("mfa_values", JSON, nullable=False),
    Column("domains", JSON, nullable=False),
    Column("tested_at", BigInteger),
)

# Who was asked to join. `projects` is a list of [project, scope, role].
invitations = Table(
    "invitations",
    metadata,
    Column("id", ID, primary_key=True),
    Column(
        "organization_id", ID, ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False
    ),
    Column("email", String(254), nullable=False),
    Column("role", String(16), nullable=False),
    Column("projects", JSON, nullable=False),
    Column("invited_by", ID, nullable=False),
    Column("token_hash", HASH, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),  # accepted or withdrawn
    Index(None, "organization_id"),
)

# What the last applied file spoke of: a kind of item, and its names with a blank between them. The
# next file takes away nothing else.
applied_items = Table(
    "applied_items",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("key", String(255), primary_key=True),
)
