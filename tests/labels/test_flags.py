"""Flags that raters raise and leads resolve."""

import pytest

from fairlead.labels import events, flags
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from labels.build import ANN, BEN, LEAD, lease, open_campaign


def test_flags_are_raised_and_resolved_once(database: Database) -> None:
    with database.write() as connection:
        campaign, other = open_campaign(connection), open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        first = flags.raise_flag(connection, assignment.id, ANN, reason="harmful")
        second = flags.raise_flag(connection, assignment.id, ANN, reason="other", note="Look at this.")
        assert [(flag.id, flag.reason, flag.note) for flag in flags.list_flags(connection, campaign.id)] == [
            (second, "other", "Look at this."),
            (first, "harmful", ""),
        ]
        with pytest.raises(NotFound):
            flags.resolve_flag(connection, other.id, first, by=LEAD)
        flags.resolve_flag(connection, campaign.id, first, by=LEAD)
        before = events.last_seq(connection)
        flags.resolve_flag(connection, campaign.id, first, by=BEN)  # a second time changes nothing
        assert events.last_seq(connection) == before
        assert [flag.id for flag in flags.list_flags(connection, campaign.id)] == [second]
        [resolved] = flags.list_flags(connection, campaign.id, resolved=True)
        assert (resolved.id, resolved.resolved_by) == (first, LEAD)
        for wrong in (
            {"reason": "boring"},
            {"reason": "other", "note": "x" * 10_001},
            {"reason": "other", "note": "\x00"},
        ):
            with pytest.raises(Invalid):
                flags.raise_flag(connection, assignment.id, ANN, **wrong)


def test_flags_are_listed_by_campaign(database: Database) -> None:
    with database.write() as connection:
        campaign, other = open_campaign(connection), open_campaign(connection)
        [assignment] = lease(connection, campaign, ANN)
        flag_id = flags.raise_flag(connection, assignment.id, ANN, reason="personal data", note="A name.")
        [flag] = flags.list_flags(connection, campaign.id)
        assert flags.list_flags(connection, other.id) == []
        assert flags.list_flags(connection, campaign.id, resolved=True) == []
        [recorded] = events.list_latest(connection, verbs=["flag.raised"])
    assert (flag.id, flag.campaign_id, flag.item_id, flag.rater) == (
        flag_id,
        campaign.id,
        assignment.item.id,
        ANN,
    )
    assert (flag.resolved_at, flag.resolved_by) == (None, None)
    assert recorded.body.pop("sealed").startswith("sha256:")
    assert recorded.body == {"item": assignment.item.id, "reason": "personal data"}
