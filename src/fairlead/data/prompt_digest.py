"""Normalised digests of prompts: equal for prompts that differ in case, white space or Unicode form only.

System messages are left out, because the same question under another system message is the same question.
Wording is compared, not meaning: a paraphrase has another digest.
"""

import hashlib
import unicodedata

from fairlead.data.records import Demonstration, Messages, Record, prompt_messages

NUM_DIGITS = 16  # 64 bits: with a million prompts, two share a digest with a probability of 3e-8


def prompt_digest(prompt: Messages) -> str | None:
    """The digest of a prompt; None if nothing but system messages and white space is in it."""
    turns = [normalised(message.content) for message in prompt if message.role != "system"]
    if not any(turns):
        return None
    return hashlib.sha256("\x1e".join(turns).encode()).hexdigest()[:NUM_DIGITS]


def normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def trained_prompt_digests(record: Record) -> set[str]:
    """Every prompt whose answer a record trains: one, or one for each trained turn of a conversation."""
    prompts = [prompt_messages(record)]
    if isinstance(record, Demonstration):
        prompts += [
            record.messages[:i]
            for i, message in enumerate(record.messages)
            if message.role == "assistant" and message.trained and i >= record.num_prompt_messages
        ]
    return {digest for prompt in prompts if (digest := prompt_digest(prompt)) is not None}
