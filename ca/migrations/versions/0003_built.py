"""What was last built for a host: a version that it acknowledges must be one that it was given."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; a host that was given nothing yet has version 0."""
    with op.batch_alter_table("hosts") as hosts:
        hosts.add_column(
            sa.Column("built_version", sa.BigInteger, server_default="0", nullable=False)
        )
        hosts.add_column(
            sa.Column("built_digest", sa.String(64), server_default="", nullable=False)
        )
        hosts.add_column(
            sa.Column("built_content", sa.String(64), server_default="", nullable=False)
        )


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("hosts") as hosts:
        for column in ("built_content", "built_digest", "built_version"):
            hosts.drop_column(column)
