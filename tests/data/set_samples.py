"""Rows in the layouts of published data sets, in our own words."""

from collections.abc import Mapping
from typing import Any

from data.sample_texts import BAD, GOOD, QUESTION, Row, assistant, user


def tree_message(
    id: str, text: str, role: str, parent: str | None, replies: list[Row], **columns: Any
) -> Row:
    return {
        "message_id": id,
        **({} if parent is None else {"parent_id": parent}),
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "synthetic": False,
        **columns,
        "replies": replies,
    }


def tree() -> Row:
    """A question with three ranked answers; the best one is followed by two questions."""
    follow_up = tree_message(
        "q2", "And a soft one?", "prompter", "a1", [tree_message("b1", "Five.", "assistant", "q2", [])]
    )
    other = tree_message(
        "q3", "In a pan?", "prompter", "a1", [tree_message("b2", "In a pot.", "assistant", "q3", [])]
    )
    return {
        "message_tree_id": "q1",
        "tree_state": "ready_for_export",
        "prompt": tree_message(
            "q1",
            QUESTION,
            "prompter",
            None,
            [
                tree_message("a2", BAD, "assistant", "q1", [], rank=1),
                tree_message("a1", GOOD, "assistant", "q1", [follow_up, other], rank=0),
                tree_message("a3", "Eggs fly.", "assistant", "q1", [], rank=2),
            ],
        ),
    }


def table() -> list[Row]:
    """The same tree as a table of messages."""

    def rows_of(message: Row) -> list[Row]:
        columns = {"parent_id": None, "rank": None, "message_tree_id": "q1", "tree_state": "ready_for_export"}
        own = columns | {name: value for name, value in message.items() if name != "replies"}
        return [own, *(row for reply in message["replies"] for row in rows_of(reply))]

    return rows_of(tree()["prompt"])


def arena(winner: str = "model_b") -> Row:
    return {
        "question_id": "58210e39",
        "model_a": "parrot-7b",
        "model_b": "owl-13b",
        "winner": winner,
        "judge": "arena_user_973",
        "conversation_a": [user(QUESTION), assistant(BAD)],
        "conversation_b": [user(QUESTION), assistant(GOOD)],
        "turn": 1,
        "anony": True,
        "language": "English",
        "tstamp": 1682351591.1,
        "openai_moderation": {"flagged": False},
        "toxic_chat_tag": {"roberta-large": {"flagged": False}},
    }


def prm800k() -> Row:
    def completion(text: str, rating: int | None) -> Row:
        return {"text": text, "rating": rating, "flagged": None}

    return {
        "labeler": "d8aa7923",
        "timestamp": "2023-01-22T20:34:04",
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": "What is 2 + 3 + 4?",
            "ground_truth_solution": "It is 9.",
            "ground_truth_answer": "9",
        },
        "label": {
            "steps": [
                {
                    "completions": [completion("2 + 3 = 5.", 1), completion("2 + 3 = 6.", -1)],
                    "human_completion": None,
                    "chosen_completion": 0,
                },
                {
                    "completions": [completion("5 + 4 = 8.", -1), completion("Now we add 4.", 0)],
                    "human_completion": {
                        "text": "5 + 4 = 9.",
                        "rating": None,
                        "source": "human",
                        "flagged": None,
                        "corrected_rating": None,
                    },
                    "chosen_completion": None,
                },
            ],
            "total_time": 51211,
            "finish_reason": "solution",
        },
    }


