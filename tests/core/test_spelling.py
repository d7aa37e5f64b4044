"""Settings as keys of a configuration and as options of a command."""

from fairlead.core.spelling import KEYS, OPTIONS, capitalised


def test_a_setting_has_the_form_that_the_command_takes() -> None:
    assert KEYS.use("too_long", "drop") == "Set too_long=drop"
    assert OPTIONS.use("too_long", "drop") == "Add --too-long drop"
    assert (KEYS.name("max_new_tokens"), OPTIONS.name("max_new_tokens")) == (
        "max_new_tokens",
        "--max-new-tokens",
    )
    assert [OPTIONS.name(key) for key in ("model", "a", "MODEL")] == ["MODEL", "A", "MODEL"]


def test_only_the_first_letter_is_raised() -> None:
    assert capitalised("lower --max-new-tokens of Qwen") == "Lower --max-new-tokens of Qwen"
    assert capitalised("") == ""
