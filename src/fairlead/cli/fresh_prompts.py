"""Refuses seen prompts, damaged models and judges that cannot judge, before hours of sampling."""

from collections.abc import Mapping

from fairlead.core.config import Ref
from fairlead.core.errors import DataError
from fairlead.core.plural import agreeing, counted
from fairlead.core.spelling import OPTIONS
from fairlead.data.record_reader import read_prompts
from fairlead.data.records import Prompt
from fairlead.eval.leaks import find_leaks
from fairlead.model.check_inputs import check_input
from fairlead.rollout.judge_file import is_llm, open_endpoint, read_judge_file
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import RULE, resolve_input
from fairlead.store.run import rows_file
from fairlead.train import training_prompts


def require_judge(project: Project, judge: str, prompts: str, *, timeout_s: float, drop: bool) -> None:
    """Raise ConfigError for a rule that cannot be loaded, a faulty file of a judge behind an endpoint, and a
    missing API key.  Raise DataError for prompts without the reference that a rule needs, unless dropped.
    """
    from fairlead.rollout.rewards import is_rule, needs_reference, open_rule  # imports torch

    if is_rule(judge):
        source = resolve_input(project, "judge", Ref("reward-model"), judge, OPTIONS)
        reference = judge if source.location is None else f"{RULE}{source.location}"
        open_rule(reference, timeout_s=timeout_s)
        if needs_reference(reference):
            _require_references(project, judge, prompts, drop=drop)
    elif is_llm(judge):
        source = resolve_input(project, "judge", Ref("reward-model"), judge, OPTIONS)
        assert source.location is not None
        open_endpoint(read_judge_file(source.location), name=judge)


def _require_references(project: Project, judge: str, prompts: str, *, drop: bool) -> None:
    rows = read_rows(project, prompts)
    missing = [number for number, row in enumerate(rows, start=1) if not (row.reference or "").strip()]
    if not missing or (drop and len(missing) < len(rows)):
        return
    remedy = "Add them" if len(missing) == len(rows) else "Use --too-long drop to leave these prompts out"
    raise DataError(
        f"{prompts}: {judge} compares answers with the column reference, which {len(missing)} of "
        f"{counted(len(rows), 'prompt')} {agreeing(len(missing), 'does')} not have (the first is row "
        f"{missing[0]}). {remedy}, or take another judge."
    )


def read_rows(project: Project, prompts: str) -> list[Prompt]:
    """The prompts of a file or an artifact; none where the artifact has no rows, which sampling will say."""
    source = resolve_input(project, "prompts", Ref("dataset"), prompts, OPTIONS)
    path = source.location if source.artifact is None else rows_file(source.artifact, "prompts")
    return [] if path is None else read_prompts(path)


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
    if rows := read_rows(project, prompts):
        find_leaks([record.prompt for record in rows], trained).kept_rows(source=prompts, exclude=exclude)
