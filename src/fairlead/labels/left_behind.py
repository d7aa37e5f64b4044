"""Tasks that somebody began under an earlier pseudonym, in the browser that they use now.

A labeller without a password is known by a cookie only.  When it is gone and they use their invitation again,
they are a new person, and what waits in their browser names assignments of the earlier one.  Whoever knows
such an assignment's id and the name of its rater may take it over, if the rater has no other way to log in:
the id is random, and only the rater's browser has it.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select, update

from fairlead.labels import assignments, events, leases
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.drafts import draft_table
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.people import person_table, pseudonym_table


@dataclass(frozen=True)
class EarlierRater:
    rater: str
    name: str
    can_log_in: bool

    def is_called(self, names: Collection[str]) -> bool:
        return _plain(self.name) in {_plain(name) for name in names}


def find_raters(
    connection: Connection, campaign_id: int, assignment_ids: Sequence[str]
) -> dict[str, EarlierRater]:
    """The raters of these assignments, by assignment id; without those of erased people."""
    query = (
        select(
            assignment_table.c.token,
            assignment_table.c.rater,
            person_table.c.name,
            person_table.c.password,
            person_table.c.subject,
        )
        .join(pseudonym_table, pseudonym_table.c.rater == assignment_table.c.rater)
        .join(person_table, person_table.c.id == pseudonym_table.c.person_id)
        .where(
            assignment_table.c.token.in_(assignment_ids),
            assignment_table.c.campaign_id == campaign_id,
        )
    )
    return {
        row.token: EarlierRater(row.rater, row.name, row.password is not None or row.subject is not None)
        for row in connection.execute(query)
    }


def take_over(
    connection: Connection,
    campaign: Campaign,
    assignment_id: str,
    rater: str,
    *,
    names: Collection[str],
    at: datetime | None = None,
) -> None:
    """Make the assignment of an earlier pseudonym this rater's, with its draft.

    `names` are those by which the rater says that they were known.  Raises NotFound when the assignment is
    not of a person with one of these names who cannot log in, and Conflict when the item was answered under
    either pseudonym.
    """
    earlier = find_raters(connection, campaign.id, [assignment_id]).get(assignment_id)
    if earlier is not None and earlier.rater == rater:
        return  # taken over before, by a page that closed too early
    if earlier is None or earlier.can_log_in or not earlier.is_called(names):
        raise NotFound("You do not have this item any more. Load the next item and try again.")
    for pseudonym in sorted((earlier.rater, rater)):  # in one order, so that none waits in a circle
        assignments.lock_rater(connection, pseudonym)
    row = assignments.get_row(connection, assignment_id, earlier.rater, campaign_id=campaign.id, lock=True)
    if row.how == "judged":
        raise Conflict("This item has your answer already, under your earlier name.")
    own = (assignment_table.c.item_id == row.item_id, assignment_table.c.rater == rater)
    others = connection.execute(select(assignment_table.c.token, assignment_table.c.how).where(*own)).all()
    if any(other.how in ("judged", "skipped") for other in others):
        raise Conflict("You have answered or skipped this item again since then.")
    for other in others:
        if other.how is None:
            leases.end(connection, other.token, "released", at=at or datetime.now(UTC))
    taken = assignment_table.c.token == assignment_id
    connection.execute(update(assignment_table).where(taken).values(rater=rater, seq=None))
    connection.execute(update(draft_table).where(draft_table.c.token == assignment_id).values(rater=rater))
    events.append(
        connection,
        verb="task.taken_over",
        actor=rater,
        campaign_id=campaign.id,
        subject=assignment_id[:8],
        body={"item": row.item_id, "from": earlier.rater},
    )


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
