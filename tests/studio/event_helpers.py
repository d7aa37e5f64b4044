"""Events for the tests of streams and pages."""

from fairlead.labels import events
from fairlead.labels.database import Database

URL = "/api/v1/events"


def happen(
    database: Database,
    number: int = 1,
    *,
    actor: str = "r-0000000001",
    campaign: int | None = 1,
    verb: str = "judgement.made",
) -> int:
    """So many events in one transaction; returns the number of the last."""
    with database.write() as connection:
        for k in range(number):
            last = events.append(
                connection, verb=verb, actor=actor, campaign_id=campaign, subject=f"task{k}", body={"item": k}
            )
    return last
