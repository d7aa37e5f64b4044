"""Judgements say whether more active time was reported than the server's clock allows."""

import sqlalchemy as sa
from alembic import op

revision = "v0006"
down_revision = "v0005"


def upgrade() -> None:
    op.add_column(
        "judgement", sa.Column("implausible", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_index("ix_judgement_rater_made_at", "judgement", ["rater", "made_at"])
