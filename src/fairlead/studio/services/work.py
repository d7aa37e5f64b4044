"""The list of campaigns in which the viewer labels, for the page "My work" and the API."""

from pydantic import BaseModel

from fairlead.labels import labeller_stats
from fairlead.labels.campaigns import CampaignState
from fairlead.labels.labeller_stats import LabellerCampaign
from fairlead.labels.task_kinds import TaskKind
from fairlead.studio import roles
from fairlead.studio.auth import Viewer
from fairlead.studio.services.labelling import GuidelinesStatus, LabellerPaceOut, guidelines_status
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database


class WorkCampaign(BaseModel):
    """A campaign in which the viewer labels."""

    slug: str
    name: str
    kind: TaskKind
    state: CampaignState
    audience: str
    done: int  # judgements by all raters
    wanted: int
    left: int  # items that the viewer can still judge
    num_held: int  # the viewer's own open assignments
    paused: bool
    guidelines: GuidelinesStatus
    mine: LabellerPaceOut


class WorkList(BaseModel):
    campaigns: list[WorkCampaign]


def list_work(database: Database, settings: Settings, viewer: Viewer) -> list[LabellerCampaign]:
    """The campaigns in which the viewer labels, with their pace; those with open items first."""
    labelled = {
        campaign_id: membership.paused
        for campaign_id, membership in viewer.memberships.items()
        if roles.suffices(membership.role, "labeller")
    }
    with database.read() as connection:
        return labeller_stats.list_campaigns(connection, viewer.rater, labelled, settings.zone)


def to_work_list(work: list[LabellerCampaign]) -> WorkList:
    return WorkList(campaigns=[_work_campaign(entry) for entry in work])


def _work_campaign(entry: LabellerCampaign) -> WorkCampaign:
    campaign = entry.campaign
    return WorkCampaign(
        slug=campaign.slug,
        name=campaign.name,
        kind=campaign.kind,
        state=campaign.state,
        audience=campaign.audience,
        done=entry.done,
        wanted=entry.wanted,
        left=entry.left,
        num_held=entry.num_held,
        paused=entry.paused,
        guidelines=guidelines_status(entry.guidelines_version, entry.guidelines_read),
        mine=LabellerPaceOut(**vars(entry.pace)),
    )
