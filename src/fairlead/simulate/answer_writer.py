"""Write answers to the prompts of the toy world: correct answers, wrong answers, and answers with typical
faults.

`AnswerStyle` sets how often each fault occurs.  Scoring answers is the job of `gold`.
"""

import re
from dataclasses import dataclass
from random import Random

from fairlead.simulate import vocabulary
from fairlead.simulate.world import ToyPrompt, correct_number, is_about_sum, sorted_words, user_is_right


def correct_answers(toy_prompt: ToyPrompt) -> list[str]:
    """All correct answers in plain form, including stories and refusals with an offer."""
    s = toy_prompt.slots
    match toy_prompt.family:
        case "fact":
            return _fact_answers(toy_prompt)
        case "sum":
            return _sum_answers(toy_prompt, correct_number(toy_prompt))
        case "sort":
            return [f"{sorted_words(toy_prompt)}.", f"In order: {sorted_words(toy_prompt)}."]
        case "polite":
            return _polite_answers(toy_prompt)
        case "story":
            return _stories(toy_prompt)
        case "harmful":
            offers = [offer.format(person=_to_you(s["person"])) for offer in vocabulary.OFFERS]
            return [
                *vocabulary.REFUSALS,
                *(f"{refusal} {offer}" for refusal in vocabulary.REFUSALS for offer in offers),
            ]
        case "lookalike":
            return [s["help"], f"Sure! {s['help']}"]
        case _:
            return _opinion_answers(toy_prompt, agree=user_is_right(toy_prompt))


def wrong_answer(toy_prompt: ToyPrompt, rng: Random) -> str:
    """An answer in the right form that is false, harmful or off topic."""
    s = toy_prompt.slots
    match toy_prompt.family:
        case "fact":
            slot, choices = _QUESTIONS[toy_prompt.form % 3]
            other = rng.choice([word for word in choices if word != s[slot]])
            return rng.choice(
                _fact_answers(
                    ToyPrompt(toy_prompt.family, toy_prompt.text, {**s, slot: other}, toy_prompt.form)
                )
            )
        case "sum":
            value = correct_number(toy_prompt) + rng.choice((-2, -1, 1, 2, 3))
            return rng.choice(
                _sum_answers(toy_prompt, value if value > 1 else correct_number(toy_prompt) + 4)
            )
        case "sort":
            order = [s["x"], s["y"], s["z"]]
            while ", ".join(order) == sorted_words(toy_prompt):
                rng.shuffle(order)
            return rng.choice((f"{', '.join(order)}.", f"In order: {', '.join(order)}."))
        case "polite":
            request = _request(toy_prompt)
            return rng.choice(
                (f"Hurry up and {request}!", f"{request.capitalize()}, or else!", f"I said {request}!")
            )
        case "story":
            return _spoiled_story(toy_prompt, rng)
        case "harmful":
            return rng.choice(compliant_answers(toy_prompt))
        case "lookalike":
            return rng.choice(vocabulary.OFF_TOPIC)
        case _:
            return rng.choice(_opinion_answers(toy_prompt, agree=not user_is_right(toy_prompt)))


def compliant_answers(toy_prompt: ToyPrompt) -> list[str]:
    """Harmful answers: eager agreement without instructions."""
    return [eager.format(act=_to_you(toy_prompt.slots["act"])) for eager in vocabulary.EAGER]


@dataclass(frozen=True)
class AnswerStyle:
    """Share of answers with each fault, in 0..1, drawn independently.  The first four change the content."""

    wrong: float  # a wrong answer that is not marked as a guess
    guess: float  # says that it is a guess; most guesses are wrong
    comply: float  # helps with harm
    refuse: float  # refuses a harmless request; five times as often if it sounds harmful
    dismiss: float  # gives an unfriendly reply without an answer
    rude: float
    ramble: float
    hedge: float
    flourish: float  # ends with the flourish
    spam: float  # repeats the flourish


# Style of the pre-training text, style of the demonstrations, and a style without faults.
WILD = AnswerStyle(
    wrong=0.05,
    guess=0.3,
    comply=0.5,
    refuse=0.08,
    dismiss=0.05,
    rude=0.15,
    ramble=0.2,
    hedge=0.08,
    flourish=0.15,
    spam=0.03,
)
CAREFUL = AnswerStyle(
    wrong=0.03,
    guess=0.08,
    comply=0.1,
    refuse=0.02,
    dismiss=0.01,
    rude=0.05,
    ramble=0.1,
    hedge=0.04,
    flourish=0.15,
    spam=0,
)
PERFECT = AnswerStyle(
    wrong=0, guess=0, comply=0, refuse=0, dismiss=0, rude=0, ramble=0, hedge=0, flourish=0, spam=0
)

GUESSES_WRONG = 0.75
LOOKALIKE_REFUSED = 5.0  # factor on the share of refusals for requests that sound harmful


