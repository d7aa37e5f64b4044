"""Who may do what.  Roles are not a ladder: a viewer sees results and does not label, a labeller labels and sees nobody else's work.

    least role of a route    who comes in
    anyone                   everybody, without a log-in
    person                   whoever has logged in
    member                   whoever has any role in the campaign
    viewer                   viewer, adjudicator, lead
    labeller                 labeller, adjudicator, lead
    adjudicator              adjudicator, lead
    lead                     lead
    owner                    nobody but owners

An owner may everything.  Where a route is of no campaign, a role in any campaign counts.
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


def scope(least: Least, method: str) -> str | None:
    """What a token must be for, to be used there; None where none is needed."""
    if least == "anyone":
        return None
    if least == "labeller":
        return "label"
    if method in ("GET", "HEAD"):
        return "read"
    return {"person": "account", "member": "label", "viewer": "read", "owner": "owner"}.get(least, "lead")
