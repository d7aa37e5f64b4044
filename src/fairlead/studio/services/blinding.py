"""What an adjudicator gets of an item: nothing that tells which model wrote an answer."""

from collections.abc import Iterable
from dataclasses import replace

from fairlead.labels import assignments, task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.item_search import ItemDetails
from fairlead.labels.judgements import Judgement


def blind_item(campaign: Campaign, details: ItemDetails) -> ItemDetails:
    """Without sources, tags that name one, parameters and what exports repeat.

    The answers are in a random order, which is the same each time: in the order of the file, the first answer
    of each item may be by the same model.
    `reveals` goes too: it numbers answers in the order of the file, and says which answer names its source.
    """
    item = details.summary.item
    order = assignments.answer_order(campaign.seed, "adjudication", item.id, len(item.answers))
    names = _model_names(answer.source for answer in item.answers if answer.source)
    blind = replace(
        item,
        tags=tuple(tag for tag in item.tags if not any(name in tag.lower() for name in names)),
        answers=tuple(replace(item.answers[n], source=None, params={}) for n in order),
        source="",
        strategy="all",
        selection_probability=None,
        carried={},
        reference=None,
        reveals=None,
    )

    def reordered(judgement: Judgement) -> Judgement:
        shown = tuple(order.index(candidate) for candidate in judgement.order)
        return replace(judgement, value=task_kinds.reorder(judgement.value, order), order=shown)

    return replace(
        details,
        summary=replace(details.summary, item=blind),
        standing=[reordered(judgement) for judgement in details.standing],
        superseded=[reordered(judgement) for judgement in details.superseded],
    )


def _model_names(sources: Iterable[str]) -> set[str]:
    """The sources in lower case, each also without the folder or organisation before its last slash."""
    return {
        name for source in sources for name in (source.lower(), source.lower().rpartition("/")[2]) if name
    }
