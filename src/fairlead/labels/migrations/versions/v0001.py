"""The first tables."""

from alembic import op

from fairlead.labels import schema

revision = "v0001"
down_revision = None


def upgrade() -> None:
    schema.metadata.create_all(op.get_bind())
