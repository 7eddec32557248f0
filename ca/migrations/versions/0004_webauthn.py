"""Passkeys and security keys. Code before this one runs on against this schema: it sees none."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.String(36)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "webauthn_handles",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_webauthn_handles_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_webauthn_handles"),
        sa.UniqueConstraint("handle", name="uq_webauthn_handles_handle"),
    )
    op.create_table(
        "webauthn_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("credential_id", sa.LargeBinary, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("backup_eligible", sa.Boolean, nullable=False),
        sa.Column("backed_up", sa.Boolean, nullable=False),
        sa.Column("transports", sa.JSON, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("counter_fell_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_webauthn_keys_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webauthn_keys"),
        sa.UniqueConstraint("credential_id", name="uq_webauthn_keys_credential_id"),
    )
    op.create_index("ix_webauthn_keys_user_id", "webauthn_keys", ["user_id"])
    op.create_table(
        "webauthn_challenges",
        sa.Column("challenge_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("challenge_hash", name="pk_webauthn_challenges"),
    )


def downgrade() -> None:
    """Drop the tables, and with them every key."""
    for table in ("webauthn_challenges", "webauthn_keys", "webauthn_handles"):
        op.drop_table(table)
