"""A campaign may require that raters read the guidelines before they get an item."""

import sqlalchemy as sa
from alembic import op

revision = "v0010"
down_revision = "v0009"


def upgrade() -> None:
    op.add_column(
        "campaign", sa.Column("read_first", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
