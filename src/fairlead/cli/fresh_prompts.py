"""Refuses prompts that were trained on, damaged models and judges without a key, before hours of sampling."""

from collections.abc import Mapping

from fairlead.core.config import Ref
from fairlead.core.spelling import OPTIONS
from fairlead.data.record_reader import read_prompts
from fairlead.eval.leaks import find_leaks
from fairlead.model.check_inputs import check_input
from fairlead.rollout.judge_file import is_llm, open_endpoint, read_judge_file
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import resolve_input
from fairlead.store.run import rows_file
from fairlead.train import training_prompts


def require_endpoint(project: Project, judge: str) -> None:
    """Raise ConfigError for a faulty file of a judge behind an endpoint, and for a missing API key."""
    if is_llm(judge):
        source = resolve_input(project, "judge", Ref("reward-model"), judge, OPTIONS)
        assert source.location is not None
        open_endpoint(read_judge_file(source.location), name=judge)


def require_fresh_prompts(
    project: Project, prompts: str, models: Mapping[str, str], judge: str, exclude: bool
) -> None:
    """Raise DataError for prompts that a model or the judge was trained on, unless they are left out.

    Raises ModelError for a model or a judge that cannot be loaded.
    """
    inputs = {
        model: resolve_input(project, role, Ref("model"), model, OPTIONS) for role, model in models.items()
    }
    for source in inputs.values():
        check_input("model", source)
    inputs["the judge"] = resolve_input(project, "judge", Ref("reward-model"), judge, OPTIONS)
    check_input("reward-model", inputs["the judge"])
    trained = {name: training_prompts.of_input(project, source) for name, source in inputs.items()}
    source = resolve_input(project, "prompts", Ref("dataset"), prompts, OPTIONS)
    path = source.location if source.artifact is None else rows_file(source.artifact, "prompts")
    if path is None:  # sampling will say which rows are missing
        return
    find_leaks([record.prompt for record in read_prompts(path)], trained).kept_rows(
        source=prompts, exclude=exclude
    )
