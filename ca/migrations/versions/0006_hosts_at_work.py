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


def downgrade() -> None:
    """Drop the tables, and with them all that only they know."""
    op.drop_table("applied_items")
