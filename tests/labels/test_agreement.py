"""Agreement between raters, for each kind of task."""

from typing import Any

import pytest
from pytest import approx
from sqlalchemy import Connection

from fairlead.data.records import Message
from fairlead.labels import agreement, assignments, items, judgements, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.items import NewItem
from fairlead.labels.task_kinds import TaskKind
from labels.build import ANN, BEN, LEAD, judge, lease, open_campaign
from labels.judging import NOW, judge_next


def measure_pairs(
    connection: Connection,
    kind: TaskKind,
    pairs: list[tuple[dict[str, Any], dict[str, Any]]],
    **settings: Any,
) -> agreement.MeasuredAgreement | None:
    """Two raters judge the same items; `pairs` holds their values for each item."""
    campaign = open_campaign(connection, kind=kind, num_items=len(pairs), overlap=2, **settings)
    assignments_by_rater = {
        rater: {
            assignment.item.id: assignment
            for assignment in lease_all(connection, campaign, rater, len(pairs))
        }
        for rater in (ANN, BEN)
    }
    for item_id, values in zip(sorted(assignments_by_rater[ANN]), pairs, strict=True):
        for rater, value in zip((ANN, BEN), values, strict=True):
            judge(connection, assignments_by_rater[rater][item_id], value)
    return agreement.measure(connection, campaign)


def lease_all(
    connection: Connection, campaign: Campaign, rater: str, number: int
) -> list[assignments.Assignment]:
    leased = lease(connection, campaign, rater, count=number)
    assert len(leased) == number <= leases.MAX_LEASES
    return leased


def test_agreement_on_thumbs_matches_a_hand_calculation(database: Database) -> None:
    good, bad = {"label": True}, {"label": False}
    with database.write() as connection:
        measured = measure_pairs(connection, "thumbs", [(good, good), (good, bad), (bad, bad), (bad, bad)])
    assert measured is not None and measured.num_items == 4
    assert measured.agreement.raw.value == 0.75
    assert measured.agreement.alpha is not None and measured.agreement.alpha.value == approx(
        0.53333, abs=1e-5
    )  # see tests/stats/test_agreement.py


