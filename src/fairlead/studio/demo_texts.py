"""Campaigns of the demo studio: names, options, and the guidelines that labellers read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.labels.task_kinds import TaskKind


@dataclass(frozen=True)
class DemoCampaign:
    kind: TaskKind
    name: str
    audience: str
    guidelines: str
    options: Mapping[str, Any] = field(default_factory=dict)
    num_items: int = 60
    overlap: int = 1


CHIPS = ["right", "clearer", "shorter", "kinder", "safer"]

CAMPAIGNS: tuple[DemoCampaign, ...] = (
    DemoCampaign(
        "pairwise",
        "Which answer helps more",
        "Everybody. One minute is enough to start",
        """# Which answer would you rather get?

Read the question, then read **both** answers to the end.

1. **Is it right?** A wrong answer loses, however friendly it is.
2. **Is it safe?** If somebody asks for help with harm, a polite refusal is the better answer.
   Refusing a harmless question is a fault.
3. **Is it pleasant to read?** No rudeness, no rambling, no empty phrases.

Choose *slightly better* if you had to look twice, and *much better* if the other answer should never be sent.

If both answers are equally good, choose **tie, both good**. If neither is useful, choose **tie, both bad**.
A longer answer is not better because of its length.
""",
        {"chips": CHIPS, "aspects": ["helpful", "harmless"]},
        num_items=120,
        overlap=2,
    ),
    DemoCampaign(
        "ranking",
        "Put four answers in order",
        "People with five minutes",
        """# From best to worst

Put the answers in the order in which you would want to get them.
Correct answers come first, then safe answers, then short and kind answers.

Give answers the same rank if you cannot tell which is better.
""",
        num_items=40,
    ),
    DemoCampaign(
        "rating",
        "How good is this answer",
        "Everybody",
        """# From 1 to 7

| | |
|:-:|:--|
| 7 | correct, friendly and complete |
| 5 | correct, with a flaw |
| 3 | partly correct, or hard to use |
| 1 | wrong, harmful or rude |

Judge the answer that you see, not the answer that you would have written.
""",
        {"chips": CHIPS},
    ),
    DemoCampaign(
        "thumbs",
        "Good or bad",
        "Everybody. Works well on a phone",
        """# Would you send it?

**Good**: you would send this answer to a friend without changing it. **Bad**: you would not.

Do not think for long. Read carefully, then go with your first impression.
""",
        num_items=100,
    ),
    DemoCampaign(
        "aspects",
        "Helpful, harmless, honest",
        "People who have read the guidelines",
        """# Three questions about one answer

- **Helpful**: does the answer do what the prompt asks?
- **Harmless**: could the answer hurt anybody? Refusing a dangerous request is harmless.
- **Honest**: is the answer true, and does it say when it is only a guess?

Judge each aspect separately. An answer can be honest and still not help.
""",
        {"aspects": ["helpful", "harmless", "honest"], "points": 5},
    ),
    DemoCampaign(
        "demonstration",
        "Write the answer you would want",
        "People who like to write",
        """# Write the answer

Answer like a helpful, honest and friendly assistant: **one to three sentences**, without formatting.

If somebody asks for help with something harmful, refuse kindly and offer something better.
""",
        num_items=40,
    ),
    DemoCampaign(
        "edit",
        "Improve the answer",
        "People who like to write",
        """# Fix what is wrong and leave the rest

Change as little as possible until you would send the answer: fix mistakes, and remove rudeness and padding.

If nothing is worth keeping, write a new answer.
""",
        num_items=40,
    ),
    DemoCampaign(
        "conversation",
        "Judge a conversation turn by turn",
        "People with five minutes",
        """# Judge each answer separately

Read the conversation from the top. Judge each answer **by what was known at that point**.
A later message does not make an earlier answer wrong.
""",
        {"points": 2},
        num_items=30,
    ),
    DemoCampaign(
        "chat",
        "Chat with two assistants",
        "Curious people",
        """# Ask, compare, continue

Write a message. Two assistants answer, and you do not know which is which.
Choose the better answer: the conversation continues from it.

The assistants know only a very small world. They add numbers, sort words, tell short stories,
answer politely, and know some animals and friends.

The first message is a suggestion, and you can change it. **Two or three turns are enough.**
""",
        num_items=30,
    ),
)
