"""Campaigns: one kind of task over many items, with versioned guidelines.

A campaign starts as a draft and is then opened.  A paused or closed campaign assigns no items, but still
accepts judgements of assigned items.
"""

import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from fairlead.core import digest
from fairlead.labels import events, storable_text, task_kinds
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Conflict, Invalid, NotFound, Stale
from fairlead.labels.seals import Row
from fairlead.labels.task_kinds import TaskKind

campaign_table = Table(
    "campaign",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("slug", String(80), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("options", JSON, nullable=False),
    Column("state", String(10), nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("pay_per_hour", Float),
    Column("currency", String(3), nullable=False),
    Column("audience", Text, nullable=False),
    Column("lease_s", Integer, nullable=False),
    Column("read_first", Boolean, nullable=False, server_default=false()),
    Column("seed", String(40), nullable=False),
    Column("created_by", String(40), nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("archived_at", String(27)),  # null unless the campaign is hidden from lists
    Column("deleted_at", String(27)),  # set while a job deletes what belongs to the campaign
)
guideline_table = Table(
    "guideline",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("written_by", String(40), nullable=False),
    Column("written_at", String(27), nullable=False),
    PrimaryKeyConstraint("campaign_id", "version"),
)
guideline_read_table = Table(
    "guideline_read",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("rater", String(40), nullable=False),
    Column("version", Integer, nullable=False),
    Column("read_at", String(27), nullable=False),
    PrimaryKeyConstraint("campaign_id", "rater", "version"),
)

CampaignState = Literal["draft", "open", "paused", "closed"]
NEXT_STATES: Mapping[CampaignState, tuple[CampaignState, ...]] = {
    "draft": ("open",),
    "open": ("paused", "closed"),
    "paused": ("open", "closed"),
    "closed": ("open",),
}
LONGEST_GUIDELINES = 100_000  # characters
CHANGEABLE_COLUMNS = ("name", "overlap", "pay_per_hour", "currency", "audience", "lease_s", "read_first")


@dataclass(frozen=True)
class Campaign:
    id: int
    slug: str
    name: str
    kind: TaskKind
    options: dict[str, Any]  # see `task_kinds`
    state: CampaignState
    overlap: int  # judgements wanted per item
    pay_per_hour: float | None  # per hour of active time
    currency: str
    audience: str  # who should label; shown to raters
    lease_s: int  # seconds until a lease without a heartbeat expires
    read_first: bool  # items are assigned only to raters who have read the latest guidelines
    seed: str  # for the order of items and answers
    created_by: str
    created_at: str
    archived_at: str | None = None  # hidden from lists since
    deleted_at: str | None = None  # being deleted since

    @property
    def version(self) -> str:
        """Differs whenever a setting differs, see `require_version`."""
        return digest.short(digest.of_json([self.options, *(getattr(self, n) for n in CHANGEABLE_COLUMNS)]))


@dataclass(frozen=True, kw_only=True)
class CampaignSettings:
    """What a lead chooses when creating a campaign.  The fields mean the same as in `Campaign`."""

    name: str
    kind: str
    options: Mapping[str, Any] | None = None
    overlap: int = 1
    pay_per_hour: float | None = None
    currency: str = "EUR"
    audience: str = ""
    lease_s: int = 1800
    read_first: bool = False
    guidelines: str = ""  # Markdown; the first version, empty for none
    slug: str | None = None  # derived from the name when None
    seed: str | None = None  # random when None


@dataclass(frozen=True)
class Guidelines:
    version: int
    text: str  # Markdown
    written_by: str
    written_at: str


def create(connection: Connection, settings: CampaignSettings, *, by: str) -> Campaign:
    """Create a draft campaign.  Raises Invalid with every setting that is wrong."""
    values = {name: getattr(settings, name) for name in CHANGEABLE_COLUMNS}
    problems = _find_problems(values)
    if settings.kind not in task_kinds.TASK_KINDS:
        problems["kind"] = f"must be one of: {', '.join(task_kinds.TASK_KINDS)}"
    if settings.slug is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,70}", settings.slug):
        problems["slug"] = (
            "must consist of lowercase letters, digits and hyphens, and have at most 71 characters"
        )
    if problems:
        raise Invalid(problems)
    kind: TaskKind = settings.kind  # type: ignore[assignment]
    created_at = now()
    values |= {
        "name": settings.name.strip(),
        "kind": kind,
        "options": task_kinds.check_options(kind, settings.options or {}),
        "state": "draft",
        "seed": settings.seed or secrets.token_hex(8),
        "created_by": by,
        "created_at": created_at,
    }
    campaign = _insert(connection, settings.slug or slugify(settings.name), values)
    events.append(
        connection,
        verb="campaign.created",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"kind": kind, "overlap": settings.overlap},
    )
    if settings.guidelines.strip():
        write_guidelines(connection, campaign, settings.guidelines, by=by)
    return campaign


def unknown_campaign(slug: str) -> NotFound:
    """The error for a campaign that does not exist.

    People without a role in a campaign get the same message, so that they do not learn that it exists.
    """
    return NotFound(f"There is no campaign {slug!r}. Check the name, or ask a lead for access.")


def get(connection: Connection, slug: str) -> Campaign:
    """Raises NotFound."""
    this = (campaign_table.c.slug == slug, campaign_table.c.deleted_at.is_(None))
    row = connection.execute(select(campaign_table).where(*this)).one_or_none()
    if row is None:
        raise unknown_campaign(slug)
    return _from_row(row)


def get_by_id(connection: Connection, campaign_id: int, *, lock: bool = False) -> Campaign:
    """`lock` keeps the campaign's rating scale as it is until this transaction ends, see `lock`."""
    query = select(campaign_table).where(campaign_table.c.id == campaign_id)
    if lock:
        query = query.with_for_update(read=True, key_share=True)
    return _from_row(connection.execute(query).one())


def list_all(connection: Connection, *, ids: Sequence[int] | None = None) -> list[Campaign]:
    """All campaigns, or those with the given ids, newest first.  Archived ones are among them."""
    query = select(campaign_table).where(campaign_table.c.deleted_at.is_(None))
    query = query.order_by(campaign_table.c.id.desc())
    if ids is not None:
        query = query.where(campaign_table.c.id.in_(ids))
    return [_from_row(row) for row in connection.execute(query)]


def change(connection: Connection, campaign: Campaign, *, by: str, **settings: Any) -> Campaign:
    """Change the name, audience, pay, currency, lease time or options.

    Kind, slug and seed never change.  Use `item_overlap.change` for the overlap.  After items were assigned,
    pass options through `assignments.merge_options` first.
    """
    problems = _find_problems(settings)
    problems |= {
        name: "cannot be changed after the campaign was created"
        for name in settings
        if name not in ("name", "audience", "pay_per_hour", "currency", "lease_s", "read_first", "options")
    }
    if problems:
        raise Invalid(problems)
    if "options" in settings:
        settings["options"] = task_kinds.check_options(campaign.kind, settings["options"])
    row = connection.execute(
        update(campaign_table)
        .where(campaign_table.c.id == campaign.id)
        .values(settings)
        .returning(campaign_table)
    ).one()
    events.append(
        connection,
        verb="campaign.changed",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"fields": sorted(settings)},
    )
    return _from_row(row)


