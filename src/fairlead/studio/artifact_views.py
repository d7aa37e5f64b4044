"""Artifacts as the studio shows them: manifests, model facts and lineage graphs.

`fairlead.store` checks manifests.  This module also limits their size, and follows no link out of the
project.
"""

import json
import math
from collections import deque
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

ROUND_REPORT = "report.html"  # in the project's root
MAX_MANIFEST = 4 << 20  # bytes
MAX_CACHED = 2000  # manifests that are not checked again while their file is unchanged
MAX_HEADER = 8 << 20  # bytes of the list of tensors in a safetensors file
MAX_WEIGHT_FILES = 64
MAX_NODES = 300  # of one graph
MAX_FILES = 500  # listed of one artifact
MAX_TEXT = 100_000  # bytes of a text file that is shown
PAGE_SUFFIXES = (".html",)
TEXT_SUFFIXES = (".md", ".txt")
CONFIG_FACTS = (
    ("Layers", "num_hidden_layers"),
    ("Width", "hidden_size"),
    ("Attention heads", "num_attention_heads"),
    ("Context, tokens", "max_position_embeddings"),
    ("Vocabulary", "vocab_size"),
)

NON_ARTIFACT_PREFIXES = (*OUTSIDE, "campaign:")  # labels of sources that are not artifacts
HIDDEN = "snapshot:of another campaign"

Status = Literal["present", "missing", "outside"]
IsVisible: TypeAlias = Callable[[Artifact], bool]  # whether the viewer may see the artifact


@dataclass(frozen=True)
class Figure:
    """A named number of a manifest."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class ArtifactDetail:
    artifact: Artifact
    figures: list[Figure]
    facts: list[tuple[str, str]]  # of a model, read from its files
    verdict: str | None  # of the admission gate of a reward model
    reasons: list[str]
    files: list[tuple[str, str, int]]  # name, digest, bytes
    pages: list[str]  # HTML reports among the files
    texts: list[tuple[str, str]]  # (name, start of the text) of Markdown and plain text files
    children: list[Artifact]  # artifacts made from this one


@dataclass(frozen=True)
class GraphNode:
    key: str
    label: str
    kind: str  # of an artifact, "file", "hub" or "campaign"
    name: str
    digest: str
    status: Status
    level: int  # steps from the first source


@dataclass(frozen=True)
class GraphEdge:
    parent: str  # keys of nodes
    child: str
    role: str


@dataclass(frozen=True)
class Graph:
    focus: str  # key
    nodes: list[GraphNode]  # sources first
    edges: list[GraphEdge]
    cut: bool  # the whole graph is larger


@dataclass(frozen=True)
class _Source:
    """Something that an artifact was made from."""

    key: str
    label: str
    role: str

    @property
    def is_artifact(self) -> bool:
        return not self.label.startswith(NON_ARTIFACT_PREFIXES)


def everything(artifact: Artifact) -> bool:
    """Visibility for viewers who may see every artifact."""
    return True


def all_artifacts(project: Project, is_visible: IsVisible = everything) -> tuple[list[Artifact], list[str]]:
    """(the visible artifacts, newest first; a message for each artifact that cannot be read)."""
    artifacts = []
    problems = []
    for kind in ARTIFACT_KINDS:
        parent = project.artifacts / kind
        if not parent.is_dir() or parent.is_symlink():
            continue
        for folder in sorted(parent.iterdir()):
            if project_files.is_name(folder.name) and folder.is_dir() and not folder.is_symlink():
                try:
                    artifacts.append(_load(folder))
                except ProjectError as error:
                    problems.append(str(error).replace(f"{project.root}/", ""))
    visible = [artifact for artifact in artifacts if is_visible(artifact)]
    visible.sort(key=lambda artifact: (artifact.manifest.created_at, artifact.label), reverse=True)
    return visible, problems


def get(project: Project, kind: str, name: str, is_visible: IsVisible = everything) -> Artifact:
    """Raises NotFound, or ProjectError for a folder that is not a valid artifact."""
    if kind not in ARTIFACT_KINDS:
        raise NotFound(f"there is no {kind[:40]!r} of that name.")
    artifact = _load(project_files.folder_in(project.artifacts / kind, name))
    if not is_visible(artifact):
        raise NotFound(f"there is no {name!r}.")  # the same message as for a missing artifact
    return artifact


def detail(project: Project, kind: str, name: str, is_visible: IsVisible = everything) -> ArtifactDetail:
    artifact = get(project, kind, name, is_visible)
    manifest = artifact.manifest
    folder = artifact.folder
    names = list(manifest.files)[:MAX_FILES]
    admission = project_files.read_json(folder / "admission.json") or {}
    reasons = [
        text(reason)
        for key in ("reasons", "warnings")
        for reason in (admission.get(key) or [])
        if isinstance(reason, str)
    ]
    children = [
        candidate
        for candidate in all_artifacts(project, is_visible)[0]
        if any(parent.digest == manifest.digest for parent in candidate.manifest.parents)
    ]
    return ArtifactDetail(
        artifact,
        figures=figures(manifest.metrics),
        facts=_model_facts(folder),
        verdict=text(admission.get("verdict")) or None,
        reasons=reasons[:20],
        files=[(name, manifest.files[name], _num_bytes(folder / name)) for name in names],
        pages=[name for name in names if name.endswith(PAGE_SUFFIXES)],
        texts=[(name, _text_start(folder / name)) for name in names if name.endswith(TEXT_SUFFIXES)][:5],
        children=children[:50],
    )


def read_page(
    project: Project, kind: str, name: str, file: str, is_visible: IsVisible = everything
) -> bytes | None:
    """An HTML file that the manifest lists, unchanged.  The caller must serve it in a sandbox."""
    artifact = get(project, kind, name, is_visible)
    if file not in artifact.manifest.files or not file.endswith(PAGE_SUFFIXES):
        return None
    return project_files.read_start(artifact.folder / file, project_files.MAX_PAGE)


def read_round(project: Project) -> bytes | None:
    """The report of the project's round, if there is one."""
    return project_files.read_start(project.root / ROUND_REPORT, project_files.MAX_PAGE)