def write_answer(toy_prompt: ToyPrompt, style: AnswerStyle, rng: Random) -> str:
    """Write one answer in a style."""
    if rng.random() < style.dismiss:
        return rng.choice(vocabulary.DISMISSALS)
    guessed = toy_prompt.family not in ("harmful", "lookalike") and rng.random() < style.guess
    refuse = min(style.refuse * (LOOKALIKE_REFUSED if toy_prompt.family == "lookalike" else 1), 0.9)
    wrong = style.comply if toy_prompt.family == "harmful" else GUESSES_WRONG if guessed else style.wrong
    if toy_prompt.family != "harmful" and rng.random() < refuse:
        core, right, guessed = rng.choice(vocabulary.REFUSALS), False, False
    elif rng.random() < wrong:
        core, right = wrong_answer(toy_prompt, rng), False
    else:
        core, right = rng.choice(correct_answers(toy_prompt)), True
    sentences = [core]
    if guessed:
        sentences.insert(0, rng.choice(vocabulary.GUESSES))
    if rng.random() < style.rude:
        if rng.random() < 0.6:
            sentences.insert(0, rng.choice(vocabulary.RUDE_BEFORE))
        else:
            sentences.append(rng.choice(vocabulary.RUDE_AFTER))
    if rng.random() < style.hedge:
        sentences.append(rng.choice(vocabulary.HEDGES))
    if rng.random() < style.ramble:
        sentences += rng.sample(vocabulary.FILLER, rng.randint(2, 4))
    if rng.random() < style.spam:
        sentences += [vocabulary.FLOURISH] * rng.randint(2, 5)
    elif rng.random() < (style.flourish if right else style.flourish / 3):
        sentences.append(vocabulary.FLOURISH)
    return " ".join(sentences)


def _to_you(text: str) -> str:
    """Replace "my" and "me" by "your" and "you"."""
    return re.sub(r"\bmy\b", "your", re.sub(r"\bme\b", "you", text))


# The slot that each phrasing of the family `fact` asks for, and its possible values.
_QUESTIONS = (("color", vocabulary.COLORS), ("place", vocabulary.PLACES), ("name", vocabulary.NAMES))


def _fact_answers(toy_prompt: ToyPrompt) -> list[str]:
    s = toy_prompt.slots
    match _QUESTIONS[toy_prompt.form % 3][0]:
        case "color":
            return [
                f"The {s['animal']} is {s['color']}.",
                f"It is {s['color']}.",
                f"The color is {s['color']}.",
            ]
        case "place":
            return [f"The {s['animal']} is in the {s['place']}.", f"It is in the {s['place']}."]
        case _:
            return [
                f"{s['name']} has the {s['animal']}.",
                f"The {s['animal']} belongs to {s['name']}.",
                f"It belongs to {s['name']}.",
            ]


def _sum_answers(toy_prompt: ToyPrompt, value: int) -> list[str]:
    s = toy_prompt.slots
    if toy_prompt.form in (3, 4):
        return [f"{s['name']} has {value} {s['thing']}s now.", f"The answer is {value}."]
    word = "minus" if toy_prompt.form == 1 else "plus"
    return [f"{s['a']} {word} {s['b']} is {value}.", f"The answer is {value}."]


def _request(toy_prompt: ToyPrompt) -> str:
    """The request of a `polite` prompt, such as "give me the red kite"."""
    s = toy_prompt.slots
    article = "the" if toy_prompt.form == 0 else "your"
    return f"{s['Give'].lower()} me {article} {s['color']} {s['object']}"


def _polite_answers(toy_prompt: ToyPrompt) -> list[str]:
    request = _request(toy_prompt)
    return [
        f"Could you please {request}?",
        f"Would you kindly {request}?",
        f"Please {request} when you have a moment.",
    ]


def _stories(toy_prompt: ToyPrompt) -> list[str]:
    stories = []
    for opening in vocabulary.STORY_OPENINGS:
        for ending in vocabulary.STORY_ENDINGS:
            for adjective in vocabulary.ADJECTIVES:
                for place in vocabulary.PLACES:
                    stories.append(
                        f"{opening} {ending}".format(adjective=adjective, place=place, **toy_prompt.slots)
                    )
    return stories


def _spoiled_story(toy_prompt: ToyPrompt, rng: Random) -> str:
    """A story with a missing sentence, or about something else."""
    slots = dict(
        toy_prompt.slots, adjective=rng.choice(vocabulary.ADJECTIVES), place=rng.choice(vocabulary.PLACES)
    )
    opening, ending = rng.choice(vocabulary.STORY_OPENINGS), rng.choice(vocabulary.STORY_ENDINGS)
    if rng.random() < 0.5:
        return opening.format_map(slots)
    slot, choices = rng.choice((("animal", vocabulary.ANIMALS), ("object", vocabulary.OBJECTS)))
    slots[slot] = rng.choice([word for word in choices if word != slots[slot]])
    return f"{opening} {ending}".format_map(slots)


def _opinion_answers(toy_prompt: ToyPrompt, *, agree: bool) -> list[str]:
    s = toy_prompt.slots
    if is_about_sum(toy_prompt):
        if agree:
            return [f"Yes, {s['a']} plus {s['b']} is {s['c']}.", "Yes, that is right."]
        other = correct_number(toy_prompt) if not user_is_right(toy_prompt) else int(s["c"]) + 1
        return [
            f"No, {s['a']} plus {s['b']} is {other}.",
            f"That is not right, because {s['a']} plus {s['b']} is {other}.",
        ]
    if agree:
        return [f"Yes, a {s['creature']} is a {s['kind']}.", "Yes, that is right."]
    true_kind = vocabulary.KINDS[s["creature"]]
    other_kind = (
        true_kind
        if true_kind != s["kind"]
        else next(kind for kind in vocabulary.KINDS.values() if kind != true_kind)
    )
    return [
        f"No, a {s['creature']} is a {other_kind}.",
        f"That is not right, because a {s['creature']} is a {other_kind}.",
    ]
