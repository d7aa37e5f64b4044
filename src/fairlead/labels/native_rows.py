"""From judgements to native rows: one for each judgement, or one for each item, on which several people have become one.

A pair becomes a comparison, and so does an edit, of the edited answer over the one that it was made from.  What is not a native column
stands beside the native ones and is ignored by training.  Rows hold pseudonyms and no notes of people; what they wrote as answers is
what was asked for.  RowLocation judgements cannot be put into a row, the reason is counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal, NamedTuple

from fairlead.data.parsing import parse_row
from fairlead.data.records import RECORD_KINDS, Message, Messages
from fairlead.data.records import RecordKind as RowKind
from fairlead.data.row_problem import BadRow, RowLocation
from fairlead.labels import task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.items import CandidateAnswer, Item
from fairlead.labels.judgements import Judgement

RowFile = Literal["comparisons", "rankings", "ratings", "binary", "demonstrations"]
RECORD_KIND_OF_FILE: Mapping[RowFile, RowKind] = {
    "comparisons": "comparison", "rankings": "ranking", "ratings": "rating", "binary": "binary", "demonstrations": "demonstration",
}  # fmt: skip
assert set(RECORD_KIND_OF_FILE.values()) <= set(RECORD_KINDS)


class NativeRow(NamedTuple):
    file: RowFile
    row: dict[str, Any]


class LeftOut(NamedTuple):
    """Judgements that became no row, and why."""

    why: str
    num: int


CANNOT_JUDGE = "nobody could judge it"
UNDECIDED = "people disagree, and no side is ahead"
USER_TURN = "a user's turn was judged"
INVALID_ROW = "cannot be written as a row"


def rows_of_judgement(
    campaign: Campaign, item: Item, judgement: Judgement, *, weight: float = 1.0
) -> Iterator[NativeRow | LeftOut]:
    """The rows of one judgement."""
    if "cannot" in judgement.value:
        yield LeftOut(CANNOT_JUDGE, 1)
    else:
        yield from _rows_of_value(
            campaign,
            item,
            judgement.value,
            judgement.order,
            _judgement_columns(judgement) | _item_columns(item),
            weight,
        )


def rows_of_chat(
    item: Item, judgement: Judgement, turns: Sequence[Mapping[str, Any]], *, weight: float = 1.0
) -> Iterator[NativeRow | LeftOut]:
    """The comparisons of a live conversation, as `chats.rows` gives them: each with what had been said before it."""
    extra = _judgement_columns(judgement) | _item_columns(item)
    for number, turn in enumerate(turns):
        answers = tuple(
            CandidateAnswer((Message("assistant", answer["text"]),), answer["source"])
            for answer in turn["answers"]
        )
        asked = replace(
            item,
            prompt=tuple(Message(said["role"], said["content"]) for said in turn["prompt"]),
            answers=answers,
        )
        value = {
            "preference": task_kinds.PREFERENCE_OF_CHOICE[turn["choice"]],
            "tie": task_kinds.TIE_OF_CHOICE.get(turn["choice"]),
        }
        row = _comparison(asked, value, (0, 1), {**extra, "turn": number}, weight, None)
        yield _checked("comparisons", {"prompt": _json(asked.prompt), **row})


def rows_of_item(
    campaign: Campaign, item: Item, judgements: Sequence[Judgement]
) -> Iterator[NativeRow | LeftOut]:
    """The rows that all the judgements of an item come to; texts that people wrote stay one row each."""
    decided = [made for made in judgements if "cannot" not in made.value]
    if len(decided) < len(judgements):
        yield LeftOut(CANNOT_JUDGE, len(judgements) - len(decided))
    for made in decided:
        if campaign.kind in ("demonstration", "edit"):
            yield from rows_of_judgement(campaign, item, made)
        elif made.value.get("edit"):
            yield from rows_of_judgement(campaign, item, _only_edit(made))
    if not decided or campaign.kind in ("demonstration", "edit", "chat"):
        return
    together = _aggregate(campaign, [made.value for made in decided], len(item.answers))
    if together is None:
        yield LeftOut(UNDECIDED, len(decided))
        return
    value, confidence = together
    extra = {
        "raters": sorted({made.rater for made in decided}), "num_judgements": len(decided),
        "guidelines_versions": sorted({made.guidelines_version for made in decided}),
        "active_s": round(sum(made.active_ms for made in decided) / 1000, 3),
    } | _item_columns(item)  # fmt: skip
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
        more = {"shown_order": [place[candidate] for candidate in shown]} if shown else {}
        sources = {"sources": [item.answers[candidate].source for candidate, _ in ranked]}
        row = prompt | {
            "completions": completions,
            "ranks": [rank for _, rank in ranked],
            **extra,
            **more,
            **sources,
        }
        yield _checked("rankings", row | _confidence_column(confidence))
    elif campaign.kind == "conversation":
        yield from _turn_rows(campaign, item, value["turns"], extra, confidence)
    elif campaign.kind in ("rating", "aspects", "thumbs"):
        beside = prompt | {"completion": _json(item.answers[0].messages)}
        yield _scored_row(campaign, beside, value, {**extra, "source": item.answers[0].source}, confidence)
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
    """The edited answer is worth imitating, and better than what it was made from."""
    before = item.answers[edit["candidate"]].messages
    after = (*before[:-1], Message("assistant", edit["text"]))
    prompt = {"prompt": _json(item.prompt)}
    kept = {name: value for name, value in extra.items() if name != "aspects"} | {"edited": True}
    yield _checked("demonstrations", prompt | {"completion": _json(after)} | kept)
    if edit["text"].strip() != before[-1].content.strip():
        answers = {"chosen": _json(after), "rejected": _json(before), "weight": weight}
        sources = {"chosen": "edited", "rejected": item.answers[edit["candidate"]].source}
        yield _checked("comparisons", prompt | answers | kept | {"sources": sources})


def _turn_rows(
    campaign: Campaign,
    item: Item,
    turns: Mapping[str, Any],
    extra: Mapping[str, Any],
    confidence: float | None,
) -> Iterator[NativeRow | LeftOut]:
    for turn, verdict in sorted(turns.items(), key=lambda each: int(each[0])):
        at = int(turn)
        if item.prompt[at].role != "assistant":
            yield LeftOut(USER_TURN, 1)
            continue
        beside = {"prompt": _json(item.prompt[:at]), "completion": _json(item.prompt[at : at + 1])}
        yield _scored_row(campaign, beside, verdict, {**extra, "turn": at}, confidence)


def _scored_row(
    campaign: Campaign,
    beside: dict[str, Any],
    value: Mapping[str, Any],
    extra: Mapping[str, Any],
    confidence: float | None,
) -> NativeRow | LeftOut:
    """One answer with a score, scores for its aspects, or a thumb."""
    steps = campaign.options["points"] - 1
    more = dict(extra) | _confidence_column(confidence)
    if "label" in value:
        return _checked("binary", beside | {"label": value["label"]} | more)
    if "aspects" in value:
        return _checked(
            "ratings",
            beside
            | {"aspects": {name: (each - 1) / steps for name, each in sorted(value["aspects"].items())}}
            | more,
        )
    return _checked("ratings", beside | {"score": (value["score"] - 1) / steps} | more)


def _checked(file: RowFile, row: dict[str, Any]) -> NativeRow | LeftOut:
    """What training would refuse is not written, but counted."""
    made = {name: value for name, value in row.items() if value is not None and value != []}
    try:
        parse_row(RECORD_KIND_OF_FILE[file], made, RowLocation("snapshot", 0))
    except BadRow as error:
        return LeftOut(f"{INVALID_ROW}: {error.problem.field} {error.problem.why}", 1)
    return NativeRow(file, made)


def _judgement_columns(judgement: Judgement) -> dict[str, Any]:
    return {
        "judgement": judgement.id, "rater": judgement.rater, "made_at": judgement.made_at, "guidelines_version": judgement.guidelines_version,
        "active_s": round(judgement.active_ms / 1000, 3), "late": judgement.late, "quick": judgement.quick, "reasons": list(judgement.reasons),
    }  # fmt: skip


def _item_columns(item: Item) -> dict[str, Any]:
    return {
        "item": item.id,
        "tags": list(item.tags),
        "selection_probability": item.selection_probability,
        "strategy": item.strategy,
    }


def _confidence_column(confidence: float | None) -> dict[str, Any]:
    return {} if confidence is None else {"confidence": round(confidence, 4)}


def _json(turns: Messages) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _only_edit(judgement: Judgement) -> Judgement:
    return replace(judgement, value={"edit": judgement.value["edit"]})


# ---------------------------------------------------------------- several as one


def _aggregate(
    campaign: Campaign, values: Sequence[Mapping[str, Any]], num_answers: int
) -> tuple[dict[str, Any], float | None] | None:
    """The value that several come to, and the share of them that says the same; None where no side is ahead."""
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
        said = [value["turns"][turn] for value in values if turn in value["turns"]]
        scores = [each["score"] for each in said if "score" in each]
        decided = _aggregate_thumbs([each["label"] for each in said if "label" in each])
        if scores:
            turns[turn] = {"score": fmean(scores)}
        elif decided is not None:
            turns[turn] = decided[0]
    return ({"turns": turns}, None) if turns else None


def _aggregate_pairs(values: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], float] | None:
    """The mean preference; a tie where that is 0 and most say so."""
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
    """By mean rank among those who ranked it."""
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
        name: fmean(each[name] for each in tables if name in each)
        for name in sorted({name for each in tables for name in each})
    }
