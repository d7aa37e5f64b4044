"""Items and campaigns can be archived, work can be kept for a person, and items say when an answer names its
model.
"""

import sqlalchemy as sa
from alembic import op

revision = "v0011"
down_revision = "v0010"


def upgrade() -> None:
    op.add_column("item", sa.Column("archived_at", sa.String(length=27), nullable=True))
    op.add_column("item", sa.Column("reveals", sa.Text(), nullable=True))
    op.create_index("ix_item_campaign_id_archived_at_id", "item", ["campaign_id", "archived_at", "id"])
    listed = ["campaign_id", "archived_at", "priority", "id"]
    op.create_index("ix_item_campaign_id_archived_at_priority_id", "item", listed)
    op.create_index("ix_flag_item_id", "flag", ["item_id"])
    op.add_column("slot", sa.Column("reserved_for", sa.String(length=40), nullable=True))
    handed_out = ["campaign_id", "reserved_for", "state", "rank"]
    op.create_index("ix_slot_campaign_id_reserved_for_state_rank", "slot", handed_out)
    op.add_column("campaign", sa.Column("archived_at", sa.String(length=27), nullable=True))
    op.add_column("campaign", sa.Column("deleted_at", sa.String(length=27), nullable=True))
    op.add_column("membership", sa.Column("quota", sa.Integer(), nullable=True))