SET_SAMPLES: Mapping[str, list[Row]] = {
    "open-assistant": [tree()],
    "open-assistant-table": table(),
    "chatbot-arena": [
        arena(),
        {
            "id": 30192,
            "model_a": "parrot-7b",
            "model_b": "owl-13b",
            "prompt": f'["{QUESTION}"]',
            "response_a": f'["{GOOD}"]',
            "response_b": f'["{BAD}"]',
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
    ],
    "distilabel": [
        {
            "instruction": QUESTION,
            "generations": [BAD, GOOD],
            "generation_models": ["parrot", "owl"],
            "ratings": [2, 5],
            "rationales": ["Far too long.", "Right."],
            "distilabel_metadata": {"raw_output": "…"},
        },
        {
            "instruction": QUESTION,
            "generations": [GOOD, BAD],
            "generation_models": ["owl", "parrot"],
            "ratings": [5, 1],
            "chosen": GOOD,
            "rejected": BAD,
            "chosen_rating": 5,
            "rejected_rating": 1,
            "chosen_model": "owl",
            "rejected_model": "parrot",
        },
        {"instruction": QUESTION, "generation": GOOD, "model_name": "owl", "distilabel_metadata": {}},
    ],
    "math-shepherd": [
        {
            "input": "What is 2 + 3 + 4? Step 1: 2 + 3 = 5. ки\nStep 2: 5 + 4 = 8. The answer is: 8 ки",
            "label": "What is 2 + 3 + 4? Step 1: 2 + 3 = 5. +\nStep 2: 5 + 4 = 8. The answer is: 8 -",
            "task": "GSM8K",
        }
    ],
    "prm800k": [prm800k()],
    "process-bench": [
        {
            "id": "gsm8k-1",
            "generator": "owl",
            "problem": "What is 2 + 3 + 4?",
            "steps": ["2 + 3 = 5.", "5 + 4 = 8.", "So it is 8."],
            "final_answer_correct": False,
            "label": 1,
        }
    ],
    "webgpt": [
        {
            "question": {"dataset": "eli5", "id": "3hlvq0", "full_text": QUESTION},
            "quotes_0": {"title": ["A cookbook"], "extract": ["Boil for seven minutes."]},
            "answer_0": GOOD,
            "tokens_0": {"prefix": [1], "completion": [2]},
            "score_0": 0.5,
            "quotes_1": {"title": [], "extract": []},
            "answer_1": BAD,
            "tokens_1": {"prefix": [1], "completion": [2]},
            "score_1": -0.5,
        }
    ],
    "shp": [
        {
            "post_id": "qt3nxl",
            "domain": "askculinary_train",
            "upvote_ratio": 0.98,
            "history": QUESTION,
            "c_root_id_A": "hkh25sc",
            "c_root_id_B": "hkh25lp",
            "created_at_utc_A": 1636822112,
            "created_at_utc_B": 1636822110,
            "score_A": 34,
            "score_B": 170,
            "human_ref_A": BAD,
            "human_ref_B": GOOD,
            "labels": 0,
            "seconds_difference": 2.0,
            "score_ratio": 5.0,
        }
    ],
    "summarize-feedback": [
        {
            "info": {
                "id": "t3_34xale",
                "post": "I boiled an egg for an hour and now it is grey.",
                "title": "My egg",
                "subreddit": "cooking",
                "site": None,
                "article": None,
            },
            "summaries": [
                {"text": "Eggs.", "policy": "sup1", "note": None},
                {"text": "Boiled an egg too long.", "policy": "sup4", "note": None},
            ],
            "choice": 1,
            "worker": "ikNmucwunMnYJCQpnq6Z",
            "batch": "batch5",
            "split": "train",
            "extra": {"confidence": 8},
        },
        {
            "info": {
                "id": "t3_34xale",
                "post": "I boiled an egg for an hour.",
                "title": "My egg",
                "subreddit": "cooking",
            },
            "summary": {
                "text": "Eggs.",
                "policy": "sup1",
                "note": None,
                "axes": {"overall": 1, "accuracy": 7, "coverage": 4, "coherence": None},
            },
            "worker": "ikNmucwunMnYJCQpnq6Z",
            "batch": "batch6",
            "split": "test",
        },
    ],
    "safe-rlhf": [
        {
            "prompt": QUESTION,
            "response_0": BAD,
            "response_1": GOOD,
            "prompt_source": "Alpaca3-70B",
            "response_0_source": "parrot",
            "response_1_source": "owl",
            "is_response_0_safe": True,
            "is_response_1_safe": False,
            "response_0_severity_level": 0,
            "response_1_severity_level": 1,
            "response_0_harm_category": {"Violence": False},
            "response_1_harm_category": {"Violence": True},
            "better_response_id": 1,
            "safer_response_id": 0,
        }
    ],
    "beavertails": [
        {
            "prompt": QUESTION,
            "response": BAD,
            "category": {"violence": True, "privacy": False},
            "is_safe": False,
        }
    ],
    "reward-bench-2": [
        {
            "id": "7",
            "prompt": QUESTION,
            "chosen": [GOOD],
            "rejected": [BAD, "Eggs fly."],
            "num_correct": 1,
            "num_incorrect": 2,
            "total_completions": 3,
            "models": ["owl", "parrot", "wren"],
            "subset": "Factuality",
            "additional_metadata": {"category": "food"},
        }
    ],
    "ifeval": [
        {
            "key": 1000,
            "prompt": QUESTION,
            "instruction_id_list": ["length_constraints:number_words"],
            "kwargs": [{"num_words": 10, "relation": "less than"}],
        }
    ],
    "mt-bench": [{"question_id": 81, "category": "writing", "turns": [QUESTION, "And a soft one?"]}],
    "verl": [
        {
            "data_source": "openai/gsm8k",
            "prompt": [user("What is 2 + 3?")],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "5"},
            "extra_info": {"split": "train", "index": 0},
        }
    ],
    "xstest": [
        {"id": "1", "prompt": QUESTION, "type": "homonyms", "label": "safe", "focus": "egg", "note": "food"}
    ],
    "ultrafeedback": [
        {
            "source": "evol_instruct",
            "instruction": QUESTION,
            "models": ["owl", "parrot"],
            "completions": [
                {
                    "model": model,
                    "principle": "helpfulness",
                    "custom_system_prompt": "Be helpful.",
                    "response": text,
                    "annotations": {"helpfulness": {"Rating": str(rating), "Rationale": "So."}},
                    "critique": "So.",
                    "overall_score": 8.0,
                    "fine-grained_score": float(rating),
                }
                for model, text, rating in (("parrot", BAD, 1), ("owl", GOOD, 5))
            ],
            "correct_answers": ["None"],
            "incorrect_answers": ["None"],
        }
    ],
    "helpsteer": [
        {
            "prompt": QUESTION,
            "response": GOOD,
            "helpfulness": 4,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 0,
        }
    ],
    "helpsteer-preference": [
        {
            "domain": "general",
            "language": "english",
            "context": [user(QUESTION)],
            "response1": GOOD,
            "response2": BAD,
            "overall_preference": -2,
            "individual_preference": [{"score": -2, "reasoning": "So.", "feedback1": "a", "feedback2": "b"}],
        }
    ],
    "nectar": [
        {
            "prompt": f"\n\nHuman: {QUESTION}\n\nAssistant: ",
            "answers": [
                {"answer": BAD, "model": "parrot", "rank": 2.0},
                {"answer": GOOD, "model": "owl", "rank": 1.0},
            ],
            "turns": 1,
            "num_responses": 2,
            "source": ["lmsys-chat-1m"],
            "good_natured": True,
        }
    ],
    "pandalm": [
        {
            "idx": 0,
            "motivation_app": "Kitchen",
            "cmp_key": "owl_parrot",
            "instruction": QUESTION,
            "input": "",
            "response1": BAD,
            "response2": GOOD,
            "annotator1": 2,
            "annotator2": 2,
            "annotator3": 1,
        }
    ],
    "capybara": [
        {
            "source": "TheoremQA",
            "conversation": [
                {"input": QUESTION, "output": GOOD},
                {"input": "And a soft one?", "output": "Five minutes."},
            ],
        }
    ],
    "lima": [{"conversations": [QUESTION, GOOD], "source": "wikihow"}],
    "step-conversation": [
        {
            "conversations": [
                user("What is 2 + 3 + 4? Step 1: 2 + 3 = 5."),
                assistant("+"),
                user("Step 2: 5 + 4 = 8."),
                assistant("-"),
            ]
        }
    ],
    "scored-answers": [
        {
            "qid": 1,
            "question": QUESTION,
            "answers": [
                {"answer_id": 7, "pm_score": 0, "selected": False, "text": BAD},
                {"answer_id": 8, "pm_score": 5, "selected": True, "text": GOOD},
            ],
        },
        {"q_id": "x", "title": QUESTION, "selftext": "", "answers": {"text": [GOOD, BAD], "score": [9, 1]}},
    ],
    "answer-pair": [
        {"instruction": QUESTION, "output_1": BAD, "output_2": GOOD, "preference": 2, "annotator": "ann"},
        {"instruction": QUESTION, "response_a": GOOD, "response_b": BAD, "preference": "A"},
        {"question": QUESTION, "response_j": GOOD, "response_k": BAD, "qid": 1},
    ],
    "multiple-choice": [
        {"question": QUESTION, "subject": "cooking", "choices": [BAD, GOOD], "answer": 1},
        {
            "id": "x",
            "question": QUESTION,
            "choices": {"text": [BAD, GOOD], "label": ["1", "2"]},
            "answerKey": "2",
        },
    ],
}