def require_version(connection: Connection, campaign_id: int, version: str) -> None:
    """Raise Stale, with the present settings, unless the user saw these settings.

    Keeps other transactions from changing the campaign until this one ends.
    """
    query = select(campaign_table).where(campaign_table.c.id == campaign_id).with_for_update(key_share=True)
    campaign = _from_row(connection.execute(query).one())
    if campaign.version != version:
        settings = {name: getattr(campaign, name) for name in CHANGEABLE_COLUMNS}
        raise Stale(
            "Somebody else has changed these settings since you opened the page. Nothing was saved yet.",
            current={**settings, **campaign.options, "version": campaign.version},
        )


def set_state(connection: Connection, campaign: Campaign, state: CampaignState, *, by: str) -> Campaign:
    """Open, pause or close a campaign.  Raises Conflict for a transition that is not possible."""
    if state == campaign.state:
        return campaign
    if campaign.archived_at is not None:
        raise Conflict("This campaign is archived. Restore it under Settings first.")
    if state not in NEXT_STATES[campaign.state]:
        raise Conflict(
            f"A campaign that is {campaign.state} cannot become {state}. "
            f"It can become {' or '.join(NEXT_STATES[campaign.state])}."
        )
    changed = (
        update(campaign_table)
        .where(campaign_table.c.id == campaign.id, campaign_table.c.state == campaign.state)
        .values(state=state)
        .returning(campaign_table)
    )
    row = connection.execute(changed).one_or_none()
    if row is None:
        raise Conflict("Another user has just changed the state of the campaign. Reload the page.")
    events.append(
        connection, verb=f"campaign.{state}", actor=by, campaign_id=campaign.id, subject=campaign.slug
    )
    return _from_row(row)


