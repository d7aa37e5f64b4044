"""`fairlead studio snapshot` and `export`: take the judgements of a campaign out of the studio."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_result
from fairlead.cli.studio import SELF, DatabaseUrl, open_studio, studio_settings
from fairlead.core.plural import counted

if TYPE_CHECKING:
    from fairlead.labels.database import Database
    from fairlead.labels.jobs import Job

CampaignSlug = Annotated[
    str, typer.Argument(metavar="CAMPAIGN", help="Short name of the campaign, as in its address.")
]


def snapshot(
    campaign: CampaignSlug,
    name: Annotated[str, typer.Option(help="Name of the snapshot artifact.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also copy the rows to this file.")] = None,
    no_ties: Annotated[bool, typer.Option("--no-ties", help="Leave ties out.")] = False,
    min_margin: Annotated[
        int, typer.Option(help="Keep only preferences with at least this margin, 0 to 3.")
    ] = 0,
    by_item: Annotated[
        bool, typer.Option("--by-item", help="One row per item instead of one row per judgement.")
    ] = False,
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Freeze the judgements of a campaign as training rows.

    Example: fairlead studio snapshot helpful --name helpful-1
    """
    import shutil
    import time
    from dataclasses import asdict

    from fairlead.core import files
    from fairlead.labels import campaigns, job_handlers, job_worker
    from fairlead.labels import snapshot as snapshots
    from fairlead.labels.errors import StudioError
    from fairlead.labels.snapshot_filters import SnapshotFilters

    opened_project = open_project(project)
    opened_database = open_studio(studio_settings(database, project))
    filters = SnapshotFilters(ties=not no_ties, min_margin=min_margin, by_item=by_item)
    with opened_database.write() as connection:
        labelled_campaign = campaigns.get(connection, campaign)
        job_id = snapshots.enqueue(connection, opened_project, labelled_campaign, name, filters, by=SELF)
    while not (job := _job(opened_database, job_id)).is_over:
        if job_worker.run_one(opened_database, job_handlers.handlers(opened_project)) is None:
            time.sleep(0.2)  # another worker runs the job
    if job.state != "done":
        raise StudioError(job.error or f"the snapshot was {job.state}.")
    with opened_database.read() as connection:
        frozen = snapshots.get(connection, labelled_campaign.id, name)
    opened_database.close()
    folder = opened_project.artifacts / snapshots.KIND / name
    counts = frozen.counts
    largest = max(counts.files, key=lambda file: counts.files[file])
    if out is not None:
        with open(folder / f"{largest}.jsonl", "rb") as source, files.atomic_file(out) as target:
            shutil.copyfileobj(source, target)
    rows = ", ".join(f"{counted(num_rows, 'row')} of {file}" for file, num_rows in counts.files.items())
    lines = [
        f"{rows}: {counted(counts.used, 'judgement')} by {counted(counts.raters, 'person')}, "
        f"over {counted(counts.items, 'item')}.",
        *(f"{num_rows} left out: {reason}." for reason, num_rows in counts.left_out.items()),
    ]
    print_result(
        {"snapshot": f"snapshot/{name}", "digest": frozen.digest, "counts": asdict(counts)},
        lines,
        as_json=as_json,
        wrote=[folder, *([out] if out else [])],
        next=snapshots.train_command(frozen),
    )


def export(
    campaign: CampaignSlug,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File to write: .jsonl, .csv or .parquet, by its name.")
    ],
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Write every judgement, skip and flag of a campaign with ids, notes and metadata, a row each.

    To train, use `fairlead studio snapshot` instead.

    Example: fairlead studio export helpful --out helpful.csv
    """
    from fairlead.core import files
    from fairlead.data.table_writer import TABLE_FORMATS
    from fairlead.labels import campaigns, full_export
    from fairlead.labels.errors import StudioError

    format = next((name for name in TABLE_FORMATS if out.suffix == f".{name}"), None)
    if format is None:
        raise StudioError(f"{out}: end the name of the file in .jsonl, .csv or .parquet.", field="out")
    opened_database = open_studio(studio_settings(database, project))
    with opened_database.read() as connection:
        exported = campaigns.get(connection, campaign)
    with files.atomic_file(out) as file:
        num_bytes = sum(file.write(part) for part in full_export.write(opened_database, exported, format))
    opened_database.close()
    print_result(
        {"campaign": campaign, "file": str(out), "bytes": num_bytes},
        [f"{exported.name}: {num_bytes:,} bytes."],
        as_json=as_json,
        wrote=[out],
        next=f"fairlead studio snapshot {campaign} --name {campaign}-1",
    )


def _job(database: "Database", job_id: int) -> "Job":
    from fairlead.labels import jobs

    with database.read() as connection:
        return jobs.get(connection, job_id)
