"""The answerers of a live chat, chosen by a lead."""

import httpx

from fairlead.labels.chats import Answerer
from studio.leads import Place
from studio.live_chat import FORM, MODELS, Chat, send, who
from web import browser, person


def test_a_lead_says_who_answers(chat: Chat) -> None:
    slug = chat.campaign.slug.replace("-", "_")
    lead = browser(chat.app, chat.database, person(chat.database, "Lea", **{slug: "lead"}))
    found = lead.get(f"{chat.home}/answerers").json()
    assert (
        [one["source"] for one in found["answerers"]] == list(MODELS)
        and found["endpoints"] == ["here"]
        and found["models"] == []
    )
    one = {"source": "endpoint:here/green", "temperature": 0.2, "max_tokens": 64}
    assert lead.put(f"{chat.home}/answerers", json={"answerers": [one]}).json()["answerers"] == [one]
    wrong = lead.put(f"{chat.home}/answerers", json={"answerers": [{"source": "endpoint:elsewhere/x"}]})
    assert wrong.status_code == 422 and "here" in wrong.json()["error"]["message"]
    chat.say(0, "Hello")
    chat.heard(0)
    assert [body["model"] for body in chat.server.asked] == ["green", "green"]
    assert chat.server.asked[0]["seed"] != chat.server.asked[1]["seed"]
    assert chat.client.get(f"{chat.home}/answerers").status_code == 403


def test_a_chat_is_not_opened_before_somebody_answers(chat_place: Place, chat_lead: httpx.Client) -> None:
    assert send(chat_lead, "/new", **FORM).status_code == 303
    refused = chat_lead.post("/api/v1/campaigns/talk/state", json={"state": "open"})
    assert (
        refused.status_code == 409
        and "no model replies in this chat yet" in refused.json()["error"]["message"]
    )
    page = chat_lead.get("/c/talk/settings").text
    assert "No model replies in this chat yet" in page
    assert send(chat_lead, "/c/talk/answerers", who=["", ""]).status_code == 422
    saved = send(chat_lead, "/c/talk/answerers", who=["", "model:sft"])
    assert saved.status_code == 303 and who(chat_place) == [
        Answerer("model:sft", {"temperature": 0.8, "max_tokens": 512})
    ]
    page = chat_lead.get(saved.headers["location"]).text
    assert "has no answerers" not in page and 'value="model:sft" selected' in page and "Saved." in page
    assert chat_lead.post("/api/v1/campaigns/talk/state", json={"state": "open"}).status_code == 200