def set_archived(connection: Connection, campaign: Campaign, *, archived: bool, by: str) -> Campaign:
    """Hide a campaign from lists, or show it again.  An open or paused campaign is closed first."""
    if archived == (campaign.archived_at is not None):
        return campaign
    if archived and campaign.state in ("open", "paused"):
        campaign = set_state(connection, campaign, "closed", by=by)
    row = connection.execute(
        update(campaign_table)
        .where(campaign_table.c.id == campaign.id)
        .values(archived_at=now() if archived else None)
        .returning(campaign_table)
    ).one()
    events.append(
        connection,
        verb="campaign.archived" if archived else "campaign.restored",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
    )
    return _from_row(row)


# ---------------------------------------------------------------- guidelines


def write_guidelines(
    connection: Connection, campaign: Campaign, text: str, *, by: str, after: int | None = None
) -> Guidelines:
    """Add a version of the guidelines, unless the text is unchanged.

    Raises Stale when there is a newer version than `after`, from which the user wrote the text.
    """
    if not text.strip() or len(text) > LONGEST_GUIDELINES:
        raise Invalid({"guidelines": f"must have 1 to {LONGEST_GUIDELINES:,} characters"})
    storable_text.require(guidelines=text)
    lock_settings(connection, campaign)
    last = get_guidelines(connection, campaign.id)
    if last is not None and last.text == text:
        return last
    number = last.version if last else 0
    if after is not None and after != number:
        raise Stale(
            f"Somebody else has written version {number} since you opened the page. Nothing was saved yet.",
            current={"text": last.text if last else "", "after": number},
        )
    guidelines = Guidelines(number + 1, text, by, now())
    connection.execute(insert(guideline_table).values(campaign_id=campaign.id, **vars(guidelines)))
    events.append(
        connection,
        verb="guidelines.written",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"version": guidelines.version},
        rows=[Row("guideline", (campaign.id, guidelines.version))],
    )
    return guidelines


def get_guidelines(connection: Connection, campaign_id: int, version: int | None = None) -> Guidelines | None:
    """The latest version of the guidelines, or the given one."""
    query = (
        select(guideline_table)
        .where(guideline_table.c.campaign_id == campaign_id)
        .order_by(guideline_table.c.version.desc())
        .limit(1)
    )
    if version is not None:
        query = query.where(guideline_table.c.version == version)
    row = connection.execute(query).one_or_none()
    return Guidelines(row.version, row.text, row.written_by, row.written_at) if row else None


def list_guideline_versions(connection: Connection, campaign_id: int) -> list[Guidelines]:
    """All versions of the guidelines, latest first."""
    rows = connection.execute(
        select(guideline_table)
        .where(guideline_table.c.campaign_id == campaign_id)
        .order_by(guideline_table.c.version.desc())
    )
    return [Guidelines(row.version, row.text, row.written_by, row.written_at) for row in rows]


