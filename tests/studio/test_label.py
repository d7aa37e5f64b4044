"""The pages of a labeller: the work, the labelling screen and their own answers."""

import json

import pytest
from fastapi import FastAPI

import web
from fairlead.labels import leases
from fairlead.labels.database import Database
from labels.build import judge, open_campaign

PAGES = ("/work", "/c/helpful-pairwise/label", "/c/helpful-pairwise/answers")


@pytest.mark.parametrize("page", PAGES)
def test_a_labeller_is_shown_their_pages(app: FastAPI, database: Database, page: str) -> None:
    with database.write() as connection:
        open_campaign(connection, num_items=1)
    ben = web.browser(app, database, web.person(database, "Ben", helpful_pairwise="labeller"))
    response = ben.get(page)
    assert response.status_code == 200 and "helpful-pairwise" in response.text


@pytest.mark.parametrize("page", PAGES[1:])
def test_viewers_and_strangers_are_not(app: FastAPI, database: Database, page: str) -> None:
    with database.write() as connection:
        open_campaign(connection, num_items=1)
    viewer = web.browser(app, database, web.person(database, "Vi", helpful_pairwise="viewer"))
    assert viewer.get(page).status_code in (403, 404)
    assert web.stranger(app).get(page).status_code in (303, 401)


def test_the_page_of_answers_shows_ones_own_only(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=1)
    ben = web.person(database, "Ben", helpful_pairwise="labeller")
    cy = web.person(database, "Cy", helpful_pairwise="labeller")
    with database.write() as connection:
        [assignment] = leases.lease_items(connection, campaign, ben.rater)
        judge(connection, assignment, note="because of ships")
    pages = [web.browser(app, database, one).get(PAGES[2]).text for one in (ben, cy)]
    assert ["because of ships" in page for page in pages] == [True, False]
    assert json.dumps(assignment.id)[1:-1] in pages[0]
