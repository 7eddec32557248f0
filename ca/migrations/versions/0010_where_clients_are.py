"""Where the client of a session is, and what it calls itself, beside the browser that allowed it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

LENGTHS = {"user_agent": 255, "address": 45}


def upgrade() -> None:
    """Add the columns: of what is there, only the browser is known."""
    with op.batch_alter_table("grant_sessions") as changed:
        for name, length in LENGTHS.items():
            changed.add_column(
                sa.Column(name, sa.String(length), server_default="", nullable=False)
            )


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("grant_sessions") as changed:
        for name in LENGTHS:
            changed.drop_column(name)
