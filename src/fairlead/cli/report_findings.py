"""What stands at the top of a run's report: refusals, and the comparisons of the model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairlead.cli.compare import summary_lines
from fairlead.eval.leaks import prompts_name
from fairlead.store.artifact import MANIFEST, Artifact, load_artifacts
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import LLM, RULE
from fairlead.train.admission_gate import read_admission

if TYPE_CHECKING:
    from fairlead.report.run_page import Comparison, Refusal


def refusals_of(artifact: Artifact | None, events: Sequence[dict[str, Any]]) -> list["Refusal"]:
    """The refusal of the reward model that the run made or examined, or of those that were its rewards."""
    from fairlead.report.run_page import Refusal

    admission = None if artifact is None else read_admission(artifact.folder)
    if artifact is not None and admission is not None and admission.verdict == "refuse":
        return [
            Refusal(
                f"The admission report refuses the reward model {_examined(artifact)}:", admission.reasons
            )
        ]
    sentences = [
        f"This run used the reward model {event['of']} as its reward, although {event['by']} refuses it."
        for event in events
        if event["event"] == "admission" and event.get("verdict") == "refuse" and "of" in event
    ]
    return [Refusal(sentence) for sentence in dict.fromkeys(sentences)]  # a resumed run checks again


def _examined(artifact: Artifact) -> str:
    """The reward model that an admission report is about: the artifact itself, or what an evaluation read."""
    models = [parent.name for parent in artifact.manifest.parents if parent.role == "model"]
    return models[0] if artifact.manifest.kind == "evaluation" and models else artifact.label


def comparisons_of(project: Project, artifact: Artifact | None) -> list["Comparison"]:
    """The comparison that a run made, or all comparisons of the model that it made; newest first."""
    from fairlead.report.run_page import Comparison

    if artifact is None:
        return []
    present = load_artifacts(project)[0]
    by_digest = {candidate.manifest.digest: candidate for candidate in present}
    of_model = []
    for evaluation in present:
        if "win_rate_a" not in evaluation.manifest.metrics:
            continue
        digests = {parent.role: parent.digest for parent in evaluation.manifest.parents}
        rollouts = [by_digest.get(digests.get(role, "")) for role in ("a", "b")]
        compared = {
            parent.digest
            for answers in rollouts
            if answers is not None
            for parent in answers.manifest.parents
            if parent.role == "model"
        }
        if (
            evaluation.manifest.digest != artifact.manifest.digest
            and artifact.manifest.digest not in compared
        ):
            continue
        config = evaluation.manifest.config
        a, b = (
            config[role] if answers is None else answers.manifest.config["model"]
            for role, answers in zip(("a", "b"), rollouts, strict=True)
        )
        judge = config["judge"]
        judge = judge if judge.startswith((RULE, LLM)) else f"reward:{judge}"
        verdict, *remarks = summary_lines(a, b, judge, evaluation.manifest.metrics)
        prompts = prompts_name(rollouts[0]) or "not recorded"
        of_model.append((evaluation, Comparison(evaluation.label, verdict, remarks, judge, prompts)))
    # Creation times have whole seconds; the file system decides between two in the same second.
    of_model.sort(
        key=lambda pair: (pair[0].manifest.created_at, (pair[0].folder / MANIFEST).stat().st_mtime_ns),
        reverse=True,
    )
    return [comparison for _, comparison in of_model]
