"""Artifacts as people look at them: what a manifest says, what a model is, and what an artifact was made from and into.

Manifests are checked by `store`; here they are also kept from being too large, and nothing is followed out of the project.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fairlead.core.errors import ProjectError
from fairlead.labels.errors import NotFound
from fairlead.store.artifact import MANIFEST, Artifact, brief_digest, load_artifact
from fairlead.store.lineage import OUTSIDE
from fairlead.store.project import ARTIFACT_KINDS, Project
from fairlead.studio import project_files
from fairlead.studio.project_files import number, table, text, whole

ROUND = "report.html"  # of the whole project, at its root
MOST_MANIFEST = 4 << 20
MOST_KEPT = 2000  # manifests that need not be checked again
MOST_HEADER = 8 << 20  # bytes of the list of tensors in a file of weights
MOST_NODES = 300  # of one graph
MOST_FILES = 500  # that are listed
PAGES = (".html",)
TEXTS = (".md", ".txt")

ELSEWHERE = (*OUTSIDE, "campaign:")  # how the name of something begins that is no artifact
HIDDEN = "snapshot:of another campaign"

Status = Literal["present", "missing", "outside"]
Sees: TypeAlias = Callable[[Artifact], bool]  # whether who asks may see it


@dataclass(frozen=True)
class Figure:
    """A number with its name, as a manifest has it."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class ArtifactDetail:
    artifact: Artifact
    figures: list[Figure]
    facts: list[tuple[str, str]]  # of a model, from its own files
    verdict: str | None  # of a reward model that was examined
    reasons: list[str]
    files: list[tuple[str, str, int]]  # name, digest, bytes
    pages: list[str]  # HTML reports among the files
    texts: list[tuple[str, str]]  # Markdown and plain texts among them, from their beginning
    made: list[Artifact]  # what was made from it


@dataclass(frozen=True)
class GraphNode:
    key: str
    label: str
    kind: str  # of an artifact, "file", "hub" or "campaign"
    name: str
    digest: str
    status: Status
    level: int  # how many steps from the first source


@dataclass(frozen=True)
class GraphEdge:
    parent: str  # keys
    child: str
    role: str


@dataclass(frozen=True)
class Graph:
    focus: str  # key
    nodes: list[GraphNode]  # sources first
    edges: list[GraphEdge]
    cut: bool  # there is more than is shown


def everything(artifact: Artifact) -> bool:
    """The eyes of who may see all."""
    return True


def all_artifacts(project: Project, sees: Sees = everything) -> tuple[list[Artifact], list[str]]:
    """Every artifact that can be read, the newest first, and one sentence for each that cannot."""
    found, problems = [], []
    for kind in ARTIFACT_KINDS:
        parent = project.artifacts / kind
        for folder in sorted(parent.iterdir()) if parent.is_dir() and not parent.is_symlink() else []:
            if project_files.is_name(folder.name) and folder.is_dir() and not folder.is_symlink():
                try:
                    found.append(_load(folder))
                except ProjectError as error:
                    problems.append(str(error).replace(f"{project.root}/", ""))
    return sorted(
        filter(sees, found), key=lambda one: (one.manifest.created_at, one.label), reverse=True
    ), problems


def get(project: Project, kind: str, name: str, sees: Sees = everything) -> Artifact:
    """Raises NotFound, or ProjectError for a folder that is no artifact."""
    if kind not in ARTIFACT_KINDS:
        raise NotFound(f"there is no {kind[:40]!r} of that name.")
    found = _load(project_files.folder_in(project.artifacts / kind, name))
    if not sees(found):
        raise NotFound(f"there is no {name!r}.")  # as for one that is not there
    return found


def detail(project: Project, kind: str, name: str, sees: Sees = everything) -> ArtifactDetail:
    artifact = get(project, kind, name, sees)
    manifest = artifact.manifest
    names = list(manifest.files)[:MOST_FILES]
    admission = project_files.read_json(artifact.folder / "admission.json") or {}
    reasons = [
        text(one)
        for key in ("reasons", "warnings")
        for one in (admission.get(key) or [])
        if isinstance(one, str)
    ]
    children = [
        one
        for one in all_artifacts(project, sees)[0]
        if any(parent.digest == manifest.digest for parent in one.manifest.parents)
    ]
    return ArtifactDetail(
        artifact,
        figures=figures(manifest.metrics),
        facts=_facts(artifact.folder),
        verdict=text(admission.get("verdict")) or None,
        reasons=reasons[:20],
        files=[(name, manifest.files[name], _size(artifact.folder / name)) for name in names],
        pages=[name for name in names if name.endswith(PAGES)],
        texts=[(name, _start(artifact.folder / name)) for name in names if name.endswith(TEXTS)][:5],
        made=children[:50],
    )


