"""The first schema.

Until the first release this is whatever `ca.store.tables` says; from then on it is frozen, and
each change is a revision of its own.
"""

from alembic import op
from sqlalchemy import insert

from ca.store.tables import directory_version, metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    metadata.create_all(op.get_bind())
    op.execute(insert(directory_version).values(id=1, version=0))


def downgrade() -> None:
    """Drop every table."""
    metadata.drop_all(op.get_bind())
