"""Roles, and the token scopes that routes need."""

from fairlead.studio import roles


def test_roles_are_no_ladder() -> None:
    held = ("viewer", "labeller", "adjudicator", "lead", "owner")
    may: dict[str, set[str]] = {
        role: {least for least in roles.ROLES if roles.suffices(role, least)} for role in held
    }
    assert may == {
        "viewer": {"member", "viewer", "unblinded"},
        "labeller": {"member", "labeller"},
        "adjudicator": {"member", "viewer", "labeller", "adjudicator"},
        "lead": {"member", "viewer", "unblinded", "labeller", "adjudicator", "lead"},
        "owner": {"member", "viewer", "unblinded", "labeller", "adjudicator", "lead", "owner"},
    }
