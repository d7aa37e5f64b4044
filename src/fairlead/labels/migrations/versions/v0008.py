"""Seals: the chain of events covers judgements, flags, guidelines and roles.

`schema.upgrade` seals the rows from before.
"""

import sqlalchemy as sa
from alembic import op

revision = "v0008"
down_revision = "v0007"


def upgrade() -> None:
    op.drop_index("ix_judgement_sums", table_name="judgement")
    sums = ["campaign_id", "rater", "made_at", "withdraws", "supersedes", "active_ms", "late", "quick"]
    op.create_index("ix_judgement_sums", "judgement", [*sums, "implausible"])
    op.create_table(
        "seal",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", "seq", name=op.f("pk_seal")),
    )
