"""Revocation: what is refused, and the version of the list of it that hosts obey.

The first list is the very one that every host has by now: version 1, of no time, and empty. Code
at 0001 runs against this schema too, but it ends sessions without revoking their certificates.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, and the list."""
    op.create_table(
        "revocations",
        sa.Column(
            "serial",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("certificates.serial", name="fk_revocations_serial"),
            nullable=False,
        ),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("listed_until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_revocations"),
    )
    op.create_index("ix_revocations_listed_until", "revocations", ["listed_until"])
    op.create_table(
        "revoked_keys",
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_revoked_keys"),
    )
    made = op.create_table(
        "revocation_list",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revocation_list"),
    )
    op.execute(sa.insert(made).values(id=1, version=1, changed_at=0))


def downgrade() -> None:
    """Drop the tables: what was revoked opens again until it expires."""
    op.drop_table("revocation_list")
    op.drop_table("revoked_keys")
    op.drop_index("ix_revocations_listed_until", "revocations")
    op.drop_table("revocations")