def test_comparisons_agree_by_candidate_not_by_letter(database: Database) -> None:
    """Raters agree when they prefer the same candidate, however strongly, whatever its letter."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=5, overlap=2)
        assignments_by_rater = {
            rater: {
                assignment.item.id: assignment for assignment in lease_all(connection, campaign, rater, 5)
            }
            for rater in (ANN, BEN)
        }
        expected = []
        for k, item_id in enumerate(sorted(assignments_by_rater[ANN])):
            for rater, choice in ((ANN, 1), (BEN, 3)):
                judge(
                    connection,
                    assignments_by_rater[rater][item_id],
                    {"choice": choice},
                    key=f"key-{rater}-{k}",
                )
            expected.append(
                assignments_by_rater[ANN][item_id].order == assignments_by_rater[BEN][item_id].order
            )
        measured = agreement.measure(connection, campaign)
    assert measured is not None and measured.agreement.raw.value == approx(sum(expected) / 5)


def test_rankings_are_compared_by_pairs_of_answers(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="ranking", num_items=1, num_answers=3, overlap=2)
        [ann], [ben] = lease_all(connection, campaign, ANN, 1), lease_all(connection, campaign, BEN, 1)
        letters = {
            rater: {candidate: "ABC"[k] for k, candidate in enumerate(assignment.order)}
            for rater, assignment in ((ANN, ann), (BEN, ben))
        }
        # Ann: 0 > 1 > 2.  Ben: 0 > 2 > 1.  Of three pairs of answers they agree on two.
        judge(connection, ann, {"ranks": {letters[ANN][0]: 1, letters[ANN][1]: 2, letters[ANN][2]: 3}})
        judge(connection, ben, {"ranks": {letters[BEN][0]: 1, letters[BEN][2]: 2, letters[BEN][1]: 3}})
        measured = agreement.measure(connection, campaign)
    assert measured is not None and measured.agreement.raw.value == approx(2 / 3) and measured.num_items == 1


def test_scores_are_compared_by_distance(database: Database) -> None:
    near = [({"score": 3}, {"score": 4}), ({"score": 7}, {"score": 6}), ({"score": 1}, {"score": 2})]
    far = [({"score": 1}, {"score": 7}), ({"score": 7}, {"score": 1}), ({"score": 4}, {"score": 4})]
    with database.write() as connection:
        close, apart = measure_pairs(connection, "rating", near), measure_pairs(connection, "rating", far)
    assert close and apart and close.agreement.alpha and apart.agreement.alpha
    assert close.agreement.alpha.value > 0.8 > 0 > apart.agreement.alpha.value


@pytest.mark.parametrize("kind", ["thumbs", "demonstration"])
def test_no_agreement_without_overlap_or_for_written_texts(database: Database, kind: TaskKind) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind=kind, num_items=3)
        judge_next(connection, campaign, ANN, NOW)
        judge_next(connection, campaign, BEN, NOW)
        assert agreement.measure(connection, campaign) is None


def test_judgements_that_an_item_cannot_be_judged_are_ignored(database: Database) -> None:
    with database.write() as connection:
        assert measure_pairs(connection, "thumbs", [({"label": True}, {"cannot": "judge"})]) is None


def test_the_last_judgement_of_a_rater_counts(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, kind="thumbs", num_items=1, overlap=2)
        [ann], [ben] = lease_all(connection, campaign, ANN, 1), lease_all(connection, campaign, BEN, 1)
        judge(connection, ann, {"label": False})
        judge(connection, ben, {"label": True})
        judge(connection, ann, {"label": True}, key="changed-my-mind")
        measured = agreement.measure(connection, campaign)
    assert measured is not None and measured.agreement.raw.value == 1.0 and measured.agreement.num_pairs == 1


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("thumbs", [({"label": True}, {"label": True}), ({"label": False}, {"label": True})]),
        ("rating", [({"score": 3}, {"score": 4}), ({"score": 7}, {"score": 6})]),
        (
            "aspects",
            [({"aspects": {"helpful": 1, "harmless": 2, "honest": 3}},) * 2],
        ),
    ],
)
def test_loaded_judgements_are_measured_like_stored_ones(
    database: Database, kind: TaskKind, pairs: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    with database.write() as connection:
        measured = measure_pairs(connection, kind, pairs)
        loaded = judgements.list_current(connection, 1)
    assert measured is not None
    assert agreement.measure_judgements(kind, loaded) == measured
    assert agreement.measure_judgements("demonstration", loaded) is None
    assert agreement.measure_judgements(kind, loaded[:1]) is None  # one rater only


def test_aspects_and_turns_are_compared_one_by_one(database: Database) -> None:
    """Raters agree on one of two turns; a turn that one rater left out is not compared."""
    first = {"turns": {"0": {"label": True}, "1": {"label": True}, "2": {"label": True}}}
    second = {"turns": {"0": {"label": True}, "1": {"label": False}}}
    with database.write() as connection:
        campaign = open_campaign(connection, kind="conversation", num_items=0, overlap=2)
        prompt = tuple(Message(role, role) for role in ("user", "assistant", "user", "assistant"))
        items.add(connection, campaign, [NewItem(prompt, ())], by=LEAD)
        for rater, value in ((ANN, first), (BEN, second)):
            judge(connection, lease(connection, campaign, rater)[0], value)
        measured = agreement.measure(connection, campaign)
    assert measured is not None and measured.agreement.raw.value == 0.5 and measured.num_items == 1


def test_only_the_latest_items_are_measured(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "MAX_ITEMS", 2)
    good, bad = {"label": True}, {"label": False}
    with database.write() as connection:
        measured = measure_pairs(connection, "thumbs", [(good, bad), (good, good), (bad, bad)])
        loaded = judgements.list_current(connection, 1)
    assert measured is not None and (measured.num_items, measured.agreement.raw.value) == (2, 1.0)
    assert agreement.measure_judgements("thumbs", loaded) == measured
