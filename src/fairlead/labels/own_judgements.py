"""What a rater looks back on: their own current judgements of a campaign, newest first."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from fairlead.labels import assignments, judgements
from fairlead.labels.assignments import Assignment
from fairlead.labels.judgements import Judgement, judgement_table


@dataclass(frozen=True)
class OwnJudgement:
    judgement: Judgement
    assignment: Assignment  # the item, and the order in which its answers were shown


def list_own(
    connection: Connection, campaign_id: int, rater: str, *, offset: int, limit: int
) -> list[OwnJudgement]:
    query = (
        select(judgement_table.c.token)
        .where(
            judgement_table.c.campaign_id == campaign_id,
            judgement_table.c.rater == rater,
            judgements.is_current(),
        )
        .order_by(judgement_table.c.id.desc())
        .offset(offset)
        .limit(limit)
    )
    own = []
    for assignment_id in connection.execute(query).scalars().all():
        judgement = judgements.get_current(connection, assignment_id)
        assert judgement is not None, "read in the same transaction"
        own.append(OwnJudgement(judgement, assignments.get(connection, assignment_id, rater)))
    return own
