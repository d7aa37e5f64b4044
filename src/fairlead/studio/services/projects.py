"""The project folder that the studio serves, for services that need one."""

from fairlead.labels.errors import Conflict, NotFound
from fairlead.store.project import Project
from fairlead.studio.settings import Settings


def project_for_files(settings: Settings) -> Project:
    """The project in which uploads and snapshots are stored.  Raises Conflict when there is none."""
    if settings.project is None:
        raise Conflict(
            "the studio was started without a project, so it cannot store files."
            " Start it inside a project folder, or pass --project."
        )
    return Project(settings.project)


def project_to_show(settings: Settings) -> Project:
    """The project whose runs and artifacts are shown.  Raises NotFound when there is none."""
    if settings.project is None:
        raise NotFound("this studio has no project folder, so there are no runs and no models to show.")
    return Project(settings.project)
