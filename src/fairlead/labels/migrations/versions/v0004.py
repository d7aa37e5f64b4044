"""Items keep the columns of their rows that travel to exports: id, metadata and tools."""

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"


def upgrade() -> None:
    op.add_column("item", sa.Column("carried", sa.JSON(), server_default="{}", nullable=False))
