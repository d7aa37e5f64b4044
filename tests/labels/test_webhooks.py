"""Webhooks: signed, in order, again after a failure, bounded, and to public addresses only."""

import hashlib
import hmac
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.labels import campaigns, events, webhook_delivery, webhooks
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.webhook_delivery import DeliveryFailed
from fairlead.labels.webhooks import Webhook

OWNER = "r-0000000001"
URL = "https://example.org/fairlead"
TIMEOUT_S = 20.0


class Receiver:
    """A program that takes deliveries; `statuses` are its next answers, and 200 after them."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        self.received.append((headers, body))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise DeliveryFailed("example.org did not take the delivery: it is away")
        return status

    def verbs(self) -> list[str]:
        return [event["verb"] for _, body in self.received for event in json.loads(body)["events"]]


def create(database: Database, **settings: Any) -> Webhook:
    with database.write() as connection:
        return webhooks.create(connection, settings.pop("url", URL), by=OWNER, **settings)


def happen(database: Database, *verbs: str, campaign_id: int | None = None) -> None:
    with database.write() as connection:
        for verb in verbs:
            events.append(connection, verb=verb, actor=OWNER, campaign_id=campaign_id, body={"n": 1})


def state(database: Database, webhook: Webhook) -> Webhook:
    with database.read() as connection:
        return webhooks.get(connection, webhook.id)


def test_events_arrive_once_in_order_and_signed(database: Database) -> None:
    happen(database, "item.content")  # before the webhook was made
    webhook, receiver = create(database), Receiver()
    happen(database, "judgement.made", "task.skipped")
    assert webhook_delivery.deliver_due(database, receiver) == 1
    assert webhook_delivery.deliver_due(database, receiver) == 0
    assert receiver.verbs() == ["webhook.made", "judgement.made", "task.skipped"]
    [(headers, body)] = receiver.received
    fields = dict(field.split("=", 1) for field in headers["Fairlead-Signature"].split(","))
    expected = hmac.new(webhook.secret.encode(), f"{fields['t']}.".encode() + body, hashlib.sha256)
    assert fields["v1"] == expected.hexdigest() and abs(time.time() - int(fields["t"])) < 60
    first, *_ = json.loads(body)["events"]
    assert first["seq"] == 2 and first["campaign"] is None and first["actor"] == OWNER
    assert (state(database, webhook).last_result, state(database, webhook).num_failures) == ("200", 0)


def test_a_webhook_gets_what_it_asked_for(database: Database) -> None:
    with database.write() as connection:
        campaign = campaigns.create(
            connection, campaigns.CampaignSettings(name="Help", kind="pairwise"), by=OWNER
        )
    create(database, verbs=["judgement.*", "flag.raised"], campaign_id=campaign.id)
    receiver = Receiver()
    webhook_delivery.deliver_due(database, receiver)
    receiver.received.clear()
    happen(database, "judgement.made", "flag.raised", "flag.resolved", campaign_id=campaign.id)
    happen(database, "judgement.made")
    webhook_delivery.deliver_due(database, receiver)
    assert receiver.verbs() == ["judgement.made", "flag.raised"]
    assert json.loads(receiver.received[0][1])["events"][0]["campaign"] == "help"
    receiver.received.clear()
    happen(database, *["item.content"] * 1200)
    assert webhook_delivery.deliver_due(database, receiver) == 1 and receiver.received == []
    assert webhook_delivery.deliver_due(database, receiver) == 0


def test_a_failed_delivery_is_sent_again_later_and_later(database: Database) -> None:
    webhook, receiver = create(database), Receiver()
    receiver.statuses = [500, 0, 301]
    at = datetime.now(UTC)
    for wait_s in (10, 20, 40):
        assert webhook_delivery.deliver_due(database, receiver, at=at) == 1
        assert webhook_delivery.deliver_due(database, receiver, at=at) == 0
        failed = state(database, webhook)
        waits = datetime.fromisoformat(failed.next_at) - datetime.now(UTC)
        assert timedelta(seconds=wait_s - 5) < waits <= timedelta(seconds=wait_s)
        at = datetime.fromisoformat(failed.next_at)
    assert (failed.num_failures, failed.last_result, failed.sent_seq) == (3, "301", 0)
    happen(database, "judgement.made")
    assert webhook_delivery.deliver_due(database, receiver, at=at) == 1
    assert receiver.verbs() == ["webhook.made"] * 4 + ["judgement.made"]
    assert state(database, webhook).num_failures == 0


def test_a_webhook_stops_after_a_day_and_goes_on_where_it_stopped(database: Database) -> None:
    webhook, receiver = create(database), Receiver()
    receiver.statuses = [503] * webhooks.MAX_FAILURES
    at, waited_s = datetime.now(UTC), 0.0
    while state(database, webhook).is_on:
        assert webhook_delivery.deliver_due(database, receiver, at=at) == 1
        next_at = datetime.fromisoformat(state(database, webhook).next_at)
        waited_s += (next_at - datetime.now(UTC)).total_seconds()
        at = next_at
    assert 20 * 3600 < waited_s < 30 * 3600
    with database.read() as connection:
        assert events.list_latest(connection)[0].verb == "webhook.stopped"
    assert webhook_delivery.deliver_due(database, receiver, at=at + timedelta(days=9)) == 0
    receiver.received.clear()
    with database.write() as connection:
        webhooks.switch(connection, webhook.id, is_on=True, by=OWNER)
    webhook_delivery.deliver_due(database, receiver)
    assert receiver.verbs() == ["webhook.made", "webhook.stopped", "webhook.started"]


def test_a_backlog_is_sent_in_batches(database: Database) -> None:
    create(database)
    happen(database, *["judgement.made"] * 250)
    receiver = Receiver()
    assert webhook_delivery.deliver_due(database, receiver) == 3
    assert [len(json.loads(body)["events"]) for _, body in receiver.received] == [100, 100, 51]


def test_two_workers_do_not_send_the_same(database: Database) -> None:
    create(database)
    inside, leave = threading.Event(), threading.Event()

    def slow(url: str, body: bytes, headers: dict[str, str]) -> int:
        inside.set()
        assert leave.wait(TIMEOUT_S)
        return 200

    first = threading.Thread(target=webhook_delivery.deliver_due, args=(database, slow))
    first.start()
    assert inside.wait(TIMEOUT_S)
    assert webhook_delivery.deliver_due(database, Receiver()) == 0
    leave.set()
    first.join(TIMEOUT_S)
    assert webhook_delivery.deliver_due(database, Receiver()) == 0


def test_stopping_while_a_delivery_runs_counts(database: Database) -> None:
    webhook = create(database)

    def stopping(url: str, body: bytes, headers: dict[str, str]) -> int:
        with database.write() as connection:
            webhooks.switch(connection, webhook.id, is_on=False, by=OWNER)
        return 500

    webhook_delivery.deliver_due(database, stopping)
    assert not state(database, webhook).is_on and state(database, webhook).num_failures == 0


def test_a_test_is_sent_whatever_the_filter(database: Database) -> None:
    webhook, receiver = create(database, verbs=["flag.raised"]), Receiver()
    webhook_delivery.deliver_due(database, receiver)
    receiver.received.clear()
    with database.write() as connection:
        webhooks.send_test(connection, webhook.id, by=OWNER)
    webhook_delivery.deliver_due(database, receiver)
    assert receiver.verbs() == ["webhook.test"]
    with database.write() as connection:
        webhooks.remove(connection, webhook.id, by=OWNER)
        with pytest.raises(NotFound):
            webhooks.get(connection, webhook.id)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://ada:secret@example.org"}, "url"),
        ({"url": "https://example.org/a b"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": "https://example.org:99999"}, "url"),
        ({"url": "https://example.org/" + "x" * 500}, "url"),
        ({"verbs": ["judgement"]}, "verbs"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(
    database: Database, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        create(database, **settings)
    assert list(refused.value.problems) == [field]


def test_there_are_only_so_many(database: Database) -> None:
    for _ in range(webhooks.MAX_WEBHOOKS):
        create(database)
    with pytest.raises(Invalid, match="20 webhooks"):
        create(database)
