"""Assignments keep the campaign's options as they were when the item was handed out."""

import sqlalchemy as sa
from alembic import op

revision = "v0005"
down_revision = "v0004"


def upgrade() -> None:
    op.add_column("assignment", sa.Column("options", sa.JSON(), server_default="{}", nullable=False))
    # What is out now was checked against the present options, and so it stays.
    op.execute(
        "UPDATE assignment SET options = "
        "(SELECT campaign.options FROM campaign WHERE campaign.id = assignment.campaign_id)"
    )
