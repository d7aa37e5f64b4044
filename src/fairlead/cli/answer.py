"""`fairlead answer`: answers for another program, a line of JSON for each; it ends with its standard input.

in    {"messages": [...], "temperature": 0.8, "max_tokens": 256, "seed": 1}
out   {"text": "...", "finished": true}      or {"error": "..."}
"""

import json
import sys
from typing import Any

from fairlead.cli.lookup import ProjectDir, find_model, load_path
from fairlead.cli.sampling_options import Model
from fairlead.core.errors import DataError


def answer(model: Model, project: ProjectDir = None) -> None:
    """Answer conversations that come as lines of JSON; the studio's live chat talks to a model so.

    Example: echo '{"messages": [{"role": "user", "content": "What is 2 + 2?"}]}' | fairlead answer aligned
    """
    reference = load_path(find_model(model, project))

    from fairlead.data.records import Message
    from fairlead.model.policy import load_policy
    from fairlead.rollout.engine import LocalEngine
    from fairlead.rollout.records import Sampling

    policy = load_policy(reference)
    engine = LocalEngine(policy)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        try:
            prompt = policy.encode_prompt(
                tuple(Message(one["role"], one["content"]) for one in asked["messages"])
            )
        except DataError as error:
            _say({"error": str(error)})
            continue
        room = int(asked.get("max_tokens", 256))
        room = room if policy.context is None else min(room, policy.context - len(prompt))
        if room < 1:
            _say({"error": f"the conversation has filled the model's {policy.context} tokens"})
            continue
        settings = Sampling(max_new_tokens=room, temperature=float(asked.get("temperature", 0.8)))
        [made] = engine.sample([prompt], settings, run_seed=int(asked.get("seed", 0)))
        _say({"text": policy.text(made.tokens), "finished": made.finish == "stop"})


def _say(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)
