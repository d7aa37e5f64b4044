"""Drawings for the studio's pages, as SVG without scripts and styles: columns over time, and the graph of a lineage.

Every text that comes in is untrusted and escaped here.  Colours and type are in watch.css.
"""

from collections.abc import Sequence

from markupsafe import Markup

from fairlead.report import scale, text
from fairlead.studio.shelf import Graph, GraphNode

COLUMNS_HEIGHT = 132
BASE = 108  # of the columns, above their labels
NODE_WIDTH, NODE_HEIGHT = 196, 58
GAP_X, GAP_Y, EDGE = 64, 18, 10
LONGEST = 25  # characters of a name in a node


def columns(values: Sequence[tuple[str, int]], *, title: str, labels_every: int) -> Markup:
    """A column per (label, count), in percentages of the width, so that text keeps its size on a phone."""
    most = max((count for _, count in values), default=0)
    ticks = [tick for tick in scale.ticks(0, max(most, 4), about=3, outside=True) if float(tick).is_integer()]
    top = max(ticks[-1], 1)
    parts = []
    for tick in ticks:
        y = BASE - (BASE - 14) * tick / top
        parts.append(
            Markup('<line class="gridline" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/><text x="0" y="{up:.1f}">{label}</text>').format(
                y=y, up=y - 3, label=f"{tick:,.0f}" if tick else ""
            )
        )
    width = 100 / max(len(values), 1)
    for place, (label, count) in enumerate(values):
        height = (BASE - 14) * count / top
        parts.append(
            Markup(
                '<g><title>{label}: {count}</title><rect class="hit" x="{x:.3f}%" y="0" width="{w:.3f}%" height="{base}"/>'
                '<rect class="fill" x="{bx:.3f}%" y="{y:.1f}" width="{bw:.3f}%" height="{h:.1f}" rx="1.5"/></g>'
            ).format(
                label=text.visible(label), count=text.count(count, "judgement"), x=place * width, w=width, base=BASE,
                bx=(place + 0.14) * width, y=BASE - height, bw=0.72 * width, h=height,
            )
        )  # fmt: skip
        if (len(values) - 1 - place) % labels_every == 0:
            last = place == len(values) - 1
            parts.append(
                Markup('<text x="{x:.3f}%" y="{y}" text-anchor="{anchor}">{label}</text>').format(
                    x=100 if last else (place + 0.5) * width, y=BASE + 17, anchor="end" if last else "middle", label=text.visible(label)
                )
            )
    said = ", ".join(f"{label} {count}" for label, count in values if count) or "none"
    return Markup('<svg class="columns" width="100%" height="{}" role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
        COLUMNS_HEIGHT, title, text.visible(said), Markup("").join(parts)
    )


def lineage(graph: Graph) -> Markup:
    """Sources on the left, what was made from them to the right; each artifact is a link."""
    place = _places(graph)
    width = (max(x for x, _ in place.values()) + 1) * (NODE_WIDTH + GAP_X) - GAP_X + 2 * EDGE
    height = (max(y for _, y in place.values()) + 1) * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE
    at = {key: (EDGE + x * (NODE_WIDTH + GAP_X), EDGE + y * (NODE_HEIGHT + GAP_Y)) for key, (x, y) in place.items()}
    parts = []
    for edge in graph.edges:
        (x1, y1), (x2, y2) = at[edge.parent], at[edge.child]
        x1, y1, y2 = x1 + NODE_WIDTH, y1 + NODE_HEIGHT / 2, y2 + NODE_HEIGHT / 2
        bend = max(30.0, (x2 - x1) / 2)
        tone = " near" if graph.focus in (edge.parent, edge.child) else ""
        parts.append(
            Markup('<path class="edge{}" d="M{:.0f} {:.1f} C{:.0f} {:.1f} {:.0f} {:.1f} {:.0f} {:.1f}"/>').format(
                tone, x1, y1, x1 + bend, y1, x2 - bend, y2, x2 - 1, y2
            )
        )
    parts += [_node(node, *at[node.key], focus=node.key == graph.focus) for node in graph.nodes]
    return Markup(
        '<svg class="lineage" width="{w:.0f}" height="{h:.0f}" viewBox="0 0 {w:.0f} {h:.0f}" role="group" aria-label="{l}">{p}</svg>'
    ).format(
        w=width, h=height, l="Lineage, from sources on the left to what was made from them", p=Markup("").join(parts)
    )  # fmt: skip


def href(node: GraphNode) -> str | None:
    """The page of a node, where it has one."""
    if node.kind == "campaign":
        return f"/c/{node.name}"
    return f"/lineage/{node.kind}/{node.name}" if node.status == "present" else None


def _node(node: GraphNode, x: float, y: float, *, focus: bool) -> Markup:
    under = {"present": node.digest, "missing": f"{node.digest} · missing", "outside": "from outside"}[node.status]
    if node.kind == "campaign":
        under = "labels given in this studio"
    body = Markup(
        '<g class="node {status} k-{kind}{focus}"><title>{label}</title><rect x="{x:.0f}" y="{y:.0f}" width="{w}" height="{h}" rx="9"/>'
        '<rect class="mark" x="{x:.0f}" y="{my:.0f}" width="4" height="{mh}" rx="2"/>'
        '<text class="kind" x="{tx:.0f}" y="{y1:.0f}">{kind}</text><text class="name" x="{tx:.0f}" y="{y2:.0f}">{name}</text>'
        '<text class="digest" x="{tx:.0f}" y="{y3:.0f}">{under}</text></g>'
    ).format(
        status=node.status, kind=text.visible(node.kind), focus=" focus" if focus else "", label=text.visible(node.label), x=x, y=y,
        w=NODE_WIDTH, h=NODE_HEIGHT, my=y + 10, mh=NODE_HEIGHT - 20, tx=x + 14, y1=y + 18, y2=y + 34, y3=y + 49,
        name=_cut(text.visible(node.name)), under=under,
    )  # fmt: skip
    to = href(node)
    if to is None or focus:
        return body
    return Markup('<a href="{}" aria-label="{}">{}</a>').format(to, text.visible(node.label), body)


def _places(graph: Graph) -> dict[str, tuple[int, float]]:
    """Column and row of each node: in a column, near the middle of what it is connected with."""
    by_level: dict[int, list[str]] = {}
    for node in graph.nodes:
        by_level.setdefault(node.level, []).append(node.key)
    row = {key: float(k) for keys in by_level.values() for k, key in enumerate(keys)}
    near: dict[str, list[str]] = {}
    for edge in graph.edges:
        near.setdefault(edge.child, []).append(edge.parent)
        near.setdefault(edge.parent, []).append(edge.child)
    for _ in range(4):
        for keys in by_level.values():
            wanted = {key: sum(row[one] for one in near[key]) / len(near[key]) if near.get(key) else row[key] for key in keys}
            keys.sort(key=lambda key: wanted[key])
            middle = sum(wanted.values()) / len(keys)
            for k, key in enumerate(keys):
                row[key] = middle + k - (len(keys) - 1) / 2
    lowest = min(row.values())
    return {key: (level, row[key] - lowest) for level, keys in by_level.items() for key in keys}


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
