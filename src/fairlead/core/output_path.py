"""Refuse a place for an output that would destroy something else."""

from pathlib import Path

from fairlead.core.errors import ProjectError

PAGE_SUFFIXES = (".html", ".htm")


def require_outside_artifacts(out: Path) -> None:
    """Raise ProjectError if `out` is below `artifacts/KIND/NAME` of a project, whose files have digests."""
    for folder in out.resolve().parents:
        if folder.parent.parent.name == "artifacts" and (folder / "manifest.json").is_file():
            raise ProjectError(
                f"{out}: is inside the artifact {folder.parent.name}/{folder.name}, which must not change. "
                "Choose another --out."
            )


def require_page_name(out: Path) -> None:
    """Raise ProjectError unless `out` can be the file of a page, and not a rule or a file of rows."""
    if out.suffix.lower() not in PAGE_SUFFIXES:
        raise ProjectError(f"{out}: the report is a web page. Choose a name that ends in .html.")
    if out.is_dir():
        raise ProjectError(f"{out}: is a folder. Name a file in it, such as {out / 'report.html'}.")
    require_outside_artifacts(out)
