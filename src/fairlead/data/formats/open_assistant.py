"""Open-Assistant: trees of messages with `replies`, or the table of messages that they were made from.

    {"message_tree_id": …, "tree_state": …, "prompt": {"text": …, "role": "prompter", "replies": […]}}
    {"message_id": …, "parent_id": …, "text": …, "role": "assistant", "rank": 0, "message_tree_id": …}

Rank 0 is the best.  The usual reading is a ranking for each message with several ranked replies.  With
`--kind demonstration`, every answer that people ranked best, or that stands alone, is trained once: a
conversation continues as long as it can, and other branches take what was said before them as the prompt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.core.plural import counted
from fairlead.data.file_source import SourceRow
from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Converter, Format, LeftOut, Row
from fairlead.data.parsing import check_turns, required_text
from fairlead.data.records import Demonstration, Message, Messages, Prompt, Ranking, Record, RecordKind, Role
from fairlead.data.row_problem import RowLocation, RowProblem, reject_row

ROLES: Mapping[str, Role] = {"prompter": "user", "assistant": "assistant"}
READY = "ready_for_export"
MOST_TURNS = 200  # depth of a tree; Python's own limit on recursion is not far above
NOTES = ("lang", "model_name", "synthetic", "user_id", "created_date", "labels", "emojis", "detoxify")


@dataclass(frozen=True)
class Node:
    message: Message
    id: str
    rank: float | None  # lower is better
    notes: Mapping[str, Any]
    replies: tuple["Node", ...]


def recognises_tree(row: Row) -> bool:
    return isinstance(row.get("prompt"), dict) and "replies" in row["prompt"]


def recognises_message(row: Row) -> bool:
    return row.keys() >= {"message_id", "parent_id", "text", "role"}


# ---------------------------------------------------------------- trees


def convert(row: Row, where: RowLocation) -> Conversion:
    """A ranking for each message of which several replies are ranked."""
    root = _root(row, where)
    if isinstance(root, LeftOut):
        return root
    return list(_rankings(root, (), row, where)) or LeftOut("trees without ranked replies")


def convert_to_demonstrations(row: Row, where: RowLocation) -> Conversion:
    root = _root(row, where)
    if isinstance(root, LeftOut):
        return root
    return list(_conversations(root, (), (), row, where)) or LeftOut("trees without an answer")


def convert_to_prompts(row: Row, where: RowLocation) -> Conversion:
    """Every beginning of a conversation that ends with the user."""
    root = _root(row, where)
    return root if isinstance(root, LeftOut) else list(_prompts(root, (), row, where))


def _rankings(node: Node, before: Messages, row: Row, where: RowLocation) -> Iterator[Record | LeftOut]:
    turns = (*before, node.message)
    ranked = [reply for reply in node.replies if reply.rank is not None]
    if node.message.role == "user" and len(ranked) >= 2:
        check_turns(turns, "prompt", where, first="user", last="user")
        ranks = [-(reply.rank or 0.0) for reply in ranked]
        ranking = Ranking(turns, tuple((reply.message,) for reply in ranked), feedback.ranks_of_scores(ranks))
        answers = [{"message_id": reply.id, **reply.notes} for reply in ranked]
        yield _noted(ranking, node, row, {"answers": answers})
    for reply in node.replies:
        yield from _rankings(reply, turns, row, where)


def _conversations(
    node: Node, context: Messages, trained: Messages, row: Row, where: RowLocation
) -> Iterator[Record | LeftOut]:
    """Conversations below `node`: `context` is trained elsewhere already, `trained` is not."""
    if trained:
        trained = (*trained, node.message)
    elif node.message.role == "assistant":
        trained = (node.message,)
    else:
        context = (*context, node.message)
    followers = _followers(node)
    if not followers:
        if trained and trained[-1].role == "user":
            trained = trained[:-1]
        if trained:
            check_turns((*context, *trained), "prompt", where, first="user", last="assistant")
            yield _noted(Demonstration(context, trained), node, row, {})
        return
    for index, reply in enumerate(followers):
        if index == 0:
            yield from _conversations(reply, context, trained, row, where)
        else:
            yield from _conversations(reply, (*context, *trained), (), row, where)


def _followers(node: Node) -> Sequence[Node]:
    """The replies to continue with: the best answer, or answers without ranks; replies that were answered."""
    if node.message.role == "assistant":
        answered = [reply for reply in node.replies if reply.replies]
        return answered or node.replies[:1]
    ranked = [reply for reply in node.replies if reply.rank is not None]
    return [min(ranked, key=lambda reply: reply.rank or 0.0)] if ranked else node.replies


def _prompts(node: Node, before: Messages, row: Row, where: RowLocation) -> Iterator[Record | LeftOut]:
    turns = (*before, node.message)
    if node.message.role == "user":
        check_turns(turns, "prompt", where, first="user", last="user")
        yield _noted(Prompt(turns), node, row, {})
    for reply in node.replies:
        yield from _prompts(reply, turns, row, where)


def _noted(record: Record, node: Node, row: Row, notes: Mapping[str, Any]) -> Record:
    tree = {"message_tree_id": row.get("message_tree_id"), **node.notes, **notes}
    return feedback.carrying(record, node.id, tree)


def _root(row: Row, where: RowLocation) -> Node | LeftOut:
    state = row.get("tree_state")
    if state is not None and state != READY:
        return LeftOut(f"trees in the state {state}")
    root = _node(row.get("prompt"), "prompt", "user", where, depth=1)
    return root or LeftOut("trees whose first message was deleted or failed its review")


def _node(value: object, field: str, role: Role, where: RowLocation, depth: int) -> Node | None:
    """The message with its replies; None if it was deleted or failed its review."""
    if depth > MOST_TURNS:
        why = f"has more than {MOST_TURNS} turns"
        reject_row(where, "prompt", None, why, "Drop the row with --drop.")
    if not isinstance(value, dict):
        reject_row(where, field, value, "is not a message", 'Write {"text": "…", "role": …, "replies": […]}.')
    if str(value.get("deleted")).lower() == "true" or str(value.get("review_result")).lower() == "false":
        return None
    if ROLES.get(str(value.get("role"))) != role:
        expected = next(name for name, other in ROLES.items() if other == role)
        remedy = "Users and assistants take turns in a tree; drop the row with --drop."
        reject_row(
            where, f"{field}.role", value.get("role"), f"wrong role order: expected {expected}", remedy
        )
    rank = value.get("rank")
    number = None if rank is None else feedback.as_number(rank)
    if rank is not None and number is None:
        reject_row(where, f"{field}.rank", rank, "is not a number", "Write a number; 0 is the best.")
    replies = value.get("replies") or []
    if not isinstance(replies, list):
        reject_row(where, f"{field}.replies", replies, "is not a list", "Write a list of messages.")
    next_role: Role = "assistant" if role == "user" else "user"
    nodes = [
        _node(reply, f"{field}.replies[{index}]", next_role, where, depth + 1)
        for index, reply in enumerate(replies)
    ]
    return Node(
        Message(role, required_text(value, "text", where)),
        str(value.get("message_id") or ""),
        number,
        {name: value[name] for name in NOTES if value.get(name) not in (None, {}, [])},
        tuple(node for node in nodes if node is not None),
    )


# ---------------------------------------------------------------- tables


def gather(rows: Iterator[SourceRow | RowProblem]) -> Iterator[SourceRow | RowProblem]:
    """The trees of a table of messages, in the order of their first messages.  Keeps the table in memory."""
    tables: dict[str, list[SourceRow]] = {}
    tree_of: dict[str, str] = {}
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        message_id = row.value.get("message_id")
        parent_id = row.value.get("parent_id")
        tree = row.value.get("message_tree_id") or tree_of.get(str(parent_id)) or message_id
        if not isinstance(message_id, str) or not isinstance(tree, str):
            why = "is not the id of a message"
            yield RowProblem(*row.where, "message_id", message_id, why, "Write text in quotes.", row.value)
            continue
        tree_of[message_id] = tree
        tables.setdefault(tree, []).append(row)
    for tree, messages in tables.items():
        yield from _tree(tree, messages)


def _tree(tree: str, messages: Sequence[SourceRow]) -> Iterator[SourceRow | RowProblem]:
    nodes: dict[str, dict[str, Any]] = {}
    for row in messages:
        message_id = row.value["message_id"]
        if message_id in nodes:
            why = "is the id of two messages"
            yield RowProblem(*row.where, "message_id", message_id, why, "Remove one of them.", row.value)
            return
        nodes[message_id] = {**row.value, "replies": []}
    roots = []
    for row in messages:
        parent_id = row.value.get("parent_id")
        if parent_id in (None, ""):
            roots.append(row)
        elif isinstance(parent_id, str) and parent_id in nodes and parent_id != row.value["message_id"]:
            nodes[parent_id]["replies"].append(nodes[row.value["message_id"]])
        else:
            why = "is the id of no message in the tree"
            remedy = "Import the whole table, or set the message aside with --drop."
            yield RowProblem(*row.where, "parent_id", parent_id, why, remedy, row.value)
    if len(roots) != 1:
        where = messages[0].where
        why = f"has {counted(len(roots), 'message')} without a parent"
        remedy = "A tree begins with one message; import the whole table."
        yield RowProblem(*where, "message_tree_id", tree, why, remedy, messages[0].value)
        return
    root = nodes[roots[0].value["message_id"]]
    yield from _unreachable(root, messages)
    state = next((row.value["tree_state"] for row in messages if row.value.get("tree_state")), None)
    yield SourceRow(roots[0].where, {"message_tree_id": tree, "tree_state": state, "prompt": root})


def _unreachable(root: Mapping[str, Any], messages: Sequence[SourceRow]) -> Iterator[RowProblem]:
    """A problem for each message that replies to itself, through others."""
    reached = set()
    remaining = [root]
    while remaining:
        message = remaining.pop()
        reached.add(message["message_id"])
        remaining += message["replies"]
    ids = {row.value["message_id"] for row in messages}
    for row in messages:
        if row.value["message_id"] not in reached and str(row.value.get("parent_id")) in ids:
            why = "does not lead to the first message of the tree"
            remedy = "Import the whole table, or set the message aside with --drop."
            yield RowProblem(*row.where, "parent_id", row.value["parent_id"], why, remedy, row.value)


COLUMNS = frozenset({"message_tree_id", "tree_state", "prompt"})
READS: Mapping[RecordKind, frozenset[str]] = dict.fromkeys(("ranking", "demonstration", "prompt"), COLUMNS)
READINGS: Mapping[RecordKind, Converter] = {
    "demonstration": convert_to_demonstrations,
    "prompt": convert_to_prompts,
}

TREES = Format(recognises=recognises_tree, convert=convert, reads=READS, readings=READINGS)
TABLE = Format(recognises=recognises_message, convert=convert, reads=READS, readings=READINGS, gather=gather)
