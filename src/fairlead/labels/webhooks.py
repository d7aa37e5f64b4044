"""Webhooks: addresses to which the studio sends its events.

A webhook has a place in the chain of events: everything before it was delivered.  Events are sent in order
and in batches, and a batch is sent again until the receiver accepts it.  A receiver may therefore get an
event twice, but never misses one.  After a day of failures a webhook stops, and continues at its place when
somebody starts it again.

The secret signs deliveries.  It is stored, because the studio needs it, and shown only once.
`webhook_delivery` sends.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    Select,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from fairlead.labels import events
from fairlead.labels.database import format_time, metadata, now
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.events import chain_table

webhook_table = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", String(500), nullable=False),
    Column("secret", String(80), nullable=False),
    Column("verbs", JSON, nullable=False),  # "judgement.made" or "judgement.*"; empty for all
    Column("campaign_id", Integer, ForeignKey("campaign.id", ondelete="CASCADE")),  # null for all
    Column("is_on", Boolean, nullable=False),
    Column("sent_seq", Integer, nullable=False),  # events up to this number were delivered
    Column("next_at", String(27), nullable=False),  # not before this time
    Column("num_failures", Integer, nullable=False),  # since the last success
    Column("last_result", String(300)),  # of the last attempt: "200", or what went wrong
    Column("last_at", String(27)),
    Column("made_by", String(40), nullable=False),
    Column("made_at", String(27), nullable=False),
)

MAX_WEBHOOKS = 20
LONGEST_URL = 500
VERB = re.compile(r"[a-z]+\.(\*|[a-z_]+)")
CLAIM_S = 120.0  # a worker that has not finished a delivery after this time counts as dead
FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 3600.0
MAX_FAILURES = 32  # about a day


@dataclass(frozen=True)
class Webhook:
    id: int
    url: str
    secret: str
    verbs: tuple[str, ...]
    campaign_id: int | None
    is_on: bool
    sent_seq: int
    next_at: str
    num_failures: int
    last_result: str | None
    last_at: str | None
    made_by: str
    made_at: str

    def wants(self, event: events.Event) -> bool:
        if self.campaign_id is not None and event.campaign_id != self.campaign_id:
            return False
        return not self.verbs or event.verb in self.verbs or f"{event.verb.split('.')[0]}.*" in self.verbs


def create(
    connection: Connection, url: str, *, verbs: Sequence[str] = (), campaign_id: int | None = None, by: str
) -> Webhook:
    """Add a webhook that gets the events from now on.  Raises Invalid."""
    problems = {}
    if problem := why_no_url(url):
        problems["url"] = problem
    if wrong := [verb for verb in verbs if not VERB.fullmatch(verb)]:
        problems["verbs"] = f"{wrong[0]!r} is no event; write judgement.made, or judgement.* for all of them"
    if connection.execute(select(func.count()).select_from(webhook_table)).scalar_one() >= MAX_WEBHOOKS:
        problems["url"] = f"there are {MAX_WEBHOOKS} webhooks already; delete one first"
    if problems:
        raise Invalid(problems)
    values = {
        "url": url,
        "secret": f"whsec_{secrets.token_urlsafe(32)}",
        "verbs": sorted(set(verbs)),
        "campaign_id": campaign_id,
        "is_on": True,
        "sent_seq": events.last_seq(connection),
        "next_at": now(),
        "num_failures": 0,
        "made_by": by,
        "made_at": now(),
    }
    row = connection.execute(insert(webhook_table).values(values).returning(webhook_table)).one()
    _log(connection, "webhook.made", row.id, campaign_id, by)
    return _from_row(row)


def why_no_url(url: str) -> str | None:
    """The reason why events cannot be sent to this address, or None."""
    try:
        parts = urlsplit(url)
        is_wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        is_wrong = True
    if is_wrong or not url.isascii() or not url.isprintable() or " " in url:
        return "must be an address such as https://example.org/fairlead"
    if parts.username is not None or parts.password is not None:
        return "must not contain a password; receivers check the signature instead"
    return f"must have at most {LONGEST_URL} characters" if len(url) > LONGEST_URL else None


def list_all(connection: Connection) -> list[Webhook]:
    return [_from_row(row) for row in connection.execute(select(webhook_table).order_by(webhook_table.c.id))]


def get(connection: Connection, id: int) -> Webhook:
    row = connection.execute(select(webhook_table).where(webhook_table.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook {id}. Check the number.")
    return _from_row(row)


def switch(connection: Connection, id: int, *, is_on: bool, by: str) -> Webhook:
    """Stop a webhook, or start it again at its place, at once."""
    return _switch(connection, id, "webhook.started" if is_on else "webhook.stopped", is_on=is_on, by=by)


def stop_all(connection: Connection, *, by: str) -> int:
    """Stop every webhook, and return how many were on."""
    ids = connection.execute(select(webhook_table.c.id).where(webhook_table.c.is_on)).scalars().all()
    for id in ids:
        switch(connection, id, is_on=False, by=by)
    return len(ids)


def send_test(connection: Connection, id: int, *, by: str) -> Webhook:
    """Add an event that this webhook sends at once.  A webhook that has stopped starts again."""
    return _switch(connection, id, "webhook.test", is_on=True, by=by)


def _switch(connection: Connection, id: int, verb: str, *, is_on: bool, by: str) -> Webhook:
    webhook = get(connection, id)
    values = {"is_on": is_on, "next_at": now(), "num_failures": 0}
    connection.execute(update(webhook_table).where(webhook_table.c.id == id).values(values))
    _log(connection, verb, id, webhook.campaign_id, by)
    return get(connection, id)


def remove(connection: Connection, id: int, *, by: str) -> None:
    webhook = get(connection, id)
    connection.execute(delete(webhook_table).where(webhook_table.c.id == id))
    _log(connection, "webhook.deleted", id, webhook.campaign_id, by)


# ---------------------------------------------------------------- deliveries


def claim_due(connection: Connection, *, at: datetime) -> Webhook | None:
    """Claim a webhook with events to send, so that no other worker sends them too."""
    due = _select_due(at)
    if connection.dialect.name != "sqlite":
        due = due.with_for_update(skip_locked=True)
    until = format_time(at + timedelta(seconds=CLAIM_S))
    claimed = update(webhook_table).where(webhook_table.c.id == due.scalar_subquery()).values(next_at=until)
    row = connection.execute(claimed.returning(webhook_table)).one_or_none()
    return _from_row(row) if row else None


def is_due(connection: Connection, *, at: datetime) -> bool:
    """Whether `claim_due` would find one, without a write."""
    return connection.execute(_select_due(at)).one_or_none() is not None


def _select_due(at: datetime) -> Select[int]:
    last_seq = select(chain_table.c.seq).scalar_subquery()
    return (
        select(webhook_table.c.id)
        .where(
            webhook_table.c.is_on,
            webhook_table.c.next_at <= format_time(at),
            webhook_table.c.sent_seq < last_seq,
        )
        .order_by(webhook_table.c.next_at)
        .limit(1)
    )


def record_success(
    connection: Connection, webhook: Webhook, *, sent_seq: int, result: str | None, at: datetime
) -> None:
    """The next delivery is due at once.  `result` is None if there was nothing to send."""
    values: dict[str, Any] = {"sent_seq": sent_seq, "next_at": format_time(at), "num_failures": 0}
    if result is not None:
        values |= {"last_result": result, "last_at": now()}
    connection.execute(update(webhook_table).where(_is_claimed(webhook)).values(values))


def record_failure(connection: Connection, webhook: Webhook, *, result: str) -> None:
    """Try again later: after 10 s, then after twice as long each time, up to an hour."""
    num_failures = webhook.num_failures + 1
    wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(webhook.num_failures, 20))
    values = {
        "num_failures": num_failures,
        "is_on": num_failures < MAX_FAILURES,
        "next_at": format_time(datetime.now(UTC) + timedelta(seconds=wait_s)),
        "last_result": result[:300],
        "last_at": now(),
    }
    changed = connection.execute(update(webhook_table).where(_is_claimed(webhook)).values(values))
    if num_failures == MAX_FAILURES and changed.rowcount:
        _log(connection, "webhook.stopped", webhook.id, webhook.campaign_id, "system")


def _is_claimed(webhook: Webhook) -> ColumnElement[bool]:
    """Nobody has changed or claimed the webhook since."""
    return (webhook_table.c.id == webhook.id) & (webhook_table.c.next_at == webhook.next_at)


def _log(connection: Connection, verb: str, id: int, campaign_id: int | None, by: str) -> None:
    events.append(connection, verb=verb, actor=by, campaign_id=campaign_id, subject=f"webhook/{id}")


def _from_row(row: Any) -> Webhook:
    values = row._mapping
    return Webhook(**{**values, "verbs": tuple(values["verbs"])})
