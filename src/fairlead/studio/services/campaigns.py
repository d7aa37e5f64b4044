"""Campaigns and their guidelines: list, create, change, open and close.  Every guidelines version is kept."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import (
    assignments,
    campaign_copy,
    campaign_deletion,
    campaigns,
    guideline_diff,
    item_search,
    items,
    members,
    overlap_job,
    people,
)
from fairlead.labels.campaigns import Campaign, CampaignSettings, CampaignState, Guidelines
from fairlead.labels.errors import NotFound, Stale
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import safe_html
from fairlead.studio.auth import Viewer
from fairlead.studio.request_body import RequestBody
from fairlead.studio.services import answerers
from fairlead.studio.state import Database

Name = Annotated[str, Field(max_length=1000)]
ShortText = Annotated[str, Field(max_length=200)]
OPTIONS = ("aspects", "chips", "points")


class ProgressCounts(BaseModel):
    items: int
    wanted: int = Field(description="Judgements wanted over all items.")
    open: int
    held: int
    done: int


class CampaignOut(BaseModel):
    slug: str
    name: str
    kind: TaskKind
    state: CampaignState
    overlap: int = Field(description="Judgements wanted per item.")
    audience: str
    pay_per_hour: float | None = Field(description="Pay per hour of active time.")
    currency: str
    lease_s: int = Field(description="Seconds until a lease expires without a heartbeat.")
    read_first: bool = Field(
        description="Items are assigned only to raters who have read the latest guidelines."
    )
    options: dict[str, Any] = Field(description="aspects, chips, points")
    created_at: str
    version: str = Field(description="Differs whenever a setting differs.")
    archived_at: str | None = Field(description="Hidden from lists since then.")
    progress: ProgressCounts


class Campaigns(BaseModel):
    campaigns: list[CampaignOut]


class NewCampaign(RequestBody):
    name: Name
    kind: TaskKind
    overlap: int = 1
    audience: str = Field("", max_length=10_000)
    pay_per_hour: float | None = None
    currency: ShortText = "EUR"
    lease_s: int = 1800
    read_first: bool = False
    aspects: list[ShortText] = Field(
        [], max_length=50, description="For the kinds pairwise and aspects: what is judged separately."
    )
    chips: list[ShortText] = Field([], max_length=50, description="Reasons that raters can pick.")
    points: int = Field(7, description="Steps of the rating scale, 2 to 10.")
    guidelines: str = Field("", max_length=200_000, description="Markdown.")


class CampaignChange(RequestBody):
    """Omitted fields stay unchanged.  `pay_per_hour` 0 removes the pay."""

    version: ShortText | None = Field(
        None,
        description="The settings as you saw them. If somebody else has changed them, the answer is 409.",
    )
    name: Name | None = None
    audience: str | None = Field(None, max_length=10_000)
    pay_per_hour: float | None = None
    currency: ShortText | None = None
    lease_s: int | None = None
    read_first: bool | None = None
    overlap: int | None = None
    aspects: list[ShortText] | None = Field(None, max_length=50)
    chips: list[ShortText] | None = Field(None, max_length=50)
    points: int | None = None


class StateChange(RequestBody):
    state: Literal["open", "paused", "closed"]
    was: CampaignState | None = Field(
        None, description="The state as you saw it. If somebody else has changed it, the answer is 409."
    )


class CopyIn(RequestBody):
    name: Name
    guidelines: bool = Field(True, description="Copy the latest guidelines.")
    people: bool = Field(False, description="Copy the members with their roles.")
    items: bool = Field(False, description="Copy the items, without judgements.")


class ArchiveIn(RequestBody):
    archived: bool = Field(description="An open or paused campaign is closed first. False restores it.")


class DeleteIn(RequestBody):
    confirm: str = Field("", max_length=500, description="The name of a campaign that has judgements.")


class GuidelinesOut(BaseModel):
    version: int
    text: str = Field(description="Markdown.")
    html: str
    written_by: str
    written_at: str


class GuidelineVersions(BaseModel):
    versions: list[GuidelinesOut] = Field(description="Newest first.")


class NewGuidelines(RequestBody):
    text: str = Field(max_length=200_000)
    after: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="The version that you started from, 0 for none. If there is a newer one, "
        "the answer is 409.",
    )


class GuidelinesDiffLine(BaseModel):
    what: Literal["same", "added", "removed"]
    text: str


class GuidelinesDiff(BaseModel):
    before: int
    after: int
    lines: list[GuidelinesDiffLine]


# ---------------------------------------------------------------- campaigns


def list_campaigns(database: Database, viewer: Viewer, *, archived: bool = False) -> list[CampaignOut]:
    """The campaigns that the viewer may watch, newest first: those in use, or those that are archived."""
    with database.read() as connection:
        watched = _list_watched(connection, viewer, archived=archived)
        counts = items.slot_counts(connection, [campaign.id for campaign in watched])
        num_items = item_search.count_items(connection, [campaign.id for campaign in watched])
    return [_campaign_out(campaign, counts[campaign.id], num_items[campaign.id]) for campaign in watched]


def count_campaigns(database: Database, viewer: Viewer, *, archived: bool) -> int:
    with database.read() as connection:
        return len(_list_watched(connection, viewer, archived=archived))


def get_campaign(database: Database, campaign: Campaign) -> CampaignOut:
    with database.read() as connection:
        counts = items.slot_counts(connection, [campaign.id])[campaign.id]
        num_items = item_search.count_items(connection, [campaign.id])[campaign.id]
    return _campaign_out(campaign, counts, num_items)


def create_campaign(database: Database, viewer: Viewer, body: NewCampaign) -> CampaignOut:
    with database.write() as connection:
        campaign = insert_campaign(connection, viewer, body)
    return _campaign_out(campaign, {"open": 0, "held": 0, "done": 0}, 0)


def insert_campaign(connection: Connection, viewer: Viewer, body: NewCampaign) -> Campaign:
    """Create a draft.  Its creator becomes a lead of the campaign unless they lead every campaign anyway."""
    settings = CampaignSettings(
        **body.model_dump(exclude=set(OPTIONS)), options=body.model_dump(include=set(OPTIONS))
    )
    campaign = campaigns.create(connection, settings, by=viewer.rater)
    _join_as_lead(connection, viewer, campaign)
    return campaign


def change_campaign(database: Database, viewer: Viewer, body: CampaignChange) -> CampaignOut:
    settings = body.model_dump(exclude_none=True, exclude={"version"})
    options: dict[str, Any] = {name: settings.pop(name) for name in OPTIONS if name in settings}
    overlap = settings.pop("overlap", None)
    if settings.get("pay_per_hour") == 0:
        settings["pay_per_hour"] = None
    with database.write() as connection:
        campaigns.lock_settings(connection, viewer.campaign)  # options are merged with those that are stored
        if body.version is not None:
            campaigns.require_version(connection, viewer.campaign.id, body.version)
        campaign = campaigns.get_by_id(connection, viewer.campaign.id)
        if options:
            settings["options"] = assignments.merge_options(connection, campaign, options)
        if settings:
            campaign = campaigns.change(connection, campaign, by=viewer.rater, **settings)
        if overlap is not None and overlap != campaign.overlap:
            overlap_job.change(connection, campaign, overlap, by=viewer.rater)
        campaign = campaigns.get_by_id(connection, campaign.id)
    return get_campaign(database, campaign)


def change_state(database: Database, viewer: Viewer, body: StateChange) -> CampaignOut:
    with database.write() as connection:
        campaign = campaigns.get_by_id(connection, viewer.campaign.id)
        if body.was is not None and campaign.state not in (body.was, body.state):
            raise Stale(
                f"Somebody else has changed this campaign meanwhile: it is {campaign.state} now. "
                "Reload the page.",
                current={"state": campaign.state},
            )
        campaign = set_state(connection, viewer, campaign, body.state)
    return get_campaign(database, campaign)


def set_state(connection: Connection, viewer: Viewer, campaign: Campaign, state: CampaignState) -> Campaign:
    if state == "open":
        answerers.require_answerers(connection, campaign)
    return campaigns.set_state(connection, campaign, state, by=viewer.rater)


# ---------------------------------------------------------------- copies, archive, deletion


def copy_campaign(database: Database, viewer: Viewer, body: CopyIn) -> CampaignOut:
    """A draft like this campaign, led by its maker, as in `insert_campaign`."""
    with database.write() as connection:
        copied = campaign_copy.copy(
            connection,
            viewer.campaign,
            name=body.name,
            with_guidelines=body.guidelines,
            with_people=body.people,
            with_items=body.items,
            by=viewer.rater,
        )
        _join_as_lead(connection, viewer, copied.campaign)
    return get_campaign(database, copied.campaign)


def archive_campaign(database: Database, viewer: Viewer, body: ArchiveIn) -> CampaignOut:
    with database.write() as connection:
        campaign = campaigns.set_archived(
            connection, viewer.campaign, archived=body.archived, by=viewer.rater
        )
    return get_campaign(database, campaign)


def delete_campaign(database: Database, viewer: Viewer, body: DeleteIn) -> None:
    """Raises Invalid unless the name of a campaign with judgements is given."""
    with database.write() as connection:
        campaign_deletion.start(connection, viewer.campaign, confirm=body.confirm, by=viewer.rater)


def has_judgements(database: Database, viewer: Viewer) -> bool:
    with database.read() as connection:
        return campaign_deletion.has_judgements(connection, viewer.campaign)


# ---------------------------------------------------------------- guidelines


def list_guidelines(database: Database, viewer: Viewer) -> GuidelineVersions:
    with database.read() as connection:
        versions = campaigns.list_guideline_versions(connection, viewer.campaign.id)
    return GuidelineVersions(versions=[_guidelines_out(version) for version in versions])


def write_guidelines(database: Database, viewer: Viewer, body: NewGuidelines) -> GuidelinesOut:
    with database.write() as connection:
        written = campaigns.write_guidelines(
            connection, viewer.campaign, body.text, by=viewer.rater, after=body.after
        )
    return _guidelines_out(written)


def compare_guidelines(
    database: Database, campaign: Campaign, version: int, against: int | None = None
) -> GuidelinesDiff:
    """Compare a version with `against`, by default the version before it."""
    before = version - 1 if against is None else against
    with database.read() as connection:
        newer = campaigns.get_guidelines(connection, campaign.id, version)
        older = campaigns.get_guidelines(connection, campaign.id, before) if before else None
    if newer is None or (before and older is None):
        raise NotFound("the guidelines have no such version.")
    lines = guideline_diff.diff_lines((older.text if older else "").splitlines(), newer.text.splitlines())
    return GuidelinesDiff(
        before=before,
        after=version,
        lines=[GuidelinesDiffLine(what=what, text=text) for what, text in lines],
    )


def author_names(database: Database, versions: GuidelineVersions) -> dict[str, str]:
    """Pseudonym -> name, for leads only: labellers must not learn who wrote a version."""
    with database.read() as connection:
        return people.names_of(connection, {version.written_by for version in versions.versions})


def _list_watched(connection: Connection, viewer: Viewer, *, archived: bool) -> list[Campaign]:
    ids = None if viewer.role is not None else list(viewer.memberships)
    return [
        campaign
        for campaign in campaigns.list_all(connection, ids=ids)
        if viewer.may("viewer", campaign.id) and archived == (campaign.archived_at is not None)
    ]


def _join_as_lead(connection: Connection, viewer: Viewer, campaign: Campaign) -> None:
    """Unless the viewer leads every campaign anyway."""
    if not viewer.leads_all:
        person = people.get_by_id(connection, viewer.person)
        members.join(connection, person, campaign.id, "lead", by=viewer.rater)


def _campaign_out(campaign: Campaign, counts: dict[str, int], num_items: int) -> CampaignOut:
    progress = ProgressCounts(items=num_items, wanted=sum(counts.values()), **counts)
    fields = {name: getattr(campaign, name) for name in CampaignOut.model_fields if name != "progress"}
    return CampaignOut(**fields, progress=progress)


def _guidelines_out(guidelines: Guidelines) -> GuidelinesOut:
    return GuidelinesOut(html=safe_html.render(guidelines.text), **vars(guidelines))
