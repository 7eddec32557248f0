"""The first schema, frozen: each change to it is a revision of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.String(36)  # a UUID
HASH = sa.String(64)  # SHA-256 in hex
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # which SQLite keys a table by


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "attempts",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_attempts"),
    )
    op.create_table(
        "audit_records",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_records"),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", NUMBER, nullable=False),
        sa.Column("kind", sa.String(4), nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("sid", ID, server_default="", nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("valid_before", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(8)),
        sa.PrimaryKeyConstraint("serial", name="pk_certificates"),
    )
    op.create_index(
        "ix_certificates_open",
        "certificates",
        ["issued_at"],
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index("ix_certificates_subject", "certificates", ["subject"])
    made = op.create_table(
        "directory_version",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_version"),
    )
    op.create_table(
        "hosts",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("token_hash", HASH),
        sa.Column("public_key", sa.LargeBinary),
        sa.Column("joined_at", sa.BigInteger),
        sa.Column("seen_at", sa.BigInteger),
        sa.Column("acknowledged_version", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("acknowledged_digest", HASH, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hosts"),
        sa.UniqueConstraint("name", name="uq_hosts_name"),
        sa.UniqueConstraint("token_hash", name="uq_hosts_token_hash"),
    )
    op.create_table(
        "organizations",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("max_offline", sa.Integer, server_default="86400", nullable=False),
        sa.Column("certificate_lifetime", sa.Integer),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("name", name="uq_organizations_name"),
    )
    op.create_table(
        "requirements",
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("amr", sa.JSON, nullable=False),
        sa.Column("max_age", sa.Integer),
        sa.Column("networks", sa.JSON(none_as_null=True)),
        sa.Column("device", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_requirements"),
    )
    op.create_table(
        "revoked_access_tokens",
        sa.Column("jti", ID, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("jti", name="pk_revoked_access_tokens"),
    )
    op.create_table(
        "serial_epochs",
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="pk_serial_epochs"),
    )
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), server_default="person", nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.UniqueConstraint("username", name="uq_users_username"),
    )
    op.create_table(
        "authorization_codes",
        sa.Column("code_hash", HASH, nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("redirect_uri", sa.String(255), nullable=False),
        sa.Column("code_challenge", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(255), server_default="", nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("browser_session_id", ID, nullable=False),
        sa.Column("proofs", sa.JSON, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("sid", ID),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_authorization_codes_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_hash", name="pk_authorization_codes"),
    )
    op.create_table(
        "browser_sessions",
        sa.Column("cookie_hash", HASH, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("proofs", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("user_agent", sa.String(255), server_default="", nullable=False),
        sa.Column("address", sa.String(45), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_browser_sessions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cookie_hash", name="pk_browser_sessions"),
        sa.UniqueConstraint("id", name="uq_browser_sessions_id"),
    )
    op.create_index("ix_browser_sessions_user_id", "browser_sessions", ["user_id"])
    op.create_table(
        "grant_sessions",
        sa.Column("sid", ID, nullable=False),
        sa.Column("handle", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("browser_session_id", ID, server_default="", nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(255), server_default="", nullable=False),
        sa.Column("proofs", sa.JSON, nullable=False),
        sa.Column("via", sa.String(8), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_grant_sessions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sid", name="pk_grant_sessions"),
        sa.UniqueConstraint("handle", name="uq_grant_sessions_handle"),
    )
    op.create_index(
        "ix_grant_sessions_browser_session_id", "grant_sessions", ["browser_session_id"]
    )
    op.create_index("ix_grant_sessions_user_id", "grant_sessions", ["user_id"])
    op.create_table(
        "join_tokens",
        sa.Column("token_hash", HASH, nullable=False),
        sa.Column("host_id", ID, nullable=False),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["host_id"], ["hosts.id"], name="fk_join_tokens_host_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_join_tokens"),
    )
    op.create_index("ix_join_tokens_host_id", "join_tokens", ["host_id"])
    op.create_table(
        "members",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_members_organization_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_members_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("organization_id", "user_id", name="pk_members"),
    )
    op.create_index("ix_members_user_id", "members", ["user_id"])
    op.create_table(
        "passwords",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("argon2", sa.String(255), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_passwords_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_passwords"),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(13), nullable=False),
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("title", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_projects_organization_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_index("ix_projects_organization_id", "projects", ["organization_id"])
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("code_hash", HASH, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_recovery_codes_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_recovery_codes"),
    )
    op.create_table(
        "sso_providers",
        sa.Column("slug", sa.String(32), nullable=False),
        sa.Column("organization_id", ID),
        sa.Column("retired_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_sso_providers_organization_id",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("slug", name="pk_sso_providers"),
    )
    op.create_index("ix_sso_providers_organization_id", "sso_providers", ["organization_id"])
    op.create_table(
        "totp_credentials",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_totp_credentials_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_totp_credentials"),
    )
    op.create_table(
        "totp_enrolments",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_totp_enrolments_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_totp_enrolments"),
    )
    op.create_table(
        "environments",
        sa.Column("project_id", sa.String(13), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_environments_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_environments"),
    )
    op.create_table(
        "project_access",
        sa.Column("project_id", sa.String(13), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_project_access_project_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_project_access_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "user_id", "scope", name="pk_project_access"),
    )
    op.create_index("ix_project_access_user_id", "project_access", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", HASH, nullable=False),
        sa.Column("sid", ID, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("successor_sealed", sa.LargeBinary),
        sa.ForeignKeyConstraint(
            ["sid"], ["grant_sessions.sid"], name="fk_refresh_tokens_sid", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_refresh_tokens"),
    )
    op.create_index("ix_refresh_tokens_sid", "refresh_tokens", ["sid"])
    op.create_table(
        "services",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("project_id", sa.String(13), nullable=False),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("forwards", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_services_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", name="pk_services"),
    )
    op.create_index("ix_services_host", "services", ["host"])
    op.create_index("ix_services_project_id", "services", ["project_id"])
    op.execute(sa.insert(made).values(id=1, version=0))


def downgrade() -> None:
    """Drop every table, with its indices."""
    for table in (
        "services",
        "refresh_tokens",
        "project_access",
        "environments",
        "totp_enrolments",
        "totp_credentials",
        "sso_providers",
        "recovery_codes",
        "projects",
        "passwords",
        "members",
        "join_tokens",
        "grant_sessions",
        "browser_sessions",
        "authorization_codes",
        "users",
        "serial_epochs",
        "revoked_access_tokens",
        "requirements",
        "organizations",
        "hosts",
        "directory_version",
        "certificates",
        "audit_records",
        "attempts",
    ):
        op.drop_table(table)
