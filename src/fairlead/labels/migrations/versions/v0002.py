"""Addresses that somebody else vouches for: of those that are there already, nobody does."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"


def upgrade() -> None:
    op.add_column(
        "person", sa.Column("email_vouched", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
