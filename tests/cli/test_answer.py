"""`fairlead answer`: one line of JSON per conversation."""

import io
import json
from pathlib import Path

import pytest

from outcome import Cli


def test_answer_takes_a_line_and_gives_a_line(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello, long = (
        {"messages": [{"role": "user", "content": text}], "max_tokens": 4, "temperature": 0}
        for text in ("Hi", "ha " * 300)
    )
    monkeypatch.setattr(
        "sys.stdin", io.StringIO("".join(json.dumps(request) + "\n" for request in (hello, long, hello)))
    )
    result = cli("answer", "sft", "--project", project)
    first, full, again = (json.loads(line) for line in result.out.splitlines())
    assert result.code == 0 and first == again and set(first) == {"text", "finished"}
    assert "filled the model's 256 tokens" in full["error"]
