"""An entry of LLaMA-Factory's `dataset_info.json`: where the rows are, and what their columns are called.

The rows are renamed to the columns of the formats `alpaca` and `sharegpt`, which then read them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowProblem

# Name in `columns` -> column of the format.
ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
SHARED = {name: name for name in ("system", "tools", "chosen", "rejected", "kto_tag", "history")}
MEDIA = {name: name for name in ("images", "videos", "audios")}
# Name in `tags` -> speaker of the format `sharegpt`.
SPEAKERS = {
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
FORMATS = ("alpaca", "sharegpt", "openai")


class Entry:
    """`label` names the entry in errors."""

    def __init__(self, label: str, values: Mapping[str, Any]) -> None:
        self.label = label
        self.values = values
        formatting = self._text("formatting") or "alpaca"
        if formatting not in FORMATS:
            self._refuse("formatting", formatting, f"choose one of {', '.join(FORMATS)}")
        self.format = "alpaca" if formatting == "alpaca" else "sharegpt"
        self.columns = self._names("columns")
        self.tags = self._names("tags")
        self.file_name = self._text("file_name") or ""
        self.is_ranking = values.get("ranking") is True
        self.num_samples = values.get("num_samples")
        if self.num_samples is not None and (type(self.num_samples) is not int or self.num_samples < 1):
            self._refuse("num_samples", self.num_samples, "write a whole number of rows")
        if not self.file_name and self.hub_name is None:
            raise DataError(f"{label}: has neither file_name nor hf_hub_url. Name the file with the rows.")

    @property
    def hub_name(self) -> str | None:
        """The data set of the Hub, which LLaMA-Factory prefers to the file."""
        name = self._text("hf_hub_url")
        if name is None:
            return None
        subset, split = self._text("subset"), self._text("split")
        return f"hf:{name}" + (f"@{subset}" if subset else "") + (f":{split}" if split else "")

    def rename(self, rows: Iterator[SourceRow | RowProblem]) -> Iterator[SourceRow | RowProblem]:
        for row in rows:
            yield row if isinstance(row, RowProblem) else SourceRow(row.where, self._renamed(row.value))

    def _renamed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        targets = SHARED | MEDIA | (ALPACA if self.format == "alpaca" else {"messages": "conversations"})
        names = {self.columns.get(name, column): column for name, column in targets.items()}
        renamed = {names.get(column, column): value for column, value in row.items()}
        answers = renamed.get("output")
        if self.is_ranking and isinstance(answers, list) and len(answers) == 2:  # the better answer first
            del renamed["output"]
            renamed |= {"chosen": answers[0], "rejected": answers[1]}
        for column in ("conversations", "chosen", "rejected"):
            if self.format == "sharegpt" and column in renamed:
                renamed[column] = self._with_speakers(renamed[column])
        return renamed

    def _with_speakers(self, value: Any) -> Any:
        """The turns with the names of speakers and keys that the format knows."""
        if isinstance(value, list):
            return [self._with_speakers(item) for item in value]
        if not isinstance(value, dict):
            return value
        role_key, content_key = self.tags.get("role_tag", "from"), self.tags.get("content_tag", "value")
        if role_key not in value:
            return value
        speakers = {self.tags.get(tag, speaker): speaker for tag, speaker in SPEAKERS.items()}
        rest = {key: item for key, item in value.items() if key not in (role_key, content_key)}
        speaker = value[role_key]
        known = speakers.get(speaker, speaker) if isinstance(speaker, str) else speaker
        return {"from": known, "value": value.get(content_key)} | rest

    def _text(self, key: str) -> str | None:
        value = self.values.get(key)
        if not isinstance(value, str | None):
            self._refuse(key, value, "write text")
        return value or None

    def _names(self, key: str) -> dict[str, str]:
        names = self.values.get(key) or {}
        if not isinstance(names, dict):
            self._refuse(key, names, 'write an object such as {"prompt": "question"}')
        return {name: column for name, column in names.items() if isinstance(column, str)}

    def _refuse(self, key: str, value: object, remedy: str) -> None:
        raise DataError(f"{self.label}: {key} = {value!r} is not understood; {remedy}.")
