"""The share of answers shown first: the dashboard and a datasheet give the same figures."""

from typing import Any

from pytest import approx

from fairlead.labels import agreement, judgements, position_bias, progress
from fairlead.labels.database import Database
from labels.build import ANN, BEN, CAT, judge, lease, open_campaign

CHOICES: list[dict[str, Any]] = [{"choice": n} for n in (1, 2, 4, 7, 3, 1, 5, 8, 2, 6, 1, 3)]


def test_by_hand(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=len(CHOICES))
        for value in CHOICES:
            [task] = lease(connection, campaign, ANN)
            judge(connection, task, value)
        # choices 1 to 3 prefer the first answer: 7 of 12; 4 and 5 are ties: 2
        share = progress.get_progress(connection, campaign).left
        assert share is not None and share.value == approx(0.7) and share.n == 10
        loaded = judgements.list_current(connection, campaign.id)
    assert position_bias.share_of_judgements(campaign, loaded) == share


def test_the_dashboard_and_a_datasheet_agree_whatever_the_order_and_the_number(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=len(CHOICES), overlap=3)
        for shift, rater in enumerate((ANN, BEN, CAT)):
            for n in range(len(CHOICES)):
                [task] = lease(connection, campaign, rater)
                judge(connection, task, CHOICES[(n + 5 * shift) % len(CHOICES)])
        loaded = judgements.list_current(connection, campaign.id)
        by_item = sorted(loaded, key=lambda judgement: (judgement.item_id, -judgement.id))
        for latest in (1, 7, 20, 100):
            counted = position_bias.count_by_rater(connection, campaign, latest=latest)
            of_loaded = position_bias.share_of_judgements(campaign, by_item, latest=latest)
            assert position_bias.total(counted) == of_loaded
        measured = agreement.measure(connection, campaign)
        assert measured is not None
        assert agreement.measure_judgements("pairwise", by_item) == measured


def test_without_comparisons_there_is_no_share(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
        assert position_bias.count_by_rater(connection, campaign) == {}
        assert position_bias.total({}) is None
        assert position_bias.share_of_judgements(campaign, []) is None
        thumbs = open_campaign(connection, kind="thumbs", num_items=1)
        assert position_bias.count_by_rater(connection, thumbs) == {}
        assert position_bias.share_of_judgements(thumbs, []) is None
