"""Refuses seen prompts, damaged models and judges that cannot judge, before hours of sampling."""

from collections.abc import Mapping, Sequence

from fairlead.core.config import Ref
from fairlead.core.spelling import OPTIONS
from fairlead.data.record_reader import read_prompts
from fairlead.data.records import Prompt
from fairlead.eval.leaks import find_leaks
from fairlead.model.check_inputs import check_input
from fairlead.rollout.judge_file import is_llm, open_endpoint, read_judge_file
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import ResolvedInput, resolve_input
from fairlead.store.run import rows_file
from fairlead.train import training_prompts
from fairlead.train.settings import Scoring


def require_comparable(
    project: Project,
    models: Mapping[str, str],
    *,
    prompts: str,
    judge: str,
    scoring: Scoring,
    exclude_leaks: bool,
) -> None:
    """Refuse what the comparison would refuse after sampling.

    Raises ModelError for a model or a judge that cannot be loaded, and what `require_judge` raises.  Raises
    DataError for prompts that one of them was trained on, unless they are left out.
    """
    inputs = {
        model: resolve_input(project, role, Ref("model"), model, OPTIONS) for role, model in models.items()
    }
    for source in inputs.values():
        check_input("model", source)
    inputs["the judge"] = resolve_input(project, "judge", Ref("reward-model"), judge, OPTIONS)
    check_input("reward-model", inputs["the judge"])
    rows = read_rows(project, prompts)
    if not rows:
        return
    require_judge(inputs["the judge"], rows, prompts=prompts, scoring=scoring)
    trained = {name: training_prompts.of_input(project, source) for name, source in inputs.items()}
    find_leaks([row.prompt for row in rows], trained).kept_rows(source=prompts, exclude=exclude_leaks)


def read_rows(project: Project, prompts: str) -> list[Prompt]:
    """The prompts of a file or an artifact; none where the artifact has no rows, which sampling will say."""
    source = resolve_input(project, "prompts", Ref("dataset"), prompts, OPTIONS)
    path = source.location if source.artifact is None else rows_file(source.artifact, "prompts")
    return [] if path is None else read_prompts(path)


def require_judge(judge: ResolvedInput, rows: Sequence[Prompt], *, prompts: str, scoring: Scoring) -> None:
    """Refuse a judge that cannot judge these prompts.

    Raises ConfigError for a rule that cannot be loaded, a faulty file of a judge behind an endpoint, and a
    missing API key.  Raises DataError for prompts without the reference that a rule needs, unless left out.
    """
    # They import torch, which `--help` does not wait for.
    from fairlead.rollout.readable import PromptTrial
    from fairlead.rollout.rewards import is_rule, needs_reference, open_rule

    if is_llm(judge.ref):
        assert judge.location is not None, "a file"
        open_endpoint(read_judge_file(judge.location), name=judge.ref)
    elif is_rule(judge.ref):
        open_rule(judge.load_from, timeout_s=scoring.rule_timeout)
        trial = PromptTrial(rows, max_new_tokens=0, scoring=scoring, source=prompts)
        if needs_reference(judge.ref):
            trial.require_references(judge.ref)
        trial.require_readable(OPTIONS)
