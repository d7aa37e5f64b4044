"""Alembic's entry point.  `labels.schema` runs the migrations and provides connection and transaction."""

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
