"""Uploaded tables whose columns a lead describes."""

import csv
import gzip
import io

import pytest

from fairlead.labels import column_choice, imports, uploads
from fairlead.labels.column_choice import ColumnChoice
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid
from fairlead.labels.imports import ImportSource
from fairlead.labels.uploads import Upload
from fairlead.store.project import Project
from labels.import_files import (
    LEAD,
    all_items,
    answer_texts,
    create_campaign,
    preview,
    run_import,
    store_upload,
    upload,
)

ROWS = [
    ["Frage", "GPT, neu", "Alt+Neu", "Score of teacher", "nr"],
    ["Was ist 2 + 2?", "Das ist 4.", "Das ist 5.", "3", "r1"],
    ["Was ist 3 + 3?", "Das ist 6.", "Das ist 7.", "4", "r2"],
]


def table(rows: list[list[str]] = ROWS) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def described(database: Database, project: Project, content: bytes, name: str = "Fragen.csv") -> Upload:
    stored = store_upload(project, content, name)
    inspected = uploads.inspect(stored, filename=name, by=LEAD, describe_later=True)
    with database.write() as connection:
        return uploads.register(connection, inspected)


ROLES = [
    ("Frage", "prompt"),
    ("GPT, neu", "answer"),
    ("Alt+Neu", "answer"),
    ("Score of teacher", ""),
    ("nr", "id"),
]


@pytest.mark.parametrize("packed", [False, True])
def test_columns_with_any_names_become_items(database: Database, project: Project, packed: bool) -> None:
    content = gzip.compress(table()) if packed else table()
    uploaded = described(database, project, content, "Fragen.csv.gz" if packed else "Fragen.csv")
    assert (uploaded.format, uploaded.row_kind) == ("", "")
    columns = column_choice.describe(imports.path_of(project, uploaded))
    assert [column.role for column in columns] == ["prompt", "answer", "answer", "", ""]
    assert columns[0].values[0].startswith('"Was ist 2')
    choice = column_choice.from_roles(ROLES)
    assert [column.role for column in column_choice.to_roles(choice, columns)] == [role for _, role in ROLES]
    source = ImportSource(uploaded.id, columns=choice)
    assert preview(database, project, source, "pairwise").num_items == 2
    campaign = create_campaign(database)
    run_import(database, project, campaign, source)
    first, second = all_items(database, campaign)
    assert (first.prompt[0].content, answer_texts(first)) == ("Was ist 2 + 2?", ["Das ist 4.", "Das ist 5."])
    assert [answer.source for answer in second.answers] == ["GPT, neu", "Alt+Neu"]
    assert second.carried == {"id": "r2", "metadata": {"Score of teacher": "4"}}


def test_an_undescribed_table_makes_no_items(database: Database, project: Project) -> None:
    uploaded = described(database, project, table())
    campaign = create_campaign(database)
    with database.write() as connection, pytest.raises(Invalid, match="Fragen.csv:2: no format has") as said:
        imports.enqueue(connection, project, campaign, ImportSource(uploaded.id), by=LEAD)
    assert "Say what each column holds" in str(said.value) and "--" not in str(said.value)
    with pytest.raises(Invalid):
        upload(database, project, table(), "Fragen.csv")  # nobody is asked
    with pytest.raises(Invalid, match="has no rows|is empty"):
        described(database, project, b"\n\n")


def test_a_column_with_meaning_that_the_choice_leaves_unsaid_stops_the_import(
    database: Database, project: Project
) -> None:
    uploaded = described(database, project, table())
    choice = ColumnChoice(map=("prompt=Frage", "completions.0=GPT, neu", "completions.1=Alt+Neu"))
    with pytest.raises(Invalid, match="does not read Score of teacher"):
        preview(database, project, ImportSource(uploaded.id, columns=choice), "pairwise")


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        ([("a", "system"), ("b", "system")], "two columns are said to hold the system"),
        ([("a+b", "prompt"), ("c", "context")], "has a . in its name"),
        ([("a", "nonsense")], "must be one of: prompt, context"),
    ],
)
def test_roles_that_contradict_each_other(roles: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        column_choice.from_roles(roles)


def test_contexts_come_before_the_prompt_and_one_answer_is_a_completion() -> None:
    choice = column_choice.from_roles(
        [("q", "prompt"), ("text", "context"), ("a", "answer"), ("s", "ignore")]
    )
    assert choice.map == ("prompt=text+q", "completion=a") and choice.ignore == ("s",)
    assert column_choice.from_json(column_choice.to_json(choice)) == choice


@pytest.mark.parametrize("choice", [ColumnChoice(map=("nonsense=a",)), ColumnChoice(scale="one to five")])
def test_a_choice_that_cannot_be_read(choice: ColumnChoice) -> None:
    with pytest.raises(Invalid) as said:
        choice.column_map()
    assert "--" not in str(said.value)


def test_a_table_with_very_many_columns_is_refused(database: Database, project: Project) -> None:
    names = [f"c{number}" for number in range(column_choice.MAX_COLUMNS + 1)]
    uploaded = described(database, project, table([names, names]))
    with pytest.raises(Invalid, match="more than 200 columns"):
        column_choice.describe(imports.path_of(project, uploaded))
