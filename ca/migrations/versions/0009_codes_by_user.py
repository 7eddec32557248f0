"""Somebody's authorization codes are found without reading those of everybody."""

from alembic import op

revision = "0009"
down_revision = "0008"

NAME = "ix_authorization_codes_user_id"


def upgrade() -> None:
    """Add the index."""
    op.create_index(NAME, "authorization_codes", ["user_id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index(NAME, "authorization_codes")