def mark_guidelines_read(connection: Connection, campaign: Campaign, rater: str, version: int) -> None:
    """Record that the rater has read this version of the guidelines."""
    lock_settings(connection, campaign)
    if last_version_read(connection, campaign.id, rater) < version and get_guidelines(
        connection, campaign.id, version
    ):
        connection.execute(
            insert(guideline_read_table).values(
                campaign_id=campaign.id, rater=rater, version=version, read_at=now()
            )
        )
        events.append(
            connection,
            verb="guidelines.read",
            actor=rater,
            campaign_id=campaign.id,
            subject=campaign.slug,
            body={"version": version},
        )


def last_version_read(connection: Connection, campaign_id: int, rater: str) -> int:
    """The latest version that the rater has read; 0 for none."""
    query = select(func.max(guideline_read_table.c.version)).where(
        guideline_read_table.c.campaign_id == campaign_id, guideline_read_table.c.rater == rater
    )
    return int(connection.execute(query).scalar() or 0)


# ---------------------------------------------------------------- details


def slugify(name: str) -> str:
    """Turn a name into a part of a URL; "campaign" when no character of the name can be used."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:60].strip("-") or "campaign"


def _insert(connection: Connection, slug: str, values: Mapping[str, Any]) -> Campaign:
    while True:
        row = (
            insert(campaign_table)
            .values({**values, "slug": _free_slug(connection, slug)})
            .returning(campaign_table)
        )
        try:
            with connection.begin_nested():
                return _from_row(connection.execute(row).one())
        except IntegrityError:  # a concurrent transaction took the slug
            continue


def _free_slug(connection: Connection, slug: str) -> str:
    taken = set(
        connection.execute(
            select(campaign_table.c.slug).where(campaign_table.c.slug.startswith(slug, autoescape=True))
        ).scalars()
    )
    return next(
        candidate
        for n in range(1, len(taken) + 2)
        if (candidate := slug if n == 1 else f"{slug}-{n}") not in taken
    )


def lock_settings(connection: Connection, campaign: Campaign) -> None:
    """Serialise those who change settings or guidelines, on PostgreSQL.  SQLite writers always take turns.

    Unlike `lock`, this lets other transactions add rows to the campaign.
    """
    connection.execute(
        select(campaign_table.c.id).where(campaign_table.c.id == campaign.id).with_for_update(key_share=True)
    )


def lock(connection: Connection, campaign: Campaign) -> None:
    """Keep other transactions from adding rows to the campaign until this one ends."""
    connection.execute(
        select(campaign_table.c.id).where(campaign_table.c.id == campaign.id).with_for_update()
    )


def _find_problems(settings: Mapping[str, Any]) -> dict[str, str]:
    def is_whole_number(value: object, low: int, high: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    def pay(value: object) -> bool:
        return value is None or (
            isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 10_000
        )

    rules: dict[str, tuple[Callable[[Any], bool], str]] = {
        "name": (lambda v: isinstance(v, str) and 0 < len(v.strip()) <= 120, "must have 1 to 120 characters"),
        "overlap": (lambda v: is_whole_number(v, 1, 20), "must be 1 to 20 people per item"),
        "pay_per_hour": (pay, "must be an amount from 0 to 10,000, or empty"),
        "currency": (
            lambda v: isinstance(v, str) and re.fullmatch("[A-Z]{3}", v) is not None,
            "must be a code of three capital letters, such as EUR",
        ),
        "audience": (lambda v: isinstance(v, str) and len(v) <= 1000, "must have at most 1,000 characters"),
        "lease_s": (
            lambda v: is_whole_number(v, 60, 86_400),
            "must be 1 minute to 24 hours (60 to 86,400 seconds)",
        ),
        "read_first": (lambda v: isinstance(v, bool), "must be true or false"),
    }
    wrong = {
        name: problem
        for name, (is_valid, problem) in rules.items()
        if name in settings and not is_valid(settings[name])
    }
    return {
        name: problem for name, value in settings.items() if (problem := storable_text.find_problem(value))
    } | wrong


def _from_row(row: Any) -> Campaign:
    return Campaign(**row._mapping)
