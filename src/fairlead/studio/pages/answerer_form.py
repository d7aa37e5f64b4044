"""Form fields for the answerers of a live chat, in the campaign wizard and on the settings page."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from fairlead.labels.chats import MAX_ANSWERERS, Answerer
from fairlead.labels.errors import Invalid
from fairlead.studio import chat_backends
from fairlead.studio.services.answerers import NO_ANSWERER, AnswererBody, version_of
from fairlead.studio.settings import Settings

Texts = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MAX_ANSWERERS)]

NUM_OPEN_ROWS = 2  # rows that are always visible; the others unfold
DEFAULT_TEMPERATURE = AnswererBody.model_fields["temperature"].default
DEFAULT_MAX_TOKENS = AnswererBody.model_fields["max_tokens"].default


class AnswererForm(BaseModel):
    """Parallel lists: index n of each list describes answerer n.

    `who` is `model:ARTIFACT`, or `endpoint:NAME/`, to which `there` adds the model's name at the endpoint.
    """

    who: Texts = []
    there: Texts = []
    temperature: Texts = []
    max_tokens: Texts = []
    version: Annotated[str, Field(max_length=100)] = ""  # of the answerers that the page showed

    def rows(self) -> list[dict[str, str]]:
        """One row per possible answerer.  Values stay text, so that invalid input can be shown again."""
        defaults = {
            "who": "",
            "there": "",
            "temperature": str(DEFAULT_TEMPERATURE),
            "max_tokens": str(DEFAULT_MAX_TOKENS),
        }
        columns: dict[str, list[str]] = {name: getattr(self, name) for name in defaults}
        return [
            {
                name: columns[name][n] if n < len(columns[name]) else default
                for name, default in defaults.items()
            }
            for n in range(MAX_ANSWERERS)
        ]

    def answerers(self, *, required: bool) -> list[AnswererBody]:
        """The rows in which an answerer is chosen.  Raises Invalid."""
        bodies = [_parse_row(row, number) for number, row in enumerate(self.rows(), 1) if row["who"]]
        if required and not bodies:
            raise Invalid({"who": NO_ANSWERER})
        return bodies


def from_answerers(answerers: Sequence[Answerer]) -> AnswererForm:
    """The form filled in with a campaign's answerers."""
    sources = [answerer.source.partition("/") for answerer in answerers]
    params = [answerer.params for answerer in answerers]
    return AnswererForm(
        who=[start + slash for start, slash, _ in sources],
        there=[model for _, _, model in sources],
        temperature=[str(values.get("temperature", DEFAULT_TEMPERATURE)) for values in params],
        max_tokens=[str(values.get("max_tokens", DEFAULT_MAX_TOKENS)) for values in params],
        version=version_of(answerers),
    )


def template_values(settings: Settings, form: AnswererForm) -> dict[str, Any]:
    """What `_answering.html` needs.  Sources that no longer exist stay visible."""
    endpoints, models = chat_backends.available(settings.project)
    existing = {f"model:{name}" for name in models} | {f"endpoint:{name}/" for name in endpoints}
    return {
        "rows": form.rows(),
        "version": form.version,
        "models": models,
        "open": NUM_OPEN_ROWS,
        "gone": sorted({source for source in form.who if source} - existing),
        "endpoints": [(name, chat_backends.key_name(name)) for name in endpoints],
        "more": any(form.who[NUM_OPEN_ROWS:]),
    }


def _parse_row(row: dict[str, str], number: int) -> AnswererBody:
    model = row["there"].strip() if row["who"].endswith("/") else ""
    values = {
        "source": row["who"] + model,
        "temperature": row["temperature"].replace(",", "."),
        "max_tokens": row["max_tokens"],
    }
    try:
        return AnswererBody.model_validate(values)
    except ValidationError:
        raise Invalid(
            {"who": f"{number}: the temperature must be 0 to 2, and the length limit 1 to 8,192 tokens"}
        ) from None
