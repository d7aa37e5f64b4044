"""Prompts that were trained on, and judges that paid what they judge."""

from pathlib import Path

import pytest

from fairlead.core.config import Ref
from fairlead.core.errors import DataError
from fairlead.data.prompt_digest import prompt_digest
from fairlead.eval.leaks import find_leaks, was_reward_of
from fairlead.store.artifact import Artifact, Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project
from fairlead.store.resolve_inputs import resolve_input
from fairlead.train.training_prompts import TrainingPrompts
from fakes import user

PROMPTS = [(user(text),) for text in ("a", "b", "c", "D")]


def trained_on(*texts: str) -> frozenset[str]:
    return frozenset(filter(None, (prompt_digest((user(text),)) for text in texts)))


def test_leaks_are_counted_once_and_by_who_was_trained_on_them() -> None:
    trained = {
        "policy": TrainingPrompts(own=trained_on("a"), inherited=trained_on("d")),
        "the judge": TrainingPrompts(own=trained_on("a", "x"), not_checked=("No idea.",)),
        "base": TrainingPrompts(),
    }
    leaks = find_leaks(PROMPTS, trained)
    assert leaks.as_dict(excluded=True) == {
        "rows": 2,
        "of": 4,
        "by": {"policy": 2, "the judge": 1},
        "excluded": True,
        "not_checked": ["No idea."],
    }
    assert leaks.kept_rows(source="p.jsonl", exclude=True) == [1, 2]
    with pytest.raises(
        DataError,
        match="p.jsonl: 2 of 4 prompts are among the training prompts of policy and the judge or what they",
    ):
        leaks.kept_rows(source="p.jsonl", exclude=False)


def test_without_leaks_all_rows_stay_and_with_leaks_only_nothing_is_left() -> None:
    assert find_leaks(PROMPTS, {"m": TrainingPrompts()}).kept_rows(source="p", exclude=False) == [0, 1, 2, 3]
    all_leak = find_leaks(PROMPTS[:1], {"m": TrainingPrompts(own=trained_on("a"))})
    with pytest.raises(DataError, match="1 of 1 prompt is among .* of m or what it was .*nothing is left"):
        all_leak.kept_rows(source="p", exclude=True)


def publish(project: Project, kind: str, name: str, **parents: Artifact) -> Artifact:
    def fill(folder: Path) -> None:
        (folder / "member-1").mkdir()
        (folder / "member-1" / "weights").write_text(name)

    edges = [Parent(a.label, a.manifest.digest, role) for role, a in parents.items()]
    return publish_artifact(
        project, kind, name, Provenance(parents=edges, config={}, seed=0, metrics={}), fill=fill
    )


def test_a_judge_that_paid_the_policy_or_its_ancestor_is_known(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    sft = publish(project, "model", "sft")
    reward = publish(project, "reward-model", "reward", model=sft)
    publish(project, "reward-model", "other", model=sft)
    publish(project, "reward-model", "refined", model=reward)
    ppo = publish(project, "model", "ppo", model=sft, reward=reward)
    dpo = publish(project, "model", "dpo", model=ppo)
    best = publish(project, "dataset", "best", model=sft, reward=reward)
    distilled = publish(project, "model", "distilled", model=sft, demonstrations=best)

    def paid(judge: str, policy: Artifact) -> bool:
        return was_reward_of(project, resolve_input(project, "judge", Ref("reward-model"), judge), policy)

    for policy in (ppo, dpo, distilled):
        assert paid("reward", policy) and not paid("other", policy)
        assert paid("refined", policy)  # made from the reward
        assert paid(str(reward.folder / "member-1"), policy)  # a member of the ensemble
    assert not paid("reward", sft)


def test_a_rule_that_paid_is_known_by_its_content(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    (project.data / "rule.py").write_text("x = 1")
    (project.data / "copy.py").write_text("x = 1")
    (project.data / "other.py").write_text("x = 2")
    mark = Ref("reward-model")
    rule, copy, other = (
        resolve_input(project, "judge", mark, f"rule:data/{name}.py") for name in ("rule", "copy", "other")
    )
    policy = publish_artifact(
        project,
        "model",
        "grpo",
        Provenance(parents=[Parent(rule.name, rule.digest, "reward")], config={}, seed=0, metrics={}),
        fill=lambda folder: (folder / "weights").write_text("w"),
    )
    assert was_reward_of(project, rule, policy) and was_reward_of(project, copy, policy)
    assert not was_reward_of(project, other, policy)
