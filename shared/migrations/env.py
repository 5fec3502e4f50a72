"""Runs the revisions in the caller's transaction: all of them arrive, or none."""

from alembic import context

from shared.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by writing it anew
)
with context.begin_transaction():
    context.run_migrations()
