"""Item search: words, states, pages, and the details of an item."""

import pytest
from sqlalchemy import Connection

from fairlead.data.records import Message
from fairlead.labels import flags, item_search, items, judgements
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.errors import NotFound
from fairlead.labels.item_search import ItemQuery, ItemState
from fairlead.labels.items import CandidateAnswer, NewItem
from labels.build import ANN, BEN, CAT, LEAD, NOON, after, judge, lease, open_campaign


def new_pair(prompt: str, first: str = "Yes.", second: str = "No.", *tags: str) -> NewItem:
    answers = tuple(CandidateAnswer((Message("assistant", text),)) for text in (first, second))
    return NewItem((Message("user", prompt),), answers, tags=tags)


@pytest.fixture
def campaign(database: Database) -> Campaign:
    """Four pairs whose prompts, answers and tags contain different words."""
    rows = [
        new_pair("Which red car is fast?", "The Ärger one.", "None.", "cars"),
        new_pair("Which blue car is fast?", "100% sure.", "Unsure."),
        new_pair("Who sings?", "The red band.", "Nobody.", "music"),
        new_pair("How many are 1000?", "A lot_of them.", "Few."),
    ]
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=0)
        items.add(connection, campaign, rows, by=LEAD)
    return campaign


def search_ids(
    connection: Connection, campaign: Campaign, words: str = "", state: ItemState = "any"
) -> list[int]:
    return [
        summary.item.id
        for summary in item_search.search(connection, campaign.id, ItemQuery(words, state), at=after(1))
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", [1, 2, 3, 4]),
        ("  ", [1, 2, 3, 4]),
        ("car", [1, 2]),
        ("CAR", [1, 2]),
        ("red", [1, 3]),  # in a prompt and in an answer
        ("red car", [1]),
        ("car red", [1]),
        ("music", [3]),  # a tag
        ("ärger", [1]),
        ("ÄRGER", [1]),
        ("100%", [2]),  # % and _ are no wildcards
        ("lot_of", [4]),
        ("l_t", []),
        ("plane", []),
    ],
)
def test_items_contain_all_words_in_any_case(
    database: Database, campaign: Campaign, words: str, expected: list[int]
) -> None:
    with database.read() as connection:
        assert search_ids(connection, campaign, words) == expected


def test_items_of_other_campaigns_are_not_searched(database: Database, campaign: Campaign) -> None:
    with database.write() as connection:
        other = open_campaign(connection, num_items=0)
        items.add(connection, other, [new_pair("Which green car is fast?")], by=LEAD)
        assert search_ids(connection, campaign, "car") == [1, 2]
        assert search_ids(connection, other, "car") == [5]
        assert item_search.count_items(connection, [campaign.id, other.id, 99]) == {
            campaign.id: 4,
            other.id: 1,
            99: 0,
        }
        assert item_search.count_items(connection, []) == {}


def test_search_results_are_listed_in_pages(database: Database, campaign: Campaign) -> None:
    with database.read() as connection:
        first = item_search.search(connection, campaign.id, limit=3)
        second = item_search.search(connection, campaign.id, limit=3, after=first[-1].item.id)
        last = item_search.search(connection, campaign.id, ItemQuery("red"), limit=1, after=1)
    assert [summary.item.id for summary in first] == [1, 2, 3]
    assert [summary.item.id for summary in second] == [4]
    assert [summary.item.id for summary in last] == [3]


