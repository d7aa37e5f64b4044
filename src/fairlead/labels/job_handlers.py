"""The kinds of background jobs, each with the function that runs it."""

from collections.abc import Mapping
from functools import partial

from fairlead.labels import campaign_copy, campaign_deletion, imports, overlap_job, snapshot
from fairlead.labels.job_worker import JobHandler
from fairlead.store.project import Project


def handlers(project: Project) -> Mapping[str, JobHandler]:
    return {
        imports.JOB_KIND: partial(imports.run, project),
        snapshot.KIND: partial(snapshot.run, project),
        overlap_job.JOB_KIND: overlap_job.run,
        campaign_deletion.JOB_KIND: campaign_deletion.run,
        campaign_copy.JOB_KIND: campaign_copy.run,
    }
