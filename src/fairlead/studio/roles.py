"""Roles and what each may do.  Roles are not a ladder: a viewer sees results and does not label.

    least role of a route    who is allowed
    anyone                   everybody, also without signing in
    person                   everybody who is signed in
    member                   everybody with a role in the campaign
    viewer                   viewer, adjudicator, lead
    unblinded                viewer, lead: they see which model wrote an answer
    labeller                 labeller, adjudicator, lead
    adjudicator              adjudicator, lead
    lead                     lead
    owner                    owners of the studio only

Owners may do everything.  For a route without a campaign, a role in any campaign counts.

Whoever labels in a campaign without leading judges blind there: with another role besides, such as viewer of
the whole studio, they still are not unblinded in this campaign, see `is_blind`.
"""

from collections.abc import Iterable
from typing import Literal

Least = Literal[
    "anyone", "person", "member", "viewer", "unblinded", "labeller", "adjudicator", "lead", "owner"
]

ROLES: dict[Least, frozenset[str]] = {
    "member": frozenset({"viewer", "labeller", "adjudicator", "lead"}),
    "viewer": frozenset({"viewer", "adjudicator", "lead"}),
    "unblinded": frozenset({"viewer", "lead"}),
    "labeller": frozenset({"labeller", "adjudicator", "lead"}),
    "adjudicator": frozenset({"adjudicator", "lead"}),
    "lead": frozenset({"lead"}),
    "owner": frozenset(),
}


def suffices(role: str | None, least: Least) -> bool:
    return role == "owner" or role in ROLES[least]


def is_blind(held: Iterable[str]) -> bool:
    """Whether somebody with these roles judges answers and must not know which model wrote them."""
    roles = set(held)
    return not any(suffices(role, "lead") for role in roles) and any(
        suffices(role, "labeller") for role in roles
    )


def required_scope(least: Least, method: str) -> str | None:
    """The scope that a token needs for a route; None when it needs none."""
    if least == "anyone":
        return None
    if least == "labeller":
        return "label"
    if method in ("GET", "HEAD"):
        return "read"
    return {"person": "account", "member": "label", "viewer": "read", "owner": "owner"}.get(least, "lead")
