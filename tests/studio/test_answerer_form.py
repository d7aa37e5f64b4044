"""Who answers in a live chat, as its lead says on the pages: in the wizard, and later in the settings."""

from typing import Any

import httpx
import pytest

from fairlead.data.records import Message
from fairlead.labels import chats, items
from fairlead.labels.chats import Answerer
from fairlead.labels.items import NewItem
from studio.leads import Place
from studio.live_chat import FORM, send, who


def test_the_wizard_sets_who_answers_and_opens(chat_place: Place, chat_lead: httpx.Client) -> None:
    page = chat_lead.get("/new/task?kind=chat").text
    assert 'value="model:sft"' in page and 'value="endpoint:here/"' in page and "FAIRLEAD_KEY_HERE" in page
    answerers = {
        "who": ["model:sft", "", "endpoint:here/"],
        "there": ["left over", "", " llama-3 "],
        "temperature": ["0", "1", "0,5"],
    }
    made = send(chat_lead, "/new", **FORM, **answerers, max_tokens=["64", "512", "128"], publish="true")
    assert made.status_code == 303 and chat_place.campaign("talk").state == "open"
    assert who(chat_place) == [
        Answerer("model:sft", {"temperature": 0.0, "max_tokens": 64}),
        Answerer("endpoint:here/llama-3", {"temperature": 0.5, "max_tokens": 128}),
    ]


@pytest.mark.parametrize(
    ("answerers", "why"),
    [
        ({"who": [""], "publish": "true"}, "No model replies in this chat yet"),
        ({"who": ["model:gone"]}, "is not a model of the project"),
        ({"who": ["endpoint:here/"], "there": [" "]}, "must be endpoint:NAME/MODEL"),
        ({"who": ["model:sft"], "temperature": ["3"]}, "temperature must be 0 to 2"),
        ({"who": ["model:sft"], "max_tokens": [""]}, "1 to 8,192 tokens"),
    ],
)
def test_the_wizard_says_what_is_wrong_and_keeps_what_was_typed(
    chat_place: Place, chat_lead: httpx.Client, answerers: dict[str, Any], why: str
) -> None:
    refused = send(chat_lead, "/new", **FORM, **answerers)
    assert (
        refused.status_code == 422
        and why in refused.text.replace("&#39;", "'")
        and 'value="Talk"' in refused.text
    )
    assert chat_lead.get("/api/v1/campaigns").json() == {"campaigns": []}
    for chosen in filter(None, answerers["who"]):
        assert f'value="{chosen}" selected' in refused.text


def test_settings_show_who_answers_also_when_it_is_gone(chat_place: Place, chat_lead: httpx.Client) -> None:
    send(chat_lead, "/new", **FORM)
    with chat_place.database.write() as connection:
        talk = chat_place.campaign("talk")
        items.add(connection, talk, [NewItem((Message("user", "Hello"),))], by="system")
        before = [
            Answerer("endpoint:away/a/b", {"temperature": 1.5, "max_tokens": 9}),
            Answerer("model:sft", {}),
        ]
        chats.set_answerers(connection, talk, before, by="system")
    page = chat_lead.get("/c/talk/settings").text
    assert (
        "endpoint:away/ (no longer available)" in page
        and 'value="a/b"' in page
        and 'value="1.5"' in page
        and 'value="9"' in page
    )


def test_other_kinds_have_no_such_field(chat_place: Place, chat_lead: httpx.Client) -> None:
    send(chat_lead, "/new", **FORM | {"kind": "thumbs", "name": "Thumbs"})
    for path in ("/new/task?kind=thumbs", "/c/thumbs/settings"):
        assert "Models that reply" not in chat_lead.get(path).text
    assert send(chat_lead, "/c/thumbs/answerers", who=["model:sft"]).status_code == 409
