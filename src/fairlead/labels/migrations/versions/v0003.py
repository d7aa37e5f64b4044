"""What grows with a campaign is read from an index."""

from alembic import op

revision = "v0003"
down_revision = "v0002"


def upgrade() -> None:
    op.drop_index("ix_assignment_campaign_id_how", table_name="assignment")
    op.create_index(
        "ix_assignment_campaign_id_how_rater_seq", "assignment", ["campaign_id", "how", "rater", "seq"]
    )
    op.create_index("ix_judgement_campaign_id_made_at", "judgement", ["campaign_id", "made_at"])
    sums = ["campaign_id", "rater", "made_at", "withdraws", "supersedes", "active_ms", "late", "quick"]
    op.create_index("ix_judgement_sums", "judgement", sums)
    op.create_index("ix_slot_campaign_id_item_id", "slot", ["campaign_id", "item_id"])
