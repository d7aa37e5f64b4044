"""The viewer's own answers, as the page and the API list them."""

from fastapi import FastAPI

import web
from fairlead.data.records import Message
from fairlead.labels import items, leases
from fairlead.labels.database import Database
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.studio.services.own_answers import LONGEST_PROMPT
from labels.build import LEAD, judge, open_campaign

URL = "/api/v1/campaigns/helpful-pairwise/answers"


def test_an_answer_names_its_item_in_the_letters_that_were_shown(app: FastAPI, database: Database) -> None:
    question = "Which **ship**? " * 40
    answers = tuple(CandidateAnswer((Message("assistant", text),)) for text in ("A sloop.", "A brig."))
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=0)
        item = NewItem((Message("user", question),), answers=answers)
        items.add(connection, campaign, [item], by=LEAD)
    ben = web.person(database, "Ben", helpful_pairwise="labeller")
    client = web.browser(app, database, ben)
    assert client.get(URL).json() == {"answers": [], "total": 0, "page": 1, "num_pages": 1}
    with database.write() as connection:
        [assignment] = leases.lease_items(connection, campaign, ben.rater)
        judge(connection, assignment, {"choice": 2}, reasons=(), note="shorter")
    [answer] = client.get(URL).json()["answers"]
    assert (answer["token"], answer["item"]) == (assignment.id, assignment.item.id)
    assert answer["prompt"] == question[: LONGEST_PROMPT - 1] + "…" and answer["dir"] == "ltr"
    assert (answer["value"], answer["answer"], answer["note"]) == ({"choice": 2}, "A better", "shorter")
