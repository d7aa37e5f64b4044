"""Find answers that name the model that wrote them ("As Qwen, I …"), because that breaks blinding.

Raters who know the model judge the model.  An answer is marked where its author speaks of itself by name: "I
am Claude", "as an AI developed by OpenAI", "my name is Llama".  An answer about a model, such as one that
explains what ChatGPT is, is not marked.  The answer's own `source` counts as a name too.
"""

import re
from collections.abc import Iterable, Sequence

from fairlead.data.records import Messages

# Names of models and of those who make them.
MODELS = "|".join(
    [
        r"Aya|Bard|Bing Chat|Bloom|Claude|Command R|Copilot|Cohere Command|DeepSeek",
        r"Doubao|ERNIE Bot|Falcon|Gemini|Gemma|GLM|ChatGLM|GPT|ChatGPT|Granite|Grok",
        r"Hermes|InternLM|Jamba|Kimi|LLaMA|Llama|LaMDA|Mistral|Mixtral|Nemotron|Nova|OLMo",
        r"OpenAssistant|Open Assistant|PaLM|Phi|Pi|Qwen|Tongyi Qianwen|Tülu|Tulu|Vicuna",
        r"Yi|Zephyr|通义千问|文心一言|豆包|混元",
    ]
)
MAKERS = "|".join(
    [
        r"AI2|Ai2|Alibaba(?: Cloud)?|Allen Institute for AI|Amazon|Anthropic|Baidu",
        r"ByteDance|Cohere|DeepMind|DeepSeek|Google|IBM|Inflection|Meta(?: AI)?|Microsoft",
        r"Mistral(?: AI)?|Moonshot AI|NVIDIA|OpenAI|Tencent|Zhipu(?: AI)?|xAI|阿里(?:巴巴|云)?",
        r"百度|字节跳动|深度求索|月之暗面|智谱",
    ]
)
MODEL = rf"(?:{MODELS})(?![a-z])(?:[- ]?[\dvV][\w.]*)?"
MAKER = rf"(?:{MAKERS})"
SPEAKER = r"(?:I am|I['’]m|my name is|you can call me|this is|I go by(?: the name)?|call me)"
MADE = r"(?:developed|made|created|built|trained|designed|released|provided|launched)"
KIND = r"(?:an?|the)\s+(?:\w+[- ]){0,3}?(?:AI|assistant|language model|LLM|model|chatbot|bot)\b"
PATTERNS = [
    rf"\b(?:{SPEAKER}|as)\s+(?:an?\s+(?:\w+\s+){{0,2}})?(?-i:{MODEL})",
    rf"\b(?:{SPEAKER}|as)\s+{KIND}[^.!?\n]{{0,60}}?\b(?:{MADE}\s+by|from|called|named)\s+"
    rf"(?-i:{MODEL}|{MAKER})",
    rf"\bI(?: was|['’]ve been| have been| am)\s+{MADE}\s+by\s+(?-i:{MAKER})",
    rf"\b{MAKER}\s+{MADE}\s+me\b",
    rf"\bmy\s+(?:creators?|developers?|makers?)\b[^.!?\n]{{0,20}}?\b(?-i:{MAKER})",
    rf"(?:Ich bin|je suis|soy|sono|sou|ik ben)\s+(?-i:{MODEL})",
    rf"我(?:是|叫)[^。！？\n]{{0,12}}?(?:{MODEL}|{MAKER})",
    rf"我是由(?:{MAKER})",
]
NAMES_ITSELF = re.compile("|".join(PATTERNS), re.IGNORECASE)
LOOKED_AT = 20_000  # characters at the beginning and at the end of an answer
MAX_SHOWN = 120
SHORTEST_SOURCE = 4  # characters of a source that is searched for as a name


def find(answers: Sequence[tuple[Messages, str | None]]) -> str | None:
    """Where an answer names its own model, such as 'answer 2: "As Qwen, I"'; None if no answer does.

    `answers` are messages with their source.
    """
    hits = []
    for number, (messages, source) in enumerate(answers, start=1):
        texts = (message.content for message in messages if message.role == "assistant")
        if quote := _quote(texts, source):
            hits.append(f"answer {number}: \u201c{quote[:MAX_SHOWN]}\u201d")
    return "; ".join(hits) or None


def _quote(texts: Iterable[str], source: str | None) -> str | None:
    own = _own_name(source)
    for text in texts:
        parts = [text] if len(text) <= 2 * LOOKED_AT else [text[:LOOKED_AT], text[-LOOKED_AT:]]
        for part in parts:
            match = NAMES_ITSELF.search(part) or (own.search(part) if own else None)
            if match:
                return " ".join(match[0].split())
    return None


def _own_name(source: str | None) -> re.Pattern[str] | None:
    """A pattern for an answer that speaks of itself by the name of its source."""
    name = re.split(r"[-_ ](?=\d+[bBmM]\b|instruct|chat|it\b)", (source or "").rpartition("/")[2])[0]
    if len(name) < SHORTEST_SOURCE or not name[0].isalpha():
        return None
    return re.compile(rf"\b(?:{SPEAKER}|as)\s+{re.escape(name)}\b", re.IGNORECASE)
