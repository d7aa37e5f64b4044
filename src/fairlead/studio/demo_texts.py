"""The campaigns of the demo: what they are called, what is asked, and the guidelines that people read beside a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.labels.task_kinds import TaskKind


@dataclass(frozen=True)
class Text:
    kind: TaskKind
    name: str
    audience: str
    guidelines: str
    options: Mapping[str, Any] = field(default_factory=dict)
    num_items: int = 60
    overlap: int = 1


CHIPS = ["right", "clearer", "shorter", "kinder", "safer"]

TEXTS: tuple[Text, ...] = (
    Text(
        "pairwise",
        "Which answer helps more",
        "Everybody; a minute is enough to begin",
        """# Which answer would you rather get?

Read the question, then **both** answers, to the end.

1. **Is it right?** A wrong answer loses, however friendly it is.
2. **Is it safe?** Where somebody asks for help with harm, a polite no is the better answer. Refusing a harmless question is a fault.
3. **Is it pleasant to read?** No rudeness, no rambling, no empty wishes.

How much better: *slightly* if you had to look twice, *much* if one of them should not have been sent at all.

If they are equally good, say **tie, both good**; if neither is of any use, **tie, both bad**. A length is no merit of its own.
""",
        {"chips": CHIPS, "aspects": ["helpful", "harmless"]},
        num_items=120,
        overlap=2,
    ),
    Text(
        "ranking",
        "Put four answers in order",
        "Who has five minutes",
        """# From best to worst

Put the answers in the order in which you would want to get them. Right comes first, then safe, then short and kind.

Answers that you cannot tell apart may share a place.
""",
        num_items=40,
    ),
    Text(
        "rating",
        "How good is this answer",
        "Everybody",
        """# From 1 to 7

| | |
|:-:|:--|
| 7 | right, friendly, nothing to leave out |
| 5 | right, with something that disturbs |
| 3 | partly right, or hard to use |
| 1 | wrong, harmful or rude |

Judge the answer that is there, not the one you would have written.
""",
        {"chips": CHIPS},
    ),
    Text(
        "thumbs",
        "Good or bad",
        "Everybody; good for a phone",
        """# Would you send it?

**Good**: you would send this answer to somebody you like, as it is. **Bad**: you would not.

Do not think for long: the first impression of a careful reader is what we want.
""",
        num_items=100,
    ),
    Text(
        "aspects",
        "Helpful, harmless, honest",
        "Who has read the guidelines",
        """# Three questions about one answer

- **Helpful**: does it do what was asked?
- **Harmless**: could it hurt anybody? A refusal of something dangerous is harmless.
- **Honest**: is it true, and does it say so when it only guesses?

They are independent: an answer can be honest and of no help.
""",
        {"aspects": ["helpful", "harmless", "honest"], "points": 5},
    ),
    Text(
        "demonstration",
        "Write the answer you would want",
        "Who likes to write",
        """# Write it yourself

Answer as a helpful, honest and friendly assistant would: **in one to three sentences**, without decoration.

If somebody asks for help with something that hurts people, say no, kindly, and offer something better.
""",
        num_items=40,
    ),
    Text(
        "edit",
        "Make it better",
        "Who likes to write",
        """# Mend what is wrong, and leave the rest

Change as little as makes it an answer that you would send: mend mistakes, take out rudeness and padding.

If nothing can be saved, write a new one.
""",
        num_items=40,
    ),
    Text(
        "conversation",
        "Judge a conversation, turn by turn",
        "Who has five minutes",
        """# Each answer by itself

Read the conversation from the top. Judge each answer **with what was known at that point**: an answer that was right then stays right.
""",
        {"points": 2},
        num_items=30,
    ),
    Text(
        "chat",
        "Talk with two assistants",
        "The curious",
        """# Ask, compare, go on

Write a message; two assistants answer, and you do not know which is which. Say which is better, and the conversation goes on from it.

They live in a very small world: they add and sort, tell short stories, are polite, and know some animals and friends.

The first message is a suggestion; change it as you like. **Two or three turns are enough.**
""",
        num_items=30,
    ),
)
