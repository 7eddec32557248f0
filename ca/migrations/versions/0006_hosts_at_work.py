"""Hosts that only report, what hosts decided, and what else hosts need while they work."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "applied_items",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_applied_items"),
    )

    with op.batch_alter_table("requirements") as requirements:
        requirements.add_column(_report_only())
    with op.batch_alter_table("hosts") as hosts:
        hosts.add_column(_report_only())
        hosts.add_column(sa.Column("connections_at", sa.BigInteger))
    op.create_table(
        "open_connections",
        sa.Column("host_id", sa.String(36), nullable=False),
        sa.Column("service", sa.String(128), nullable=False),
        sa.Column("session", sa.String(36), nullable=False),
        sa.Column("connections", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["host_id"], ["hosts.id"], name="fk_open_connections_host_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("host_id", "service", "session", name="pk_open_connections"),
    )
    op.create_table(
        "decisions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True
        ),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("service", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("serial", sa.String(20), nullable=False),
        sa.Column("session", sa.String(36), nullable=False),
        sa.Column("detail", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.UniqueConstraint("fingerprint", name="uq_decisions_fingerprint"),
    )
    op.create_index("ix_decisions_host_id", "decisions", ["host", "id"])
    op.create_index("ix_decisions_user_id_id", "decisions", ["user_id", "id"])
    op.create_index("ix_decisions_received_at", "decisions", ["received_at"])


def _report_only() -> sa.Column[bool]:
    return sa.Column("report_only", sa.Boolean, server_default=sa.false(), nullable=False)


def downgrade() -> None:
    """Drop the tables and columns, and with them all that only they know."""
    op.drop_table("decisions")
    op.drop_table("open_connections")
    with op.batch_alter_table("hosts") as hosts:
        hosts.drop_column("connections_at")
        hosts.drop_column("report_only")
    with op.batch_alter_table("requirements") as requirements:
        requirements.drop_column("report_only")
    op.drop_table("applied_items")
