"""Let a language model compare two models' answers, pair by pair and in both orders.

Pairs that the judge cannot read in both orders are left out and counted; they are no ties.  Equal answers
are ties without a request.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fairlead.core.progress import progress
from fairlead.rollout.llm_judge import NUM_TRIALS, LlmJudge, Pair, Verdict
from fairlead.stats import pairwise
from fairlead.stats.pairwise import BothOrders, Preference

UNREADABLE = "pairs without a readable verdict"  # key of `left_out`
PAIRS_PER_PART = 64  # progress and Ctrl-C are handled between parts


class JudgedPairs(NamedTuple):
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]  # the columns of each pair: its verdicts and outcome, or its scores


def judge_pairs(judge: LlmJudge, pairs: Sequence[Pair]) -> JudgedPairs:
    """The verdicts on all pairs, and what they amount to.

    Raises ConfigError if none of the first verdicts can be read.
    """
    differing = [pair for pair in pairs if pair.a != pair.b]
    verdicts = _ask(judge, differing)
    both = [
        (BothOrders(verdict.a_first, verdict.b_first), pair.row.prompt)
        for verdict, pair in zip(verdicts, differing, strict=True)
        if verdict.a_first and verdict.b_first
    ]
    by_pair = iter(verdicts)
    rows = [_row(next(by_pair) if pair.a != pair.b else None) for pair in pairs]
    readable = [i for i, row in enumerate(rows) if row["outcome"] is not None]
    outcomes: list[Preference] = [rows[i]["outcome"] for i in readable]
    prompts = [pairs[i].row.prompt for i in readable]
    rate = pairwise.win_rate(outcomes, prompts)
    num_unreadable = len(pairs) - len(outcomes)
    metrics: dict[str, Any] = {
        "win_rate_a": rate.interval.as_dict() | {"wins": rate.wins, "ties": rate.ties, "losses": rate.losses},
        "num_prompts": len(set(prompts)),
        "position_bias": pairwise.position_bias(*zip(*both, strict=True)).as_dict() if both else None,
        "equal_answers": len(pairs) - len(differing),
        "unreadable": num_unreadable,
    }
    if num_unreadable:
        metrics["win_rate_range"] = list(pairwise.win_rate_range(rate, num_unreadable))
    judge.run.record_data({UNREADABLE: num_unreadable}, prompts=len(outcomes))
    return JudgedPairs(metrics, rows)


def _ask(judge: LlmJudge, pairs: Sequence[Pair]) -> list[Verdict]:
    """The verdicts in parts, of which the first is a small trial."""
    starts = [0, *range(NUM_TRIALS, len(pairs), PAIRS_PER_PART)]
    verdicts: list[Verdict] = []
    with progress("judge", len(starts), quiet=judge.run.quiet) as bar:
        for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
            judge.run.stop.raise_if_set("Stopped. Verdicts so far are kept. The same command continues.")
            verdicts += judge.verdicts(pairs[start:end])
            if start == 0:
                judge.require_any([verdict.problem for verdict in verdicts])
            bar.advance()
    return verdicts


def _row(verdict: Verdict | None) -> dict[str, Any]:
    """The columns of a pair; None: the answers are equal."""
    if verdict is None:
        return {"outcome": "tie"}
    orders = {"verdicts": [verdict.a_first, verdict.b_first]}
    if verdict.a_first is None or verdict.b_first is None:
        return orders | {"outcome": None, "problem": verdict.problem}
    return orders | {"outcome": pairwise.outcome(BothOrders(verdict.a_first, verdict.b_first))}
