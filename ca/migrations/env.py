"""Alembic's entry: it always runs inside `ca.store.schema`, on a connection it is given."""

from alembic import context

from ca.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Alembic thinks that SQLite cannot undo a change of schema. It can, where we begin the
    # transaction ourselves (`ca.store.engine`): a migration that is killed leaves nothing.
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