def read_page(project: Project, kind: str, name: str, file: str, sees: Sees = everything) -> bytes | None:
    """An HTML file that the manifest names, as it is: whoever serves it has to lock it up."""
    artifact = get(project, kind, name, sees)
    if file not in artifact.manifest.files or not file.endswith(PAGES):
        return None
    return project_files.read_start(artifact.folder / file, project_files.MOST_PAGE)


def read_round(project: Project) -> bytes | None:
    """The report of a whole round at the project's root, where there is one."""
    return project_files.read_start(project.root / ROUND, project_files.MOST_PAGE)


def has_round(project: Project) -> bool:
    path = project.root / ROUND
    return path.is_file() and not path.is_symlink()


def figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """The numbers of a manifest, with intervals where it has them."""
    found = []
    for name, value in list(metrics.items())[:60]:
        if name == "job":  # which job made a snapshot is no figure
            continue
        inner = table(value)
        shown = number(inner.get("value")) if inner else number(value)
        if shown is not None:
            found.append(
                Figure(
                    text(name),
                    shown,
                    number(inner.get("low")),
                    number(inner.get("high")),
                    whole(inner.get("n")),
                )
            )
    return found


def graph(project: Project, kind: str, name: str, sees: Sees = everything) -> Graph:
    """All that an artifact was made from, and all that was made from it."""
    focus = get(project, kind, name, sees)
    there, _ = all_artifacts(project)
    present = [one for one in there if sees(one)]
    hidden = {one.manifest.digest for one in there} - {one.manifest.digest for one in present}
    by_digest: dict[str, Artifact] = {one.manifest.digest: one for one in reversed(present)}
    by_digest[focus.manifest.digest] = focus
    children: dict[str, list[Artifact]] = {}
    for one in present:
        for parent in one.manifest.parents:
            children.setdefault(parent.digest, []).append(one)

    found: dict[str, tuple[str, Status]] = {}  # key -> label, status
    above, below = [focus], [focus]
    while (above or below) and len(found) < MOST_NODES:
        one = (above or below)[0]
        if above:
            above.pop(0)
            for source, label, _ in _sources(one):
                known = None if label.startswith(ELSEWHERE) else by_digest.get(source)
                if source in hidden:
                    found.setdefault(source, (HIDDEN, "outside"))
                elif known is None:
                    found.setdefault(source, (label, "outside" if label.startswith(ELSEWHERE) else "missing"))
                elif source not in found:
                    above.append(known)
        else:
            below.pop(0)
            below += [
                child for child in children.get(one.manifest.digest, []) if child.manifest.digest not in found
            ]
        found[one.manifest.digest] = (one.label, "present")
    edges = [
        GraphEdge(source, key, role)
        for key, (_, status) in found.items()
        if status == "present"
        for source, _, role in _sources(by_digest[key])
        if source in found
    ]
    levels = _levels(list(found), edges)
    nodes = [_node(key, *about, levels[key]) for key, about in found.items()]
    return Graph(
        focus.manifest.digest,
        sorted(nodes, key=lambda node: (node.level, node.label)),
        edges,
        bool(above or below),
    )


def _sources(artifact: Artifact) -> list[tuple[str, str, str]]:
    """(key, label, role) of what it was made from; a snapshot also comes from the campaign in which its labels were given."""
    sources = [(parent.digest, text(parent.name), text(parent.role)) for parent in artifact.manifest.parents]
    slug = artifact.manifest.config.get("campaign")
    if artifact.manifest.kind == "snapshot" and isinstance(slug, str) and project_files.is_name(slug):
        sources.append((f"campaign:{slug}", f"campaign:{slug}", "labels"))
    return sources


