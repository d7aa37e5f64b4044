"""Convert judgements into native training rows: one row per judgement, or one aggregated row per item.

A pairwise judgement becomes a comparison.  An edit becomes a demonstration, and a comparison that prefers the
edited answer to the original.  Training ignores columns that the native format does not define.  Rows contain
pseudonyms, but no notes of raters.  A judgement that cannot become a row yields `LeftOut` with the reason.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal, NamedTuple

from fairlead.data.parsing import parse_row
from fairlead.data.records import (
    RECORD_KINDS,
    Message,
    Messages,
    message_from_json,
    message_to_json,
)
from fairlead.data.records import RecordKind as RowKind
from fairlead.data.row_problem import BadRow, RowLocation
from fairlead.labels import task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.items import CandidateAnswer, Item
from fairlead.labels.judgements import Judgement

RowFile = Literal["comparisons", "rankings", "ratings", "binary", "demonstrations"]
RECORD_KIND_OF_FILE: Mapping[RowFile, RowKind] = {
    "comparisons": "comparison",
    "rankings": "ranking",
    "ratings": "rating",
    "binary": "binary",
    "demonstrations": "demonstration",
}
assert set(RECORD_KIND_OF_FILE.values()) <= set(RECORD_KINDS)


class NativeRow(NamedTuple):
    file: RowFile
    row: dict[str, Any]


class LeftOut(NamedTuple):
    """Judgements that became no row."""

    why: str  # the reason
    num: int  # how many


CANNOT_JUDGE = "nobody could judge it"
UNDECIDED = "people disagree, and no side is ahead"
USER_TURN = "a user's turn was judged"
INVALID_ROW = "cannot be written as a row"


def rows_of_judgement(
    campaign: Campaign, item: Item, judgement: Judgement, *, weight: float = 1.0
) -> Iterator[NativeRow | LeftOut]:
    """The rows of a single judgement, which says more than that nobody can judge the item."""
    extra = _judgement_columns(judgement) | _item_columns(item)
    yield from _rows_of_value(campaign, item, judgement.value, judgement.order, extra, weight)


def rows_of_chat(
    item: Item, judgement: Judgement, turns: Sequence[Mapping[str, Any]], *, weight: float = 1.0
) -> Iterator[NativeRow | LeftOut]:
    """The comparisons of a live chat, one per turn, from `chats.comparison_turns`.

    The prompt of a comparison is the conversation before that turn.
    """
    extra = _judgement_columns(judgement) | _item_columns(item)
    for number, turn in enumerate(turns):
        answers = tuple(
            CandidateAnswer((Message("assistant", answer["text"]),), answer["source"])
            for answer in turn["answers"]
        )
        prompt = tuple(message_from_json(message) for message in turn["prompt"])
        turn_item = replace(item, prompt=prompt, answers=answers)
        value = {
            "preference": task_kinds.PREFERENCE_OF_CHOICE[turn["choice"]],
            "tie": task_kinds.TIE_OF_CHOICE.get(turn["choice"]),
        }
        row = _comparison(turn_item, value, (0, 1), {**extra, "turn": number}, weight, None)
        yield _checked("comparisons", {"prompt": _json(prompt), **row})


def rows_of_item(
    campaign: Campaign, item: Item, judgements: Sequence[Judgement]
) -> Iterator[NativeRow | LeftOut]:
    """The rows of all such judgements of an item, aggregated.  Written texts keep a row each."""
    for judgement in judgements:
        if campaign.kind in ("demonstration", "edit"):
            yield from rows_of_judgement(campaign, item, judgement)
        elif judgement.value.get("edit"):
            yield from rows_of_judgement(campaign, item, _only_edit(judgement))
    if not judgements or campaign.kind in ("demonstration", "edit", "chat"):
        return
    aggregated = _aggregate(campaign, [judgement.value for judgement in judgements], len(item.answers))
    if aggregated is None:
        yield LeftOut(UNDECIDED, len(judgements))
        return
    value, confidence = aggregated
    extra = {
        "raters": sorted({judgement.rater for judgement in judgements}),
        "num_judgements": len(judgements),
        "guidelines_versions": sorted({judgement.guidelines_version for judgement in judgements}),
        "active_s": round(sum(judgement.active_ms for judgement in judgements) / 1000, 3),
    } | _item_columns(item)
    yield from _rows_of_value(campaign, item, value, None, extra, 1.0, confidence)


# ---------------------------------------------------------------- rows


def _rows_of_value(
    campaign: Campaign,
    item: Item,
    value: Mapping[str, Any],
    order: Sequence[int] | None,
    extra: Mapping[str, Any],
    weight: float,
    confidence: float | None = None,
) -> Iterator[NativeRow | LeftOut]:
    prompt = {"prompt": _json(item.prompt)}
    if campaign.kind == "pairwise":
        if "preference" in value:
            yield _checked("comparisons", prompt | _comparison(item, value, order, extra, weight, confidence))
        if value.get("edit"):
            yield from _edit_rows(item, value["edit"], extra, weight)
    elif campaign.kind == "ranking":
        ranked = [(candidate, rank) for candidate, rank in enumerate(value["ranks"]) if rank is not None]
        completions = [_json(item.answers[candidate].messages) for candidate, _ in ranked]
        shown = [candidate for candidate in order if value["ranks"][candidate] is not None] if order else None
        place = {candidate: index for index, (candidate, _) in enumerate(ranked)}
        shown_order = {"shown_order": [place[candidate] for candidate in shown]} if shown else {}
        sources = {"sources": [item.answers[candidate].source for candidate, _ in ranked]}
        row = prompt | {
            "completions": completions,
            "ranks": [rank for _, rank in ranked],
            **extra,
            **shown_order,
            **sources,
        }
        yield _checked("rankings", row | _confidence_column(confidence))
    elif campaign.kind == "conversation":
        yield from _turn_rows(campaign, item, value["turns"], extra, confidence)
    elif campaign.kind in ("rating", "aspects", "thumbs"):
        texts = prompt | {"completion": _json(item.answers[0].messages)}
        yield _scored_row(campaign, texts, value, {**extra, "source": item.answers[0].source}, confidence)
    elif campaign.kind == "demonstration":
        yield _checked(
            "demonstrations",
            prompt | {"completion": [{"role": "assistant", "content": value["text"]}], **extra},
        )
    elif campaign.kind == "edit":
        yield from _edit_rows(item, value, extra, weight)


def _comparison(
    item: Item,
    value: Mapping[str, Any],
    order: Sequence[int] | None,
    extra: Mapping[str, Any],
    weight: float,
    confidence: float | None,
) -> dict[str, Any]:
    chosen = 1 if value["preference"] < 0 else 0
    sign = -1 if chosen else 1
    answers = {
        "chosen": _json(item.answers[chosen].messages),
        "rejected": _json(item.answers[1 - chosen].messages),
    }
    row: dict[str, Any] = answers | {
        "margin": abs(value["preference"]),
        "tie": value["tie"],
        "weight": weight,
    }
    if value.get("aspects"):
        row["aspects"] = {name: sign * side for name, side in sorted(value["aspects"].items())}
    if order is not None:
        names = {chosen: "chosen", 1 - chosen: "rejected"}
        row |= {"shown_first": names[order[0]], "shown_order": [names[candidate] for candidate in order]}
    sources = {"chosen": item.answers[chosen].source, "rejected": item.answers[1 - chosen].source}
    return {**row, **extra, "sources": sources, **_confidence_column(confidence)}


def _edit_rows(
    item: Item, edit: Mapping[str, Any], extra: Mapping[str, Any], weight: float
) -> Iterator[NativeRow | LeftOut]:
    """A demonstration of the edited answer, and a comparison that prefers it to the original."""
    before = item.answers[edit["candidate"]].messages
    after = (*before[:-1], Message("assistant", edit["text"]))
    prompt = {"prompt": _json(item.prompt)}
    columns = {name: value for name, value in extra.items() if name != "aspects"} | {"edited": True}
    yield _checked("demonstrations", prompt | {"completion": _json(after)} | columns)
    if edit["text"].strip() != before[-1].content.strip():
        answers = {"chosen": _json(after), "rejected": _json(before), "weight": weight}
        sources = {"chosen": "edited", "rejected": item.answers[edit["candidate"]].source}
        yield _checked("comparisons", prompt | answers | columns | {"sources": sources})


def _turn_rows(
    campaign: Campaign,
    item: Item,
    turns: Mapping[str, Any],
    extra: Mapping[str, Any],
    confidence: float | None,
) -> Iterator[NativeRow | LeftOut]:
    for turn, verdict in sorted(turns.items(), key=lambda pair: int(pair[0])):
        index = int(turn)
        if item.prompt[index].role != "assistant":
            yield LeftOut(USER_TURN, 1)
            continue
        texts = {"prompt": _json(item.prompt[:index]), "completion": _json(item.prompt[index : index + 1])}
        yield _scored_row(campaign, texts, verdict, {**extra, "turn": index}, confidence)


def _scored_row(
    campaign: Campaign,
    texts: dict[str, Any],
    value: Mapping[str, Any],
    extra: Mapping[str, Any],
    confidence: float | None,
) -> NativeRow | LeftOut:
    """The row of a single answer with a score, scores per aspect, or a label."""
    steps = campaign.options["points"] - 1
    columns = dict(extra) | _confidence_column(confidence)
    if "label" in value:
        return _checked("binary", texts | {"label": value["label"]} | columns)
    if "aspects" in value:
        return _checked(
            "ratings",
            texts
            | {"aspects": {name: (score - 1) / steps for name, score in sorted(value["aspects"].items())}}
            | columns,
        )
    return _checked("ratings", texts | {"score": (value["score"] - 1) / steps} | columns)


def _checked(file: RowFile, row: dict[str, Any]) -> NativeRow | LeftOut:
    """Keep the row only if training accepts it."""
    present = {name: value for name, value in row.items() if value is not None and value != []}
    try:
        parse_row(RECORD_KIND_OF_FILE[file], present, RowLocation("snapshot", 0))
    except BadRow as error:
        return LeftOut(f"{INVALID_ROW}: {error.problem.field} {error.problem.why}", 1)
    return NativeRow(file, present)


def _judgement_columns(judgement: Judgement) -> dict[str, Any]:
    return {
        "judgement": judgement.id,
        "rater": judgement.rater,
        "made_at": judgement.made_at,
        "guidelines_version": judgement.guidelines_version,
        "active_s": round(judgement.active_ms / 1000, 3),
        "late": judgement.late,
        "quick": judgement.quick,
        "reasons": list(judgement.reasons),
    }


def _item_columns(item: Item) -> dict[str, Any]:
    carried = dict(item.carried)
    if item.reference is not None:  # no kind of row but prompts has such a column
        carried["metadata"] = {"reference": item.reference, **(carried.get("metadata") or {})}
    return {
        "item": item.id,
        "tags": list(item.tags),
        "selection_probability": item.selection_probability,
        "strategy": item.strategy,
        **carried,
    }


def _confidence_column(confidence: float | None) -> dict[str, Any]:
    return {} if confidence is None else {"confidence": round(confidence, 4)}


def _json(turns: Messages) -> list[dict[str, Any]]:
    return [message_to_json(turn) for turn in turns]


def _only_edit(judgement: Judgement) -> Judgement:
    return replace(judgement, value={"edit": judgement.value["edit"]})


# ---------------------------------------------------------------- aggregation


def _aggregate(
    campaign: Campaign, values: Sequence[Mapping[str, Any]], num_answers: int
) -> tuple[dict[str, Any], float | None] | None:
    """Aggregate values, with the share of raters that agree with the result.

    None when there is no majority.
    """
    if campaign.kind == "pairwise":
        return _aggregate_pairs(values)
    if campaign.kind == "ranking":
        return _aggregate_ranks(values, num_answers), None
    if campaign.kind == "thumbs":
        return _aggregate_thumbs([value["label"] for value in values])
    if campaign.kind == "rating":
        return {"score": fmean(value["score"] for value in values)}, None
    if campaign.kind == "aspects":
        return {"aspects": _means([value["aspects"] for value in values])}, None
    assert campaign.kind == "conversation"
    turns: dict[str, Any] = {}
    for turn in sorted({turn for value in values for turn in value["turns"]}):
        verdicts = [value["turns"][turn] for value in values if turn in value["turns"]]
        scores = [verdict["score"] for verdict in verdicts if "score" in verdict]
        majority = _aggregate_thumbs([verdict["label"] for verdict in verdicts if "label" in verdict])
        if scores:
            turns[turn] = {"score": fmean(scores)}
        elif majority is not None:
            turns[turn] = majority[0]
    return ({"turns": turns}, None) if turns else None


def _aggregate_pairs(values: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], float] | None:
    """The mean preference; a tie when the mean is 0 and most raters chose the same kind of tie."""
    mean = fmean(value["preference"] for value in values)
    ties = Counter(value["tie"] for value in values if value["tie"])
    sides = [value["aspects"] for value in values if value.get("aspects")]
    aspects = {"aspects": _means(sides)} if sides else {}
    if mean:
        agree = sum(value["preference"] * mean > 0 for value in values)
        return {"preference": mean, "tie": None, **aspects}, agree / len(values)
    if ties["good"] == ties["bad"] or 2 * ties.total() <= len(values):
        return None
    tie, count = ties.most_common(1)[0]
    return {"preference": 0, "tie": tie, **aspects}, count / len(values)


def _aggregate_ranks(values: Sequence[Mapping[str, Any]], num_answers: int) -> dict[str, Any]:
    """Rank the answers by their mean rank; each mean covers the raters who ranked that answer."""
    means: list[float | None] = []
    for candidate in range(num_answers):
        ranks = [value["ranks"][candidate] for value in values if value["ranks"][candidate] is not None]
        means.append(fmean(ranks) if ranks else None)
    order = sorted({mean for mean in means if mean is not None})
    return {"ranks": [None if mean is None else order.index(mean) + 1 for mean in means]}


def _aggregate_thumbs(labels: Sequence[bool]) -> tuple[dict[str, Any], float] | None:
    ups = sum(labels)
    if 2 * ups == len(labels):
        return None
    return {"label": 2 * ups > len(labels)}, max(ups, len(labels) - ups) / len(labels)


def _means(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        name: fmean(table[name] for table in tables if name in table)
        for name in sorted({name for table in tables for name in table})
    }