def test_items_by_state(database: Database) -> None:
    """Of two judgements, item A gets both, item B one, item C none; D has a flag, and E is leased."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=5, overlap=2)
        by_rater = {
            rater: {
                assignment.item.id: assignment for assignment in lease(connection, campaign, rater, count=5)
            }
            for rater in (ANN, BEN)
        }
        both, half, neither, flagged, leased = sorted(by_rater[ANN])
        judge(connection, by_rater[ANN][both])
        judge(connection, by_rater[BEN][both])
        judge(connection, by_rater[ANN][half])
        flag_id = flags.raise_flag(connection, by_rater[ANN][flagged].id, ANN, reason="broken")
        for rater, item_id in ((BEN, half), (ANN, neither), (BEN, neither), (ANN, flagged), (BEN, flagged)):
            judgements.skip(connection, by_rater[rater][item_id].id, rater, reason="unclear", at=NOON)
        assert search_ids(connection, campaign, state="any") == [both, half, neither, flagged, leased]
        assert search_ids(connection, campaign, state="done") == [both]
        assert search_ids(connection, campaign, state="judged") == [both, half]
        assert search_ids(connection, campaign, state="open") == [half, neither, flagged]
        assert search_ids(connection, campaign, state="flagged") == [flagged]
        word = items.get(connection, campaign.id, half).prompt[0].content.split()[1]  # "1?" of "Question 1?"
        assert search_ids(connection, campaign, words=word, state="open") == [half]
        assert search_ids(connection, campaign, words=word, state="done") == []
        summaries = item_search.search(connection, campaign.id, at=after(1))
        flags.resolve_flag(connection, campaign.id, flag_id, by=LEAD)
        assert search_ids(connection, campaign, state="flagged") == []
    assert [
        (summary.num_open, summary.num_held, summary.num_done, summary.num_flags) for summary in summaries
    ] == [(0, 0, 2, 0), (1, 0, 1, 0), (2, 0, 0, 0), (2, 0, 0, 1), (0, 2, 0, 0)]


def test_details_contain_all_judgements_and_flags_of_an_item(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2, overlap=3)
        item_id = items.list_page(connection, campaign.id)[0].id
        of_item = [
            assignment
            for rater in (ANN, BEN, CAT)
            for assignment in lease(connection, campaign, rater, count=2)
            if assignment.item.id == item_id
        ]
        first = judge(connection, of_item[0], {"choice": 1})
        correction = judge(connection, of_item[0], {"choice": 8}, key="correction")
        second = judge(connection, of_item[1])
        withdrawn = judge(connection, of_item[2])
        judgements.skip(connection, of_item[2].id, CAT, reason="unclear", at=NOON)
        flag_id = flags.raise_flag(connection, of_item[1].id, BEN, reason="other", note="Look.")
        resolved_id = flags.raise_flag(connection, of_item[1].id, BEN, reason="broken")
        flags.resolve_flag(connection, campaign.id, resolved_id, by=LEAD)
        details = item_search.get_details(connection, campaign.id, item_id)
        other_item = item_search.get_details(connection, campaign.id, 3 - item_id)
        with pytest.raises(NotFound):
            item_search.get_details(connection, campaign.id + 1, item_id)
    assert details.summary.item == of_item[0].item
    assert (details.summary.num_done, details.summary.num_open, details.summary.num_flags) == (2, 1, 1)
    assert details.standing == [correction, second]
    superseded = {judgement.id for judgement in details.superseded}
    assert {first.id, withdrawn.id} < superseded and not superseded & {correction.id, second.id}
    assert [(flag.id, flag.resolved_by) for flag in details.flags] == [(flag_id, None), (resolved_id, LEAD)]
    assert (other_item.standing, other_item.superseded, other_item.flags) == ([], [], [])


def test_an_item_whose_lease_has_expired_is_in_nobodys_hands(database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1, lease_s=60)
        [assignment] = lease(connection, campaign, ANN)
        found = {}
        for minutes in (0.5, 2):
            at = after(minutes)
            [summary] = item_search.search(connection, campaign.id, at=at)
            details = item_search.get_details(connection, campaign.id, assignment.item.id, at=at)
            assert details.summary == summary
            is_open = item_search.search(connection, campaign.id, ItemQuery(state="open"), at=at) != []
            found[minutes] = (summary.num_held, summary.num_open, is_open)
    assert found == {0.5: (1, 0, False), 2: (0, 1, True)}
