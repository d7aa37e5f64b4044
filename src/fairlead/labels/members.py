"""Members of a campaign: which people take part, in which role, and who is paused."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from fairlead.labels import events
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid, NotFound, Stale
from fairlead.labels.people import Person, person_table, pseudonym_table, role_changed
from fairlead.labels.seals import Row

membership_table = Table(
    "membership",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("person_id", Integer, ForeignKey("person.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", String(20), nullable=False),
    Column("paused_at", String(27)),
    Column("joined_at", String(27), nullable=False),  # accepted the terms of the invitation
    Column("quota", Integer),  # most judgements that the person may make here; null for any number
    PrimaryKeyConstraint("campaign_id", "person_id"),
)

# In ascending order of permissions, except that a viewer may not label.
CAMPAIGN_ROLES = ("viewer", "labeller", "adjudicator", "lead")
MAX_QUOTA = 1_000_000


@dataclass(frozen=True)
class Member:
    rater: str
    name: str
    email: str | None
    role: str
    paused: bool
    joined_at: str
    quota: int | None  # most judgements that the member may make here


@dataclass(frozen=True)
class Membership:
    role: str
    paused: bool


def join(connection: Connection, person: Person, campaign_id: int, role: str, *, by: str) -> None:
    """Add a person to a campaign.  A present member gets the role only if it grants more."""
    membership = list_of_person(connection, person.id).get(campaign_id)
    if membership is None:
        _check_role(role)
        connection.execute(
            insert(membership_table).values(
                campaign_id=campaign_id, person_id=person.id, role=role, joined_at=now()
            )
        )
        events.append(
            connection,
            verb="member.joined",
            actor=by,
            campaign_id=campaign_id,
            subject=person.rater,
            body={"role": role},
            rows=[Row("membership", (campaign_id, person.id))],
        )
    elif CAMPAIGN_ROLES.index(role) > CAMPAIGN_ROLES.index(membership.role):
        set_role(connection, campaign_id, person.rater, role, by=by)


def list_of_person(connection: Connection, person_id: int) -> dict[int, Membership]:
    """Memberships of a person, by campaign id."""
    rows = connection.execute(select(membership_table).where(membership_table.c.person_id == person_id))
    return {row.campaign_id: Membership(row.role, row.paused_at is not None) for row in rows}


def list_of_campaign(connection: Connection, campaign_id: int) -> list[Member]:
    query = _select_members.where(membership_table.c.campaign_id == campaign_id).order_by(
        func.lower(person_table.c.name), person_table.c.id
    )
    return [_from_row(row) for row in connection.execute(query)]


def get(connection: Connection, campaign_id: int, rater: str) -> Member:
    row = connection.execute(
        _select_members.where(membership_table.c.campaign_id == campaign_id, pseudonym_table.c.rater == rater)
    ).one_or_none()
    if row is None:
        raise NotFound(f"{rater} is not a member of this campaign. Reload the list of members.")
    return _from_row(row)


def set_role(connection: Connection, campaign_id: int, rater: str, role: str, *, by: str) -> Member:
    _check_role(role)
    member = get(connection, campaign_id, rater)
    if member.role != role:
        _update(connection, campaign_id, rater, role=role)
        events.append(
            connection,
            verb="member.role",
            actor=by,
            campaign_id=campaign_id,
            subject=rater,
            body={"role": role},
            rows=[_row(connection, campaign_id, rater)],
        )
    return get(connection, campaign_id, rater)


def require_role(connection: Connection, campaign_id: int, rater: str, *, was: str, wanted: str) -> None:
    """Raise Stale unless the role is the one that the user saw, or the one that the user wants."""
    membership = (membership_table.c.campaign_id == campaign_id) & (
        membership_table.c.person_id == _person_id(rater)
    )
    connection.execute(select(membership_table.c.role).where(membership).with_for_update())
    member = get(connection, campaign_id, rater)
    if member.role not in (was, wanted):
        raise Stale(role_changed(member.name, member.role), current={"role": member.role})


def set_paused(connection: Connection, campaign_id: int, rater: str, *, paused: bool, by: str) -> Member:
    """Pause or resume a member.  A paused member gets no new items, but can still submit judgements."""
    member = get(connection, campaign_id, rater)
    if member.paused != paused:
        _update(connection, campaign_id, rater, paused_at=now() if paused else None)
        events.append(
            connection,
            verb="member.paused" if paused else "member.resumed",
            actor=by,
            campaign_id=campaign_id,
            subject=rater,
            rows=[_row(connection, campaign_id, rater)],
        )
    return get(connection, campaign_id, rater)


def set_quota(connection: Connection, campaign_id: int, rater: str, quota: int | None, *, by: str) -> Member:
    """Set the most judgements that the member may make here, or None for any number."""
    if quota is not None and not 0 <= quota <= MAX_QUOTA:
        raise Invalid({"quota": f"must be 0 to {MAX_QUOTA:,}, or empty for any number"})
    member = get(connection, campaign_id, rater)
    if member.quota != quota:
        _update(connection, campaign_id, rater, quota=quota)
        events.append(
            connection,
            verb="member.quota",
            actor=by,
            campaign_id=campaign_id,
            subject=rater,
            body={"quota": quota},
        )
    return get(connection, campaign_id, rater)


def quota_of(connection: Connection, campaign_id: int, rater: str) -> int | None:
    query = select(membership_table.c.quota).where(
        membership_table.c.campaign_id == campaign_id, membership_table.c.person_id == _person_id(rater)
    )
    quota = connection.execute(query).scalar()
    return None if quota is None else int(quota)


def remove(connection: Connection, campaign_id: int, rater: str, *, by: str) -> None:
    get(connection, campaign_id, rater)
    connection.execute(
        delete(membership_table).where(
            membership_table.c.campaign_id == campaign_id, membership_table.c.person_id == _person_id(rater)
        )
    )
    events.append(
        connection,
        verb="member.removed",
        actor=by,
        campaign_id=campaign_id,
        subject=rater,
        rows=[_row(connection, campaign_id, rater)],
    )


# ---------------------------------------------------------------- details

_select_members = (
    select(
        pseudonym_table.c.rater,
        person_table.c.name,
        person_table.c.email,
        membership_table.c.role,
        membership_table.c.paused_at,
        membership_table.c.joined_at,
        membership_table.c.quota,
    )
    .select_from(membership_table)
    .join(person_table)
    .join(pseudonym_table)
)


def _update(connection: Connection, campaign_id: int, rater: str, **values: Any) -> None:
    connection.execute(
        update(membership_table)
        .where(
            membership_table.c.campaign_id == campaign_id, membership_table.c.person_id == _person_id(rater)
        )
        .values(values)
    )


def _person_id(rater: str) -> Any:
    return select(pseudonym_table.c.person_id).where(pseudonym_table.c.rater == rater).scalar_subquery()


def _row(connection: Connection, campaign_id: int, rater: str) -> Row:
    return Row("membership", (campaign_id, int(connection.execute(select(_person_id(rater))).scalar_one())))


def _check_role(role: str) -> None:
    if role not in CAMPAIGN_ROLES:
        raise Invalid({"role": f"must be one of: {', '.join(CAMPAIGN_ROLES)}"})


def _from_row(row: Any) -> Member:
    return Member(
        row.rater, row.name, row.email, row.role, row.paused_at is not None, row.joined_at, row.quota
    )
