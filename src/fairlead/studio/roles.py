"""Roles and what each may do.  Roles are not a ladder: a viewer sees results and does not label.

    least role of a route    who is allowed
    anyone                   everybody, also without signing in
    person                   everybody who is signed in
    member                   everybody with a role in the campaign
    viewer                   viewer, adjudicator, lead
    labeller                 labeller, adjudicator, lead
    adjudicator              adjudicator, lead
    lead                     lead
    owner                    owners of the studio only

Owners may do everything.  For a route without a campaign, a role in any campaign counts.
"""

from typing import Literal

Least = Literal["anyone", "person", "member", "viewer", "labeller", "adjudicator", "lead", "owner"]

ROLES: dict[Least, frozenset[str]] = {
    "member": frozenset({"viewer", "labeller", "adjudicator", "lead"}),
    "viewer": frozenset({"viewer", "adjudicator", "lead"}),
    "labeller": frozenset({"labeller", "adjudicator", "lead"}),
    "adjudicator": frozenset({"adjudicator", "lead"}),
    "lead": frozenset({"lead"}),
    "owner": frozenset(),
}


def suffices(role: str | None, least: Least) -> bool:
    return role == "owner" or role in ROLES[least]


def required_scope(least: Least, method: str) -> str | None:
    """The scope that a token needs for a route; None when it needs none."""
    if least == "anyone":
        return None
    if least == "labeller":
        return "label"
    if method in ("GET", "HEAD"):
        return "read"
    return {"person": "account", "member": "label", "viewer": "read", "owner": "owner"}.get(least, "lead")
