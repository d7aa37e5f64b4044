"""A campaign with a judgement, a flag and a lease."""

from typing import Any

import web
from fairlead.labels import flags, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from labels.build import judge, open_campaign

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def busy(database: Database, **settings: Any) -> tuple[Campaign, str]:
    """A campaign with a judgement, a flag and a hold; and the token of the hold."""
    with database.write() as connection:
        one = open_campaign(connection, overlap=2, pay_per_hour=30.0, **settings)
    ben = web.person(database, "Ben Franklin", helpful_pairwise="labeller")
    with database.write() as connection:
        done, held = leases.lease_items(connection, one, ben.rater, count=2)
        judge(connection, done, active_ms=36_000)
        flags.raise_flag(connection, held.id, ben.rater, reason="broken", note=HOSTILE)
    return one, held.id
