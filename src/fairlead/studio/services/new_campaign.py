"""Create a campaign with its rows and answerers in one transaction: the last step of the campaign wizard."""

from dataclasses import dataclass, field

from fairlead.labels import chats
from fairlead.labels.campaigns import Campaign
from fairlead.studio.auth import Viewer
from fairlead.studio.services import answerers, campaigns, imports
from fairlead.studio.services.answerers import AnswererBody
from fairlead.studio.services.campaigns import NewCampaign
from fairlead.studio.services.imports import ImportIn
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database


@dataclass(frozen=True, kw_only=True)
class CampaignPlan:
    campaign: NewCampaign
    answerers: list[AnswererBody] = field(default_factory=list)  # of a live chat
    rows: ImportIn | None = None  # rows to import
    publish: bool = False  # open the campaign at once


def create_from_plan(database: Database, settings: Settings, viewer: Viewer, plan: CampaignPlan) -> Campaign:
    """Either everything in the plan is done or nothing is."""
    chosen = answerers.to_answerers(plan.answerers, settings)
    with database.write() as connection:
        campaign = campaigns.insert_campaign(connection, viewer, plan.campaign)
        if chosen:
            chats.set_answerers(connection, campaign, chosen, by=viewer.rater)
        if plan.rows is not None:
            imports.enqueue_import(connection, settings, viewer, campaign, plan.rows)
        if plan.publish:
            campaigns.set_state(connection, viewer, campaign, "open")
    return campaign
