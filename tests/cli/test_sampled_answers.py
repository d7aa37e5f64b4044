"""Names of sampled answers."""

import json
from pathlib import Path

from fairlead.data.sampled_answers import read_sampled_answers
from outcome import Cli


def test_sample_of_changed_prompts_gets_a_name_of_its_own(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    names = []
    for text in ("One?", "Two?"):
        prompts.write_text(
            json.dumps({"prompt": [{"role": "user", "content": text}]}) + "\n", encoding="utf-8"
        )
        result = cli(
            "sample",
            "base",
            "--prompts",
            prompts,
            "--max-new-tokens",
            "2",
            "--out",
            out,
            "--project",
            project,
            "--json",
        )
        names.append(result.json["artifact"])
    assert names[0] != names[1]
    assert read_sampled_answers(out)[0].prompt[0].content == "Two?"
