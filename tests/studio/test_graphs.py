"""SVG graphics: lineage graphs and column charts."""

from fairlead.store.project import Project
from fairlead.studio import artifact_views, graphs
from studio.projects import make_artifact


def test_no_two_nodes_of_a_graph_overlap(home: Project) -> None:
    sources = [make_artifact(home, "dataset", f"d{k}") for k in range(4)]
    middle = [make_artifact(home, "model", f"m{k}", *sources[: k + 1]) for k in range(3)]
    make_artifact(home, "evaluation", "all", *sources, *middle)
    found = artifact_views.graph(home, "evaluation", "all")
    levels = {node.key: node.level for node in found.nodes}
    middles = graphs._centres(found)
    for level in set(levels.values()):
        heights = sorted(y for (key, at), y in middles.items() if at == level and key in levels)
        assert all(
            below - above >= graphs.NODE_HEIGHT for above, below in zip(heights, heights[1:], strict=False)
        )
    assert min(middles.values()) >= graphs.MARGIN
