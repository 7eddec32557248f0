"""How many attempts were made since the last rest, which is what waits go by, and the last but one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

attempts = sa.table(
    "attempts", sa.column("subject"), sa.column("failures"), sa.column("since_rest")
)
HASH = 64  # characters: of SHA-256 in hex. A user's id has fewer


def upgrade() -> None:
    """Add the columns: nobody waits less than before. Names and windows have other subjects now."""
    with op.batch_alter_table("attempts") as changed:
        changed.add_column(sa.Column("since_rest", sa.Integer, server_default="0", nullable=False))
        changed.add_column(
            sa.Column("earlier_at", sa.BigInteger, server_default="0", nullable=False)
        )
    op.execute(attempts.delete().where(sa.func.length(attempts.c.subject) == HASH))
    op.execute(attempts.update().values(since_rest=attempts.c.failures))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("attempts") as changed:
        changed.drop_column("earlier_at")
        changed.drop_column("since_rest")
