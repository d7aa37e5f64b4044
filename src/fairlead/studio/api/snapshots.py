"""API routes of snapshots: preview, create, list, and download their files."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse, StreamingResponse

from fairlead.data.table_writer import TableFormat
from fairlead.labels import full_export
from fairlead.studio.access_control import Lead, Unblinded
from fairlead.studio.services import snapshots
from fairlead.studio.services.jobs import JobOut
from fairlead.studio.services.snapshots import FiltersIn, NewSnapshot, SnapshotOut, SnapshotPreview, Snapshots
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["snapshots"])

SNAPSHOTS = "/campaigns/{slug}/snapshots"
Name = Annotated[str, Path(max_length=100)]
MEDIA_TYPES = {
    ".jsonl": "application/jsonl",
    ".md": "text/markdown; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
}


@router.get(SNAPSHOTS, name="every")
def list_snapshots(slug: str, viewer: Unblinded, database: Database) -> Snapshots:
    """The snapshots of the campaign, newest first."""
    records = snapshots.list_snapshots(database, viewer)
    return Snapshots(snapshots=[snapshots.snapshot_out(record) for record in records])


@router.post(SNAPSHOTS, status_code=202, name="make")
def create_snapshot(
    slug: str, body: NewSnapshot, viewer: Lead, database: Database, settings: Configured
) -> JobOut:
    """Queue a snapshot.  When the job is done, training commands can use the snapshot by name."""
    return snapshots.enqueue_snapshot(database, settings, viewer, body)


@router.post(SNAPSHOTS + "/preview", name="preview")
def preview_snapshot(slug: str, body: FiltersIn, viewer: Lead, database: Database) -> SnapshotPreview:
    """Count the rows under these filters without creating a snapshot."""
    return snapshots.preview_snapshot(database, viewer, body)


@router.get(SNAPSHOTS + "/{name}", name="one")
def get_snapshot(slug: str, name: Name, viewer: Unblinded, database: Database) -> SnapshotOut:
    """A snapshot with its filters, counts and files."""
    return snapshots.snapshot_out(snapshots.get_snapshot(database, viewer, name))


@router.get(SNAPSHOTS + "/{name}/files/{file}", response_class=FileResponse, name="file")
def download_file(
    slug: str, name: Name, file: Name, viewer: Unblinded, database: Database, settings: Configured
) -> FileResponse:
    """Download a file of rows, the datasheet or the manifest."""
    record = snapshots.get_snapshot(database, viewer, name)
    path = snapshots.find_file(settings, record, file)
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], filename=f"{record.name}-{file}")


@router.get("/campaigns/{slug}/export", response_class=StreamingResponse, name="export")
def export_everything(
    slug: str,
    viewer: Lead,
    database: Database,
    format: Annotated[
        TableFormat, Query(description="In csv, text that could be a formula begins with '.")
    ] = "jsonl",
) -> StreamingResponse:
    """Download every judgement, skip and flag with the columns of its item, a row each.

    Corrected and withdrawn judgements are there too, with `stands` false.
    """
    parts, name = snapshots.export_everything(database, viewer, format)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=full_export.MEDIA_TYPES[format], headers=headers)