def _levels(keys: Sequence[str], edges: Sequence[GraphEdge]) -> dict[str, int]:
    """The longest way from a source.  A circle, which only a forged manifest has, ends where everything has been counted."""
    levels = dict.fromkeys(keys, 0)
    for _ in keys:
        moved = False
        for edge in edges:
            if edge.parent != edge.child and levels[edge.child] <= levels[edge.parent] < len(keys):
                levels[edge.child] = levels[edge.parent] + 1
                moved = True
        if not moved:
            break
    used = {level: place for place, level in enumerate(sorted(set(levels.values())))}
    return {key: used[level] for key, level in levels.items()}


def _node(key: str, label: str, status: Status, level: int) -> GraphNode:
    kind, _, name = label.partition(":" if label.startswith((*ELSEWHERE, HIDDEN)) else "/")
    return GraphNode(
        key, label, kind, name or label, "" if key == label else brief_digest(key), status, level
    )


def _load(folder: Path) -> Artifact:
    """Lists are asked for every few seconds; a manifest is checked again only when it has changed."""
    try:
        about = (folder / MANIFEST).lstat()
    except OSError:
        return _checked(folder, 0, 0, 0)
    return _checked(folder, about.st_ino, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=MOST_KEPT)
def _checked(folder: Path, _number: int, _size: int, _changed_ns: int) -> Artifact:
    content = project_files.read_start(folder / MANIFEST, MOST_MANIFEST + 1)
    if content is not None and len(content) > MOST_MANIFEST:
        raise ProjectError(
            f"{folder}: its manifest is larger than {MOST_MANIFEST >> 20} MB, so it is not read."
        )
    if content is None:
        raise ProjectError(f"{folder}: is no artifact (it has no plain file {MANIFEST}).")
    if not project_files.is_text(content):
        raise ProjectError(f"{folder}: its manifest holds half a character, so it is not read.")
    artifact = load_artifact(folder)
    if artifact.label != f"{folder.parent.name}/{folder.name}":
        raise ProjectError(f"{folder}: the manifest says that this is {artifact.label}.")
    return artifact


def _facts(folder: Path) -> list[tuple[str, str]]:
    config, adapter = (
        project_files.read_json(folder / "config.json") or {},
        project_files.read_json(folder / "adapter_config.json") or {},
    )
    facts: list[tuple[str, str]] = []
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures:
        facts.append(("Architecture", text(architectures[0])))
    for label, key in (
        ("Layers", "num_hidden_layers"),
        ("Width", "hidden_size"),
        ("Attention heads", "num_attention_heads"),
        ("Context, tokens", "max_position_embeddings"),
        ("Vocabulary", "vocab_size"),
    ):
        if (found := whole(config.get(key))) is not None:
            facts.append((label, f"{found:,}"))
    if adapter:
        facts.append(
            (
                "Adapter",
                f"{text(adapter.get('peft_type')) or 'LoRA'}, rank {text(adapter.get('r')) or 'unknown'}",
            )
        )
    weights = [_weights(path) for path in sorted(folder.glob("*.safetensors"))[:64]]
    if total := sum(count for count, _ in weights):
        facts.append(("Parameters in its files", f"{total:,}"))
        facts.append(("Number format", ", ".join(sorted({kind for _, kinds in weights for kind in kinds}))))
    return facts


def _weights(path: Path) -> tuple[int, set[str]]:
    """How many numbers a safetensors file says it holds, and of which formats: its list of tensors, none of them read."""
    size = int.from_bytes((project_files.read_start(path, 8) or b"")[:8], "little")
    if not 0 < size <= MOST_HEADER:
        return 0, set()
    try:
        tensors = table(json.loads((project_files.read_start(path, 8 + size) or b"")[8:]))
    except (ValueError, RecursionError):
        return 0, set()
    total, kinds = 0, set()
    for name, about in tensors.items():
        shape = table(about).get("shape")
        sides = [whole(side) for side in shape] if isinstance(shape, list) else [None]
        if name != "__metadata__" and all(side is not None and side >= 0 for side in sides):
            total += math.prod(side or 0 for side in sides[:8])
            kinds.add(text(table(about).get("dtype"))[:12])
    return total, kinds


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _start(path: Path) -> str:
    return (project_files.read_start(path, 100_000) or b"").decode("utf-8", "replace")
