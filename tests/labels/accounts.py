"""Times, a password and a campaign, for tests of people and their access."""

from sqlalchemy import Connection

from fairlead.labels import campaigns

AT = "2026-03-01T12:00:00.000000Z"

LATER = "2026-03-09T12:00:00.000000Z"

PASSWORD = "correct horse battery"


def add_campaign(connection: Connection, name: str = "Helpful") -> int:
    return campaigns.create(
        connection, campaigns.CampaignSettings(name=name, kind="pairwise"), by="r-00000000aa"
    ).id
