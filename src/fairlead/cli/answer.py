"""`fairlead answer`: answer conversations for another program, one line of JSON each.

in    {"messages": [...], "temperature": 0.8, "max_tokens": 256, "seed": 1}
out   {"text": "...", "finished": true}      or {"error": "..."}
"""

import json
import sys
from typing import Any

from fairlead.cli.lookup import ProjectDir, find_model, load_path
from fairlead.cli.sampling_options import Model, TemplateWords, read_template
from fairlead.core.errors import DataError


def answer(model: Model, template: TemplateWords = None, project: ProjectDir = None) -> None:
    """Answer conversations from standard input, one JSON object per line.  The studio's live chat uses this.

    Example: echo '{"messages": [{"role": "user", "content": "What is 2 + 2?"}]}' | fairlead answer aligned
    """
    reference = load_path(find_model(model, project))

    from fairlead.data.records import message_from_json
    from fairlead.model.policy import load_policy
    from fairlead.rollout.engine import LocalEngine
    from fairlead.rollout.records import SampleRequest, SamplingParams

    policy = load_policy(reference, template=read_template(template, project))
    engine = LocalEngine(policy)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        messages = tuple(message_from_json(message) for message in request["messages"])
        try:
            prompt = policy.encode_prompt(messages)
        except DataError as error:
            _reply({"error": str(error)})
            continue
        max_new_tokens = int(request.get("max_tokens", 256))
        if policy.context is not None:
            max_new_tokens = min(max_new_tokens, policy.context - len(prompt))
        if max_new_tokens < 1:
            _reply({"error": f"the conversation has filled the model's {policy.context} tokens"})
            continue
        params = SamplingParams(
            max_new_tokens=max_new_tokens, temperature=float(request.get("temperature", 0.8))
        )
        [rollout] = engine.sample(
            SampleRequest(prompts=[prompt], params=params, seed=int(request.get("seed", 0)))
        )
        _reply({"text": policy.text(rollout.tokens), "finished": rollout.finished})


def _reply(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)
