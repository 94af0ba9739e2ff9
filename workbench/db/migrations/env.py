"""Alembic's entry point: runs the migrations on the connection that `migrate.upgrade` opened."""

from alembic import context

from workbench.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
context.run_migrations()
