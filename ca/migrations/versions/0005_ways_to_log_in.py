"""Single sign-on, devices, API tokens, invitations. Code before this one sees none of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ID = sa.String(36)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sso_states",
        sa.Column("state_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name="pk_sso_states"),
    )

    op.create_table(
        "api_tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_by", ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(255), nullable=False),
        sa.Column("proofs", sa.JSON, nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_api_tokens_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_api_tokens_token_hash"),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])

    op.create_table(
        "device_codes",
        sa.Column("device_code_hash", sa.String(64), nullable=False),
        sa.Column("user_code_hash", sa.String(64), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(255), nullable=False),
        sa.Column("amr", sa.JSON, nullable=False),
        sa.Column("max_age", sa.Integer),
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("user_agent", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("interval", sa.Integer, nullable=False),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("allowed", sa.Boolean),
        sa.Column("user_id", ID),
        sa.Column("browser_session_id", ID),
        sa.Column("proofs", sa.JSON(none_as_null=True)),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("sid", ID),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_device_codes_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_code_hash", name="pk_device_codes"),
        sa.UniqueConstraint("user_code_hash", name="uq_device_codes_user_code_hash"),
    )
    op.create_index("ix_device_codes_expires_at", "device_codes", ["expires_at"])

    op.create_table(
        "identities",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("slug", sa.String(32), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_identities_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.UniqueConstraint("issuer", "subject", "slug", name="uq_identities_issuer_subject_slug"),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])

    op.create_table(
        "invitations",
        sa.Column("id", ID, nullable=False),
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("projects", sa.JSON, nullable=False),
        sa.Column("invited_by", ID, nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_invitations_organization_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
    )
    op.create_index("ix_invitations_organization_id", "invitations", ["organization_id"])

    op.create_table(
        "known_browsers",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("browser_hash", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_known_browsers_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "browser_hash", name="pk_known_browsers"),
    )

    op.create_table(
        "mailed_links",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_mailed_links_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_mailed_links"),
    )
    op.create_index("ix_mailed_links_user_id", "mailed_links", ["user_id"])

    op.create_table(
        "service_users",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("exempt", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_service_users_organization_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_service_users_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_service_users"),
    )
    op.create_index("ix_service_users_organization_id", "service_users", ["organization_id"])

    op.create_table(
        "oidc_clients",
        sa.Column("slug", sa.String(32), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("client_id", sa.String(255), nullable=False),
        sa.Column("client_secret_sealed", sa.LargeBinary),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("mfa_values", sa.JSON, nullable=False),
        sa.Column("domains", sa.JSON, nullable=False),
        sa.Column("tested_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["slug"], ["sso_providers.slug"], name="fk_oidc_clients_slug", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("slug", name="pk_oidc_clients"),
    )

    op.create_table(
        "new_services",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("made", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_new_services_organization_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", name="pk_new_services"),
    )
    op.add_column("grant_sessions", sa.Column("api_token_id", ID))
    op.create_index("ix_grant_sessions_api_token_id", "grant_sessions", ["api_token_id"])
    op.add_column("users", sa.Column("email_verified_at", sa.BigInteger))
    op.add_column("members", sa.Column("reminded_at", sa.BigInteger))


def downgrade() -> None:
    """Drop the tables, and with them all that only they know."""
    op.drop_column("members", "reminded_at")
    op.drop_column("users", "email_verified_at")
    op.drop_index("ix_grant_sessions_api_token_id", table_name="grant_sessions")
    op.drop_column("grant_sessions", "api_token_id")
    op.drop_table("new_services")
    op.drop_table("oidc_clients")
    op.drop_table("service_users")
    op.drop_table("mailed_links")
    op.drop_table("known_browsers")
    op.drop_table("invitations")
    op.drop_table("identities")
    op.drop_table("device_codes")
    op.drop_table("api_tokens")
    op.drop_table("sso_states")
