"""Who answers in a live chat, as fields of a form: in the wizard, and on the settings page of a campaign."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from fairlead.labels.chats import MAX_ANSWERERS, Answerer
from fairlead.labels.errors import Invalid
from fairlead.studio import chat_backends
from fairlead.studio.api.chat import NOBODY, AnswererBody
from fairlead.studio.settings import Settings

Texts = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MAX_ANSWERERS)]

OPEN = 2  # rows that are always shown; the others unfold
TEMPERATURE, MAX_TOKENS = (
    AnswererBody.model_fields["temperature"].default,
    AnswererBody.model_fields["max_tokens"].default,
)


class Answering(BaseModel):
    """The n-th of each is one answerer.  `who` is model:ARTIFACT, or endpoint:NAME/ to which `there` adds the model's name."""

    who: Texts = []
    there: Texts = []
    temperature: Texts = []
    max_tokens: Texts = []

    def rows(self) -> list[dict[str, str]]:
        """As many as there can be, with what was typed; text, so that it can be shown again."""
        start = {"who": "", "there": "", "temperature": str(TEMPERATURE), "max_tokens": str(MAX_TOKENS)}
        given: dict[str, list[str]] = {name: getattr(self, name) for name in start}
        return [
            {name: (given[name][n : n + 1] or [start[name]])[0] for name in start}
            for n in range(MAX_ANSWERERS)
        ]

    def chosen(self, *, needed: bool) -> list[AnswererBody]:
        """Rows in which nobody was chosen are none.  Raises Invalid."""
        found = []
        for number, row in enumerate(self.rows(), 1):
            if row["who"]:
                source = row["who"] + (row["there"].strip() if row["who"].endswith("/") else "")
                given = {"temperature": row["temperature"].replace(",", "."), "max_tokens": row["max_tokens"]}
                try:
                    found.append(AnswererBody.model_validate({"source": source, **given}))
                except ValidationError:
                    raise Invalid(
                        {"who": f"{number}: the temperature is 0 to 2, the longest answer 1 to 8,192 tokens"}
                    ) from None
        if needed and not found:
            raise Invalid({"who": NOBODY})
        return found


def of(chosen: Sequence[Answerer]) -> Answering:
    """What a campaign has."""
    parts = [one.source.partition("/") for one in chosen]
    return Answering(
        who=[head + slash for head, slash, _ in parts], there=[name for _, _, name in parts],
        temperature=[str(one.params.get("temperature", TEMPERATURE)) for one in chosen],
        max_tokens=[str(one.params.get("max_tokens", MAX_TOKENS)) for one in chosen],
    )  # fmt: skip


def fields(settings: Settings, asked: Answering) -> dict[str, Any]:
    """What the part of the form needs; a source that is no more can still be seen."""
    ends, models = chat_backends.available(settings.project)
    known = {f"model:{name}" for name in models} | {f"endpoint:{name}/" for name in ends}
    return {
        "rows": asked.rows(), "models": models, "open": OPEN, "gone": sorted({one for one in asked.who if one} - known),
        "endpoints": [(name, chat_backends.key_name(name)) for name in ends], "more": any(asked.who[OPEN:]),
    }  # fmt: skip
