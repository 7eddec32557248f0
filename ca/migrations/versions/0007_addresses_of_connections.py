"""Where open connections come from. Hosts say soon again which are open: what they said is left out."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table anew."""
    op.drop_table("open_connections")
    _make("address")


def downgrade() -> None:
    """Make it as it was."""
    op.drop_table("open_connections")
    _make()


def _make(*more: str) -> None:
    op.create_table(
        "open_connections",
        sa.Column("host_id", sa.String(36), nullable=False),
        sa.Column("service", sa.String(128), nullable=False),
        sa.Column("session", sa.String(36), nullable=False),
        *(sa.Column(name, sa.String(45), nullable=False) for name in more),
        sa.Column("connections", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["host_id"], ["hosts.id"], name="fk_open_connections_host_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("host_id", "service", "session", *more, name="pk_open_connections"),
    )
