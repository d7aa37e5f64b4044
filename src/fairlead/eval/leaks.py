"""Leaks: prompts of an evaluation that the examined models, their judge or their ancestors were trained on.

Prompts are compared by their normalised digests (`data.prompt_digest`), so a paraphrase is not recognised.
What was trained where is read by `train.training_prompts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.core.errors import DataError
from fairlead.core.plural import agreeing, counted
from fairlead.data.prompt_digest import prompt_digest
from fairlead.data.record_reader import read_prompts
from fairlead.data.records import Messages
from fairlead.rollout.judge_file import is_llm, read_judge_file
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, load_artifacts
from fairlead.store.lineage import LineageNode
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import ResolvedInput
from fairlead.store.run import Run
from fairlead.train import training_prompts
from fairlead.train.training_prompts import TrainingPrompts


@dataclass(frozen=True)
class Leaks:
    """The leaked rows of an evaluation: Leaks((0, 2), 3, {"aligned": 2}, ())."""

    rows: tuple[int, ...]  # positions of the rows whose prompt was trained on
    num_rows: int
    by: Mapping[str, int]  # who was trained on them -> number of rows
    not_checked: tuple[str, ...]

    def as_dict(self, *, excluded: bool) -> dict[str, Any]:
        return {
            "rows": len(self.rows),
            "of": self.num_rows,
            "by": dict(self.by),
            "excluded": excluded,
            "not_checked": list(self.not_checked),
        }

    @property
    def fresh(self) -> list[int]:
        """The rows whose prompt was not trained on."""
        leaked = set(self.rows)
        return [i for i in range(self.num_rows) if i not in leaked]

    def left_out(self, noun: str) -> dict[str, int]:
        """What was excluded, by reason, for the manifest; `noun` is in the plural."""
        return {f"{noun} seen in training": len(self.rows)}

    def kept_rows(self, *, source: str, exclude: bool, has_option: bool = True) -> list[int]:
        """The rows that may be evaluated.  Raises DataError for leaks unless `exclude` leaves them out.

        `has_option` says whether the command can leave them out.
        """
        if not self.rows:
            return list(range(self.num_rows))
        who = " and ".join(self.by)
        verb = agreeing(len(self.rows), "is")
        finding = (
            f"{source}: {len(self.rows):,} of {counted(self.num_rows, 'prompt')} {verb} among the training "
            f"prompts of {who} or what {agreeing(len(self.by), 'it')} {agreeing(len(self.by), 'was')} "
            "made from"
        )
        if exclude and len(self.rows) == self.num_rows:
            raise DataError(
                f"{finding}, so nothing is left to evaluate. Bring prompts that were split off before "
                "training, with `fairlead data split`."
            )
        if not exclude:
            option = ", or leave these out with --exclude-leaks" if has_option else ""
            raise DataError(
                f"{finding}. Evaluate on prompts that were split off before training, with `fairlead data "
                f"split`{option}."
            )
        return self.fresh


def find_leaks(prompts: Sequence[Messages], trained: Mapping[str, TrainingPrompts]) -> Leaks:
    """Compare prompts with the training prompts of each model or judge."""
    digests = [prompt_digest(prompt) for prompt in prompts]
    by = {
        who: sum(digest in everything for digest in digests)
        for who, everything in ((who, prompts.all) for who, prompts in trained.items())
    }
    union = frozenset[str]().union(*(prompts.all for prompts in trained.values()))
    rows = tuple(i for i, digest in enumerate(digests) if digest in union)
    not_checked = [sentence for prompts in trained.values() for sentence in prompts.not_checked]
    return Leaks(
        rows,
        len(prompts),
        {who: count for who, count in by.items() if count},
        tuple(dict.fromkeys(not_checked)),
    )


def examine_evidence(run: Run, prompts: Sequence[Messages]) -> tuple[Leaks, list[str]]:
    """The prompts that a model or the judge was trained on, and the models (a, b) that the judge has paid."""
    policies = {role: policy_of(run, role) for role in ("a", "b")}
    trained = {"the judge": training_prompts.of_input(run.project, run.inputs["judge"])}
    paid = []
    for role, policy in policies.items():
        if policy is not None:
            trained[policy.manifest.name] = training_prompts.of_artifact(run.project, policy)
            if was_reward_of(run.project, run.inputs["judge"], policy):
                paid.append(role)
    return find_leaks(prompts, trained), paid


def policy_of(run: Run, role: str) -> Artifact | None:
    """The model that sampled the answers, or None if it is not an artifact of the project."""
    rollouts = run.inputs[role].artifact
    parents = () if rollouts is None else rollouts.manifest.parents
    digest = next((parent.digest for parent in parents if parent.role == "model"), None)
    return next((a for a in load_artifacts(run.project)[0] if a.manifest.digest == digest), None)


def prompts_of(run: Run) -> str:
    """The name of the prompts that were answered, for messages."""
    return prompts_name(run.inputs["a"].artifact) or run.inputs["a"].ref


def prompts_name(rollouts: Artifact | None) -> str:
    """The name of the prompts that these rollouts answer; empty if it is not recorded."""
    parents = () if rollouts is None else rollouts.manifest.parents
    names = [parent.name.removeprefix("file:") for parent in parents if parent.role == "prompts"]
    return names[0] if names else ""


def require_fresh_prompts(run: Run) -> None:
    """Raise DataError before the first round if a held-out prompt is, or will be, trained on."""
    held_out, prompts = (
        [record.prompt for record in read_prompts(run.data_path(role, rows="prompts"))]
        for role in ("held_out", "prompts")
    )
    trained = {
        "the rounds": TrainingPrompts(own=frozenset(filter(None, map(prompt_digest, prompts)))),
        "the model": training_prompts.of_input(run.project, run.inputs["model"]),
        "the probe": training_prompts.of_input(run.project, run.inputs["probe"]),
    }
    source = run.inputs["held_out"].ref
    find_leaks(held_out, trained).kept_rows(source=source, exclude=False, has_option=False)


def was_reward_of(project: Project, judge: ResolvedInput, policy: Artifact) -> bool:
    """Whether the judge is a reward that the policy or an ancestor was trained with, or a relative of one.

    A relative is a reward model that the judge was made from, one that was made from the judge, and a member
    of an ensemble of rewards.  A judge behind an endpoint is a relative of every judge with the same model,
    whatever their addresses and rubrics.
    """
    llm = read_judge_file(judge.location).model if is_llm(judge.ref) and judge.location else None
    family = {judge.digest}
    if judge.artifact is not None:
        above = _nodes(lineage.ancestors(project, judge.artifact))
        family |= {node.digest for node in above if _is_reward_model(node)}
    for node in _nodes(lineage.ancestors(project, policy)):
        if llm is not None and llm in _paying_llms(node):
            return True
        if not _pays(node.role):
            continue
        if family & {above.digest for above in _nodes(node) if above is node or _is_reward_model(above)}:
            return True
        folder = None if node.artifact is None else node.artifact.folder.resolve()
        judge_folder = None if judge.location is None else judge.location.resolve()
        # a member of the ensemble that was the reward
        if folder is not None and judge_folder is not None and judge_folder.is_relative_to(folder):
            return True
    return False


def _nodes(root: LineageNode) -> list[LineageNode]:
    """The root and all of its ancestors; a history that is reached on two paths is walked once."""
    nodes = []
    waiting = [root]
    seen: set[tuple[str, str]] = set()
    while waiting:
        node = waiting.pop()
        if (node.role, node.digest) not in seen:
            seen.add((node.role, node.digest))
            nodes.append(node)
            waiting += node.parents
    return nodes


def _is_reward_model(node: LineageNode) -> bool:
    return node.artifact is not None and node.artifact.manifest.kind == "reward-model"


def _paying_llms(node: LineageNode) -> set[str]:
    """The models behind endpoints that were rewards of this artifact, as its manifest records them."""
    judges = {} if node.artifact is None else node.artifact.manifest.metrics.get("judges", {})
    return {judge["model"] for role, judge in judges.items() if _pays(role)}


def _pays(role: str) -> bool:
    """Whether the input of this role is a reward that answers were trained to raise."""
    return role == "reward" or role.startswith(("extra_rewards.", "constraints."))
