"""Hosts that only report, what hosts decided, and what else hosts need while they work."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Drop the tables, and with them all that only they know."""
