"""Counts what makes code and prose hard to read: vague names, long sentences, long lines, repetition.

`test_style.py` holds these counts at zero.  As a command it lists what is left below the given paths:

    python tests/arch/style.py src/fairlead/labels docs/guides/running-a-studio.md
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

VAGUE = frozenset({"one", "found", "made", "said", "asked"})  # names that do not say what they hold
LONGEST_LINE = 110
LONGEST_SENTENCE = 35  # words
MOST_PARAMETERS = 8
REPEATED = 3  # recipes that share a line
SHORTEST = 20  # characters of a line that counts as repeated
PARTS = re.compile(r"(?<=[.!?:])\s+|\n\s*\n|\n\s*[-*] |\n\s*\d+\. ")
WORD = re.compile(r"[\w'’-]+")


def vague_names(path: Path) -> list[str]:
    """`file:line: name` of every vague name in a Python or JavaScript file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        names = [
            (token.start[0], token.string)
            for token in tokens
            if token.type == tokenize.NAME
            and token.string in VAGUE
            # `Result.one()` is a method of SQLAlchemy
            and token.line[token.start[1] - 1 : token.end[1] + 1] != ".one("
        ]
    else:
        pattern = re.compile(r"(?:const|let|var|function) (\w+)\b|[(,]\s*(\w+)(?=[^()]*\)\s*=>)|\b(\w+) =>")
        names = [
            (number, name)
            for number, line in enumerate(_without_comments(text).splitlines(), start=1)
            for match in pattern.finditer(line)
            for name in match.groups()
            if name in VAGUE
        ]
    return [f"{path}:{line}: {name}" for line, name in names]


def long_lines(path: Path) -> list[str]:
    """Lines over the limit; a table row, a link and a heading of Markdown cannot be broken."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".md":
        lines = ["" if re.match(r"\s*(\||#|\[|!\[)", line) or "](http" in line else line for line in lines]
    return [f"{path}:{n}: {len(line)}" for n, line in enumerate(lines, start=1) if len(line) > LONGEST_LINE]


def long_sentences(path: Path) -> list[str]:
    sentences = (sentence for text in prose(path) for sentence in PARTS.split(text))
    return [
        f"{path}: {count} words: {' '.join(sentence.split())[:90]}"
        for sentence in sentences
        if (count := len(WORD.findall(_plain(sentence)))) > LONGEST_SENTENCE
    ]


def long_signatures(path: Path) -> list[str]:
    """Functions with too many parameters.  Routes and commands are left out: each parameter is an input."""
    return [
        f"{path}:{node.lineno}: {node.name}: {count}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(re.match(r"(router|app|\w+_app)\.", ast.unparse(d)) for d in node.decorator_list)
        and not (path.parent.name == "cli" and not node.name.startswith("_"))
        and (count := _num_parameters(node)) > MOST_PARAMETERS
    ]


def repeated_lines(paths: list[Path]) -> list[str]:
    """Every line, imports aside, that stands word for word in three or more of the files."""
    lines = {
        path: [
            text
            for line in path.read_text(encoding="utf-8").splitlines()
            if len(text := line.strip()) >= SHORTEST and not re.match(r"(from|import) ", text)
        ]
        for path in paths
    }
    spread = Counter(text for texts in lines.values() for text in set(texts))
    return [text for texts in lines.values() for text in texts if spread[text] >= REPEATED]


def own_modules(path: Path) -> set[str]:
    """The modules of Fairlead that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fairlead"):
            base = str(node.module)
            is_package = base.count(".") == 1
            modules |= {f"{base}.{alias.name}" for alias in node.names} if is_package else {base}
    return modules


def prose(path: Path) -> Iterator[str]:
    """The texts of a file that people read."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _python_prose(text)
    elif path.suffix == ".md":
        yield from _markdown_prose(text)
    elif path.suffix == ".html":
        yield from _html_prose(text)
    else:
        yield from (
            match[0].strip("/* \n")
            for match in re.finditer(r"/\*.*?\*/|(?:(?<=\n)\s*//[^\n]*\n)+", text, re.DOTALL)
        )


def _python_prose(text: str) -> Iterator[str]:
    comments: list[str] = []
    previous = -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            trailing = token.line[: token.start[1]].strip() != ""  # a field's comment stands by itself
            if trailing or token.start[0] != previous + 1:
                yield " ".join(comments)
                comments = []
            comments.append(token.string.lstrip("# "))
            previous = token.start[0]
    yield " ".join(comments)
    module = ast.parse(text)
    inside = {
        id(part) for node in ast.walk(module) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            if "</" in node.value:  # markup, not prose
                continue
            yield from _paragraphs(node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values)


def _paragraphs(text: str) -> Iterator[str]:
    """Indented lines and lines with columns stand by themselves: they are examples and tables."""
    lines: list[str] = []
    for line in text.split("\n"):
        if re.search(r"\S {3,}\S", line) or re.match(r"\s{8,}", line):
            yield "\n".join(lines)
            lines = []
            yield line
        else:
            lines.append(line)
    yield "\n".join(lines)


def _markdown_prose(text: str) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for block in re.split(r"\n\s*\n", text):
        for line in block.splitlines():
            if line.lstrip().startswith("|"):
                yield from line.split("|")
        rest = [line for line in block.splitlines() if not line.lstrip().startswith(("|", "#"))]
        yield "\n".join(rest)


def _html_prose(text: str) -> Iterator[str]:
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(
        re.sub(
            r"\{%.*?%\}|\{#.*?#\}", ". ", re.sub(r"\{\{.*?\}\}", "X", text, flags=re.DOTALL), flags=re.DOTALL
        )
    )
    yield from texts


def _plain(sentence: str) -> str:
    sentence = re.sub(r"``?[^`]+``?", "X", sentence)
    return re.sub(r"\]\([^)]*\)|https?://\S+", "", sentence)


def _without_comments(text: str) -> str:
    return re.sub(
        r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), re.sub(r"//[^\n]*", "", text), flags=re.DOTALL
    )


def _num_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def files(roots: list[Path], *suffixes: str) -> list[Path]:
    below = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return sorted(
        {p for p in below if p.suffix in suffixes and not {"vendor", "results", "__pycache__"} & set(p.parts)}
    )


def main(roots: list[Path]) -> None:
    checks = (
        (vague_names, (".py", ".js")),
        (long_lines, (".py", ".js", ".css", ".md")),
        (long_signatures, (".py",)),
        (long_sentences, (".py", ".js", ".md", ".html")),
    )
    for check, suffixes in checks:
        lines = [line for path in files(roots, *suffixes) for line in check(path)]
        print(f"== {check.__name__}: {len(lines)}", *lines, sep="\n")


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]] or [Path("src"), Path("docs"), Path("README.md")])
