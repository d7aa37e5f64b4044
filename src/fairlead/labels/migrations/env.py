"""Alembic's entry: the connection and the transaction are `labels.schema`'s, and there is no other way to run a migration."""

from alembic import context

from fairlead.labels import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=True,
    render_as_batch=context.config.attributes.get("batch", False),
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