def has_round(project: Project) -> bool:
    path = project.root / ROUND_REPORT
    return path.is_file() and not path.is_symlink()


def figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """The numbers of a manifest, with their intervals where they have one."""
    result = []
    for name, metric in list(metrics.items())[:60]:
        if name == "job":  # the id of the job that made a snapshot
            continue
        interval = table(metric)
        value = number(interval.get("value")) if interval else number(metric)
        if value is not None:
            low = number(interval.get("low"))
            high = number(interval.get("high"))
            result.append(Figure(text(name), value, low, high, whole(interval.get("n"))))
    return result


# ---------------------------------------------------------------- lineage


def graph(project: Project, kind: str, name: str, is_visible: IsVisible = everything) -> Graph:
    """Everything that an artifact was made from, and everything made from it."""
    focus = get(project, kind, name, is_visible)
    all_present, _ = all_artifacts(project)
    visible = [artifact for artifact in all_present if is_visible(artifact)]
    hidden = {artifact.manifest.digest for artifact in all_present}
    hidden -= {artifact.manifest.digest for artifact in visible}
    by_digest = {artifact.manifest.digest: artifact for artifact in reversed(visible)}
    by_digest[focus.manifest.digest] = focus
    children: dict[str, list[Artifact]] = {}
    for artifact in visible:
        for parent in artifact.manifest.parents:
            children.setdefault(parent.digest, []).append(artifact)

    labels: dict[str, tuple[str, Status]] = {}  # key -> label, status
    ancestors = deque([focus])  # ancestors first: where something comes from matters most
    descendants = deque([focus])
    while (ancestors or descendants) and len(labels) < MAX_NODES:
        if ancestors:
            artifact = ancestors.popleft()
            for source in _sources(artifact):
                parent_artifact = by_digest.get(source.key) if source.is_artifact else None
                if source.key in hidden:
                    labels.setdefault(source.key, (HIDDEN, "outside"))
                elif parent_artifact is None:
                    status: Status = "missing" if source.is_artifact else "outside"
                    labels.setdefault(source.key, (source.label, status))
                elif source.key not in labels:
                    ancestors.append(parent_artifact)
        else:
            artifact = descendants.popleft()
            descendants.extend(
                child
                for child in children.get(artifact.manifest.digest, [])
                if child.manifest.digest not in labels
            )
        labels[artifact.manifest.digest] = (artifact.label, "present")
    edges = [
        GraphEdge(source.key, key, source.role)
        for key, (_, status) in labels.items()
        if status == "present"
        for source in _sources(by_digest[key])
        if source.key in labels
    ]
    levels = _levels(list(labels), edges)
    nodes = [_node(key, label, status, levels[key]) for key, (label, status) in labels.items()]
    return Graph(
        focus=focus.manifest.digest,
        nodes=sorted(nodes, key=lambda node: (node.level, node.label)),
        edges=edges,
        cut=bool(ancestors or descendants),
    )


def _sources(artifact: Artifact) -> list[_Source]:
    """The artifact's parents.  A snapshot also comes from the campaign whose labels it contains."""
    manifest = artifact.manifest
    sources = [_Source(parent.digest, text(parent.name), text(parent.role)) for parent in manifest.parents]
    slug = manifest.config.get("campaign")
    if manifest.kind == "snapshot" and isinstance(slug, str) and project_files.is_name(slug):
        sources.append(_Source(f"campaign:{slug}", f"campaign:{slug}", "labels"))
    return sources


