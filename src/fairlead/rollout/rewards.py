"""Score sampled answers with a reward model or with a rule in Python: one number per answer."""

from collections.abc import Callable, Sequence

import torch

from fairlead.core.precision import Precision
from fairlead.core.template_settings import OWN_TEMPLATE
from fairlead.data.records import Prompt
from fairlead.encoding.batching import NUM_CHECK_ROWS, collate, map_micro_batches
from fairlead.model.ensemble import member_folders
from fairlead.model.policy import Policy
from fairlead.model.reward_model import load_reward_model, load_shared_reward_model, shares_base
from fairlead.model.scalar_model import ScalarModel
from fairlead.ops.combine_rewards import pooled
from fairlead.ops.pool_names import Pool
from fairlead.rollout.readable import Reward, Scores, all_readable, read, read_trial
from fairlead.rollout.ready_made_rules import NEEDS_REFERENCE, as_rule, ready_made
from fairlead.rollout.records import Answer
from fairlead.rollout.rules import Rule, load_rule
from fairlead.store.resolve_inputs import READY_MADE, RULE
from fairlead.store.run import Run
from fairlead.train.settings import Scoring
from fairlead.train.verify_backend import verify_backend

DEFAULT_SCORING = Scoring()


def is_rule(reference: str) -> bool:
    """Whether a reference names a rule, and not a reward model."""
    return reference.startswith(RULE)


def open_reward(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    pool: Pool = "mean",
    pool_lambda: float = 0.0,
    scoring: Scoring = DEFAULT_SCORING,
) -> Reward:
    """The reward that a reference names: a rule, or the folder of a reward model.

    `prepare` is called once for each loaded reward model.  The members of an ensemble are pooled into one
    score (`ops/combine_rewards.py`).
    """
    members = open_members(
        reference, micro_tokens=micro_tokens, policy=policy, prepare=prepare, scoring=scoring
    )
    if len(members) == 1:
        return members[0]

    def score(answers: Sequence[Answer]) -> Scores:
        by_member = score_by_member(members, answers)
        return pooled_scores(by_member, pool=pool, penalty=pool_lambda, scoring=scoring)

    return score


def open_members(
    reference: str,
    *,
    micro_tokens: int,
    policy: Policy | None = None,
    prepare: Callable[[ScalarModel], None] = lambda model: None,
    adapter_name: str = "reward",
    scoring: Scoring = DEFAULT_SCORING,
) -> list[Reward]:
    """The members of an ensemble; of any other reward, a list with this reward.

    A reward model that was trained as an adapter on the policy's base becomes another adapter on the policy's
    network.
    """
    if is_rule(reference):
        return [from_rule(open_rule(reference, timeout_s=scoring.rule_timeout))]
    members = []
    for number, folder in enumerate(member_folders(reference)):
        if policy is not None and shares_base(policy, folder):
            name = f"{adapter_name}-{number}" if number else adapter_name
            model = load_shared_reward_model(policy, folder, name=name)
        else:
            fallback = OWN_TEMPLATE if policy is None else policy.chat.settings
            model = load_reward_model(folder, fallback=fallback)
        prepare(model)
        members.append(from_model(model, micro_tokens=micro_tokens, scoring=scoring))
    return members


def score_by_member(members: Sequence[Reward], answers: Sequence[Answer]) -> Scores:
    """The scores of M members: values [M, N]; an answer is unreadable if it is so for any member."""
    scores = [member(answers) for member in members]
    problem = next((member.problem for member in scores if member.problem), "")
    unreadable = torch.stack([member.unreadable for member in scores]).any(dim=0)
    return Scores(torch.stack([member.values for member in scores]), unreadable, problem)


def pooled_scores(by_member: Scores, *, pool: Pool, penalty: float, scoring: Scoring) -> Scores:
    """One score for each answer; the stated one where any member could not read it.  [M, N] -> [N]"""
    if len(by_member.values) == 1:
        return by_member._replace(values=by_member.values[0])
    values = pooled(by_member.values, pool=pool, penalty=penalty)
    return by_member._replace(values=values.masked_fill(by_member.unreadable, scoring.unreadable_score))


def verify_reward_backend(
    run: Run, model: ScalarModel, prompts: Sequence[Prompt], precision: Precision
) -> None:
    """Choose the fastest backend that reproduces the reward model's plain scores, on a few prompts.

    The model must be able to read the prompts.
    """
    model.backend.precision = precision
    if not prompts:
        return
    trials = [read_trial(model, prompt) for prompt in prompts[:NUM_CHECK_ROWS]]
    rows = [row for row in trials if not isinstance(row, str)]
    batch = collate(rows, pad_id=model.pad_id, device=model.device)
    verify_backend(run, model, lambda: model.scores(batch), what="reward model")


def from_model(model: ScalarModel, *, micro_tokens: int, scoring: Scoring = DEFAULT_SCORING) -> Reward:
    """The model's score, standardised by the scores of its held-out responses: (score - mean) / std.

    A response that was cut off is scored as if it had ended.  One that the model cannot read gets
    `scoring.unreadable_score`.
    """

    @torch.no_grad()
    def score(answers: Sequence[Answer]) -> Scores:
        rows = [read(model, answer.row.prompt, answer.text, answer.row.tools) for answer in answers]
        readable = [row for row in rows if not isinstance(row, str)]
        unreadable = torch.tensor([isinstance(row, str) for row in rows])
        values = torch.full((len(rows),), scoring.unreadable_score)
        if readable:
            batch = collate(readable, pad_id=model.pad_id, device=model.device)
            raw = map_micro_batches(model.scores, batch, micro_tokens, packed=model.backend.packed)
            values[~unreadable] = ((raw - model.scale.mean) / model.scale.std).float().cpu()
        return Scores(values, unreadable, next((row for row in rows if isinstance(row, str)), ""))

    return score


def open_rule(reference: str, *, timeout_s: float) -> Rule:
    """A rule that Fairlead brings, or that of a file or a module."""
    name, _, argument = reference.removeprefix(RULE).partition("=")
    if name in READY_MADE:
        return as_rule(reference, ready_made(name, argument), timeout_s=timeout_s)
    return load_rule(reference.removeprefix(RULE), timeout_s=timeout_s)


def needs_reference(reference: str) -> bool:
    """Whether a rule compares answers with the column `reference`."""
    return is_rule(reference) and reference.removeprefix(RULE).partition("=")[0] in NEEDS_REFERENCE


def from_rule(rule: Rule) -> Reward:
    return lambda answers: all_readable(torch.tensor(rule(answers), dtype=torch.float32))
