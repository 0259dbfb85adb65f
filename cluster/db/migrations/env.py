"""Alembic's entry point: runs the migrations on the connection, and in the transaction, that `migrate` hands over."""

from alembic import context

from cluster.db import tables
from cluster.db.tables.base import Base

assert tables  # importing them completes the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