def _levels(keys: Sequence[str], edges: Sequence[GraphEdge]) -> dict[str, int]:
    """The length of the longest path from a source.

    In a cycle, which needs a forged manifest, counting stops.
    """
    levels = dict.fromkeys(keys, 0)
    for _ in keys:
        has_moved = False
        for edge in edges:
            if edge.parent != edge.child and levels[edge.child] <= levels[edge.parent] < len(keys):
                levels[edge.child] = levels[edge.parent] + 1
                has_moved = True
        if not has_moved:
            break
    compact = {level: position for position, level in enumerate(sorted(set(levels.values())))}
    return {key: compact[level] for key, level in levels.items()}


def _node(key: str, label: str, status: Status, level: int) -> GraphNode:
    separator = ":" if label.startswith((*NON_ARTIFACT_PREFIXES, HIDDEN)) else "/"
    kind, _, name = label.partition(separator)
    digest = "" if key == label else brief_digest(key)
    return GraphNode(key, label, kind, name or label, digest, status, level)


# ---------------------------------------------------------------- files


def _load(folder: Path) -> Artifact:
    """Load an artifact.

    A manifest is checked again only when its file has changed: lists are reloaded often.
    """
    try:
        status = (folder / MANIFEST).lstat()
    except OSError:
        return _load_checked(folder, 0, 0, 0)
    return _load_checked(folder, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=MAX_CACHED)
def _load_checked(folder: Path, _inode: int, _size: int, _changed_ns: int) -> Artifact:
    content = project_files.read_start(folder / MANIFEST, MAX_MANIFEST + 1)
    if content is not None and len(content) > MAX_MANIFEST:
        raise ProjectError(
            f"{folder}: the manifest is larger than {MAX_MANIFEST >> 20} MB, so it is not read."
        )
    if content is None:
        raise ProjectError(f"{folder}: not an artifact, because it has no regular file {MANIFEST}.")
    if not project_files.is_text(content):
        raise ProjectError(f"{folder}: the manifest contains half of a surrogate pair, so it is not read.")
    artifact = load_artifact(folder)
    if artifact.label != f"{folder.parent.name}/{folder.name}":
        raise ProjectError(f"{folder}: the manifest belongs to {artifact.label}.")
    return artifact


def _model_facts(folder: Path) -> list[tuple[str, str]]:
    config = project_files.read_json(folder / "config.json") or {}
    adapter = project_files.read_json(folder / "adapter_config.json") or {}
    facts: list[tuple[str, str]] = []
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures:
        facts.append(("Architecture", text(architectures[0])))
    for label, key in CONFIG_FACTS:
        if (value := whole(config.get(key))) is not None:
            facts.append((label, f"{value:,}"))
    if adapter:
        adapter_type = text(adapter.get("peft_type")) or "LoRA"
        rank = text(adapter.get("r")) or "unknown"
        facts.append(("Adapter", f"{adapter_type}, rank {rank}"))
    weights = [_read_header(path) for path in sorted(folder.glob("*.safetensors"))[:MAX_WEIGHT_FILES]]
    if num_parameters := sum(num for num, _ in weights):
        dtypes = sorted({dtype for _, dtypes in weights for dtype in dtypes})
        facts.append(("Parameters in its files", f"{num_parameters:,}"))
        facts.append(("Number format", ", ".join(dtypes)))
    return facts


def _read_header(path: Path) -> tuple[int, set[str]]:
    """(number of parameters, dtypes) according to the header of a safetensors file.  No tensor is read."""
    size = int.from_bytes((project_files.read_start(path, 8) or b"")[:8], "little")
    if not 0 < size <= MAX_HEADER:
        return 0, set()
    try:
        tensors = table(json.loads((project_files.read_start(path, 8 + size) or b"")[8:]))
    except (ValueError, RecursionError):
        return 0, set()
    num_parameters = 0
    dtypes = set()
    for name, tensor in tensors.items():
        shape = table(tensor).get("shape")
        sizes = [whole(size) for size in shape] if isinstance(shape, list) else [None]
        if name != "__metadata__" and all(size is not None and size >= 0 for size in sizes):
            num_parameters += math.prod(size or 0 for size in sizes[:8])
            dtypes.add(text(table(tensor).get("dtype"))[:12])
    return num_parameters, dtypes


def _num_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _text_start(path: Path) -> str:
    return (project_files.read_start(path, MAX_TEXT) or b"").decode("utf-8", "replace")
