"""Hosts that only report, what hosts decided, and what else hosts need while they work."""

from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


@dataclass(frozen=True)
class Noted:
    """A table whose changes are noted in `changed`, at the version in `versions`."""

    table: str
    subject: str
    """An SQL expression in which `{row}` stands for the row as it was, and as it becomes."""

    columns: tuple[str, ...] = ()
    """Those whose change counts; all of them where this is empty."""

    changed: str = "directory_changes"
    versions: str = "directory_version"
    events: tuple[str, ...] = ("INSERT", "UPDATE", "DELETE")


# All that a host's bundle is made from, and whose revoked certificates it must know.
NOTED = (
    Noted("hosts", "{row}.name", ("name", "report_only")),
    Noted("services", "{row}.host"),
    Noted("environments", "{row}.project_id"),
    Noted("projects", "{row}.id"),
    Noted("project_access", "{row}.project_id"),
    Noted("organizations", "{row}.id"),
    Noted("requirements", "{row}.subject"),
    Noted("sso_providers", "{row}.organization_id"),
    Noted("service_users", "{row}.user_id"),
    Noted("users", "{row}.id", ("disabled_at",)),
    Noted(
        "revocations",
        "(SELECT subject FROM certificates WHERE serial = {row}.serial)",
        ("event",),
        "revocation_changes",
        "revocation_list",
        ("INSERT", "UPDATE"),  # what has expired is refused without the list
    ),
    Noted("revoked_keys", "'*'", (), "revocation_changes", "revocation_list"),
)


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
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True),
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

    for name in ("directory_changes", "revocation_changes"):
        op.create_table(
            name,
            sa.Column("subject", sa.String(128), nullable=False),
            sa.Column("version", sa.BigInteger, nullable=False),
            sa.PrimaryKeyConstraint("subject", name=f"pk_{name}"),
        )
        op.create_index(f"ix_{name}_version", name, ["version"])
    # Last: SQLite forgets the triggers of a table that is changed in batch mode.
    for noted in NOTED:
        _note(noted)


def _report_only() -> sa.Column[bool]:
    return sa.Column("report_only", sa.Boolean, server_default=sa.false(), nullable=False)


def downgrade() -> None:
    """Drop the tables and columns, and with them all that only they know."""
    for noted in NOTED:
        _forget(noted)
    for name in ("directory_changes", "revocation_changes"):
        op.drop_table(name)
    op.drop_table("decisions")
    op.drop_table("open_connections")
    with op.batch_alter_table("hosts") as hosts:
        hosts.drop_column("connections_at")
        hosts.drop_column("report_only")
    with op.batch_alter_table("requirements") as requirements:
        requirements.drop_column("report_only")
    op.drop_table("applied_items")


def _note(noted: Noted) -> None:
    """Make the triggers of a table."""
    dialect = op.get_context().dialect.name
    for event in noted.events:
        when = event
        if event == "UPDATE" and noted.columns:
            when = f"UPDATE OF {', '.join(noted.columns)}"
        name = _trigger(noted.table, event)
        body = "\n".join(_upsert(noted, row) for row in ROWS[event])
        if dialect == "sqlite":
            op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {noted.table} BEGIN {body} END")
            continue
        # Held until the end of the transaction, as `ca.store.directory.lock` does: who changes
        # something without it must not be overtaken by the next version.
        lock = f"PERFORM 1 FROM {noted.versions} FOR UPDATE;"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {lock} {body} RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {name} AFTER {when} ON {noted.table}"
            f" FOR EACH ROW EXECUTE FUNCTION {name}()"
        )


def _forget(noted: Noted) -> None:
    """Take the triggers of a table away."""
    for event in noted.events:
        name = _trigger(noted.table, event)
        if op.get_context().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER {name}")
        else:
            op.execute(f"DROP TRIGGER {name} ON {noted.table}")
            op.execute(f"DROP FUNCTION {name}()")


def _trigger(table: str, event: str) -> str:
    """What the trigger of a table is called."""
    return f"note_{table}_{event.lower()}"


def _upsert(noted: Noted, row: str) -> str:
    # S608: nothing of it comes from outside.
    return (
        f"INSERT INTO {noted.changed} (subject, version)"  # noqa: S608
        f" SELECT s.subject, v.version FROM {noted.versions} AS v,"
        f" (SELECT {noted.subject.format(row=row)} AS subject) AS s"
        " WHERE s.subject IS NOT NULL"
        " ON CONFLICT (subject) DO UPDATE SET version = excluded.version"
        f" WHERE {noted.changed}.version < excluded.version;"
    )
