"""Rows as each tool exports them, in our own words: format -> rows.  The tests and the fuzz read them."""

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]

QUESTION = "How long does an egg boil?"
GOOD = "Seven minutes for a firm yolk."
BAD = "About an hour or two."


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


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


def label_studio(result: Row, data: Row | None = None, **annotation: Any) -> Row:
    return {
        "id": 12,
        "annotations": [
            {
                "id": 44,
                "completed_by": {"id": 3, "email": "ann@example.org", "first_name": "Ann"},
                "result": [{"id": "x1", "from_name": "comparison", "to_name": "answer1,answer2", **result}],
                "was_cancelled": False,
                "ground_truth": False,
                "lead_time": 12.5,
                "result_count": 1,
                **annotation,
            }
        ],
        "drafts": [],
        "predictions": [],
        "data": data or {"prompt": QUESTION, "answer2": GOOD, "answer1": BAD},
        "meta": {},
        "created_at": "2024-03-09T21:52:49.513742Z",
        "updated_at": "2024-03-09T22:16:08.746926Z",
        "inner_id": 1,
        "total_annotations": 1,
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "comment_count": 0,
        "project": 83,
        "updated_by": 3,
    }


def argilla(responses: Row, fields: Row | None = None) -> Row:
    return {
        "id": "rec-1",
        "fields": fields or {"prompt": QUESTION, "response_1": BAD, "response_2": GOOD},
        "metadata": {"source": "kitchen"},
        "suggestions": {"preference": {"value": "response_1", "score": 0.9, "agent": "judge-model"}},
        "responses": responses,
        "vectors": {},
        "status": "completed",
        "_server_id": "3f2c",
    }


def chat_message(id: str, role: str, content: str, parent: str | None, **columns: Any) -> Row:
    return {"id": id, "parentId": parent, "childrenIds": [], "role": role, "content": content, **columns}


def open_webui(rating: int | str = 1, **rated: Any) -> Row:
    """A rated answer that was generated twice."""
    messages = [
        chat_message("m1", "user", QUESTION, None),
        chat_message("m2", "assistant", BAD, "m1", done=True, model="owl"),
        chat_message("m3", "assistant", GOOD, "m1", done=True, model="owl", **rated),
    ]
    return {
        "id": "fb-1",
        "user_id": "u-7",
        "version": 0,
        "type": "rating",
        "data": {
            "rating": rating,
            "model_id": "owl",
            "sibling_model_ids": None,
            "reason": "accurate_information",
            "comment": "",
            "tags": ["cooking"],
            "details": {"rating": 9},
        },
        "meta": {"arena": False, "chat_id": "c-1", "message_id": "m3", "message_index": 2},
        "snapshot": {
            "chat": {
                "id": "c-1",
                "user_id": "u-7",
                "title": "Eggs",
                "chat": {
                    "title": "Eggs",
                    "models": ["owl"],
                    "params": {},
                    "history": {
                        "messages": {message["id"]: message for message in messages},
                        "currentId": "m3",
                    },
                },
            }
        },
        "created_at": 1704067200,
        "updated_at": 1704067200,
    }


def open_webui_chat(rating: int = 1) -> Row:
    """The same chat in an export of chats, where the rating is in the message."""
    chat: Row = open_webui(rating, annotation={"rating": rating, "comment": "fine"})["snapshot"]["chat"]
    return chat | {
        "created_at": 1704067200,
        "archived": False,
        "pinned": False,
        "meta": {"tags": ["cooking"]},
    }


def langfuse(*scores: Row) -> Row:
    return {
        "id": "trace-1",
        "timestamp": "2024-05-01T12:00:00.000Z",
        "name": "chat",
        "userId": "u-7",
        "sessionId": "s-1",
        "input": {"messages": [{"role": "system", "content": "Be brief."}, user(QUESTION)]},
        "output": {"role": "assistant", "content": GOOD},
        "metadata": {"page": "help"},
        "tags": ["web"],
        "scores": list(scores),
        "observations": [],
        "htmlPath": "/project/p/traces/trace-1",
        "latency": 1.5,
        "totalCost": 0.001,
        "public": False,
    }


def langfuse_score(value: Any, name: str = "user-feedback", **columns: Any) -> Row:
    return {
        "id": "score-1",
        "name": name,
        "value": value,
        "source": "API",
        "dataType": "NUMERIC",
        "comment": "fine",
        "traceId": "trace-1",
        "authorUserId": "u-9",
        **columns,
    }


def langsmith(feedback: list[Row] | None = None, **columns: Any) -> Row:
    return {
        "id": "run-1",
        "name": "ChatOpenAI",
        "run_type": "llm",
        "inputs": {
            "messages": [
                [
                    {
                        "lc": 1,
                        "type": "constructor",
                        "id": ["langchain", "schema", "messages", "HumanMessage"],
                        "kwargs": {"content": QUESTION, "type": "human"},
                    }
                ]
            ]
        },
        "outputs": {
            "generations": [
                [
                    {
                        "text": GOOD,
                        "type": "ChatGeneration",
                        "message": {
                            "lc": 1,
                            "type": "constructor",
                            "id": ["langchain", "schema", "messages", "AIMessage"],
                            "kwargs": {"content": GOOD, "type": "ai", "tool_calls": []},
                        },
                    }
                ]
            ],
            "llm_output": {"model_name": "owl"},
        },
        "error": None,
        "start_time": "2024-05-01T12:00:00",
        "trace_id": "run-1",
        "feedback": feedback or [],
        **columns,
    }


def langsmith_feedback(score: Any, key: str = "user_score", **columns: Any) -> Row:
    return {
        "id": "f-1",
        "run_id": "run-1",
        "key": key,
        "score": score,
        "value": None,
        "comment": "fine",
        "correction": None,
        "feedback_source": {"type": "app", "user_id": "u-9"},
        **columns,
    }


def opik(*scores: Row) -> Row:
    return {
        "id": "t-1",
        "project_name": "kitchen",
        "name": "chat",
        "start_time": "2025-06-13T10:00:00Z",
        "input": {"question": QUESTION},
        "output": {"answer": GOOD, "sources": ["a cookbook"]},
        "metadata": {"environment": "production"},
        "tags": ["web"],
        "usage": {"total_tokens": 30},
        "feedback_scores": list(scores),
        "created_by": "sdk",
        "duration": 1200,
    }


def opik_score(value: Any, name: str = "User feedback", source: str = "ui") -> Row:
    return {"name": name, "value": value, "reason": "fine", "source": source, "created_by": "ann"}


def mlflow(*assessments: Row) -> Row:
    return {
        "info": {
            "trace_id": "tr-1",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
            "request_time": "2025-06-13T10:00:00Z",
            "state": "OK",
            "request_preview": '{"question": "How long…"}',
            "response_preview": "Seven…",
            "trace_metadata": {"mlflow.user": "ann"},
            "tags": {"mlflow.traceName": "chat"},
            "assessments": list(assessments),
        },
        "data": {
            "spans": [
                {
                    "name": "chat",
                    "span_id": "s1",
                    "parent_span_id": None,
                    "attributes": {
                        "mlflow.spanInputs": f'{{"question": "{QUESTION}"}}',
                        "mlflow.spanOutputs": f'"{GOOD}"',
                    },
                }
            ]
        },
    }


def mlflow_feedback(value: Any, name: str = "user_feedback", source: str = "HUMAN") -> Row:
    return {
        "assessment_id": "as-1",
        "assessment_name": name,
        "trace_id": "tr-1",
        "source": {"source_type": source, "source_id": "ann@example.org"},
        "feedback": {"value": value},
        "rationale": "fine",
        "valid": True,
    }


def mlflow_expectation(value: Any, name: str = "expected_response") -> Row:
    return {
        "assessment_id": "as-2",
        "assessment_name": name,
        "trace_id": "tr-1",
        "source": {"source_type": "HUMAN", "source_id": "ann@example.org"},
        "expectation": {"value": value},
    }


SAMPLES: Mapping[str, list[Row]] = {
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
    "argilla": [
        argilla({"preference": [{"value": "response_2", "user_id": "u-1"}]}),
        argilla({"label": [{"value": "bad", "user_id": "u-1"}]}, {"prompt": QUESTION, "response": BAD}),
    ],
    "argilla-table": [
        {
            "id": "rec-1",
            "status": "completed",
            "_server_id": "3f2c",
            "prompt": QUESTION,
            "response_1": BAD,
            "response_2": GOOD,
            "preference.responses": ["response_2", "response_2"],
            "preference.responses.users": ["u-1", "u-2"],
            "preference.responses.status": ["submitted", "discarded"],
            "preference.suggestion": "response_1",
            "preference.suggestion.score": 0.9,
            "preference.suggestion.agent": "judge-model",
        },
        {
            "external_id": "rec-2",
            "prompt": QUESTION,
            "response": BAD,
            "quality": [{"user_id": "u-1", "value": 2, "status": "submitted"}],
            "quality-suggestion": 4,
            "quality-suggestion-metadata": {"agent": "judge-model"},
            "metadata": "{}",
        },
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
    "label-studio": [
        label_studio({"type": "pairwise", "value": {"selected": "right"}}),
        label_studio(
            {"type": "rating", "to_name": "answer", "from_name": "stars", "value": {"rating": 2}},
            {"prompt": QUESTION, "answer": BAD},
        ),
    ],
    "label-studio-min": [
        {
            "id": 12,
            "prompt": QUESTION,
            "answer1": BAD,
            "answer2": GOOD,
            "comparison": [{"selected": "right"}],
            "annotator": 3,
            "annotation_id": 44,
            "created_at": "2024-03-09T21:52:49.513742Z",
            "updated_at": "2024-03-09T22:16:08.746926Z",
            "lead_time": 12.5,
        },
        {
            "id": 13,
            "prompt": QUESTION,
            "answer": BAD,
            "verdict": "Bad",
            "annotator": "ann@example.org",
            "annotation_id": 45,
            "lead_time": 3.5,
        },
    ],
    "open-webui": [open_webui(), open_webui(-1)],
    "open-webui-chats": [open_webui_chat()],
    "langfuse": [langfuse(langfuse_score(1)), langfuse(langfuse_score(0))],
    "langfuse-items": [
        {
            "id": "item-1",
            "datasetId": "d-1",
            "input": {"question": QUESTION},
            "expectedOutput": GOOD,
            "metadata": {"page": "help"},
            "status": "ACTIVE",
            "sourceTraceId": "trace-1",
        }
    ],
    "langsmith": [
        langsmith([langsmith_feedback(1)]),
        langsmith(feedback_stats={"user_score": {"n": 1, "avg": 0.0}}),
    ],
    "langsmith-examples": [
        {
            "id": "ex-1",
            "inputs": {"question": QUESTION},
            "outputs": {"answer": GOOD},
            "metadata": {"split": "train"},
            "dataset_id": "d-1",
            "created_at": "2024-05-01",
        }
    ],
    "opik": [opik(opik_score(1)), opik(opik_score(0))],
    "opik-items": [{"id": "i-1", "input": {"question": QUESTION}, "expected_output": GOOD}],
    "mlflow": [mlflow(mlflow_feedback(True)), mlflow(mlflow_feedback(False))],
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
    "self-instruct": [
        {
            "id": "seed_task_0",
            "name": "eggs",
            "instruction": QUESTION,
            "instances": [{"input": "", "output": GOOD}],
            "is_classification": False,
        }
    ],
    "openai-preference": [
        {
            "input": {"messages": [user(QUESTION)], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [assistant(GOOD)],
            "non_preferred_output": [assistant(BAD)],
        }
    ],
    "openai": [
        {"messages": [user(QUESTION), assistant(GOOD)], "source": "kitchen"},
        {"messages": [user(QUESTION), assistant(BAD)], "label": False},
        {"chosen": [user(QUESTION), assistant(GOOD)], "rejected": [user(QUESTION), assistant(BAD)]},
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": GOOD}], "id": "c1"},
        {
            "conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": BAD}],
            "kto_tag": False,
        },
    ],
    "alpaca": [
        {
            "instruction": QUESTION,
            "input": "",
            "output": GOOD,
            "system": "Be brief.",
            "history": [["Hi", "Yes?"]],
        },
        {"instruction": QUESTION, "chosen": GOOD, "rejected": BAD},
        {"instruction": QUESTION, "output": BAD, "kto_tag": "false"},
    ],
    "native": [
        {
            "prompt": [user(QUESTION)],
            "completion": [assistant(GOOD)],
            "id": "n1",
            "metadata": {"page": "help"},
        },
        {
            "prompt": [user(QUESTION)],
            "chosen": [assistant(GOOD)],
            "rejected": [assistant(BAD)],
            "rater": "ann",
        },
        {"prompt": [user(QUESTION)], "completions": [[assistant(BAD)], [assistant(GOOD)]], "ranks": [2, 1]},
    ],
    "hh": [
        {
            "chosen": f"\n\nHuman: {QUESTION}\n\nAssistant: {GOOD}",
            "rejected": f"\n\nHuman: {QUESTION}\n\nAssistant: {BAD}",
        }
    ],
    "plain": [
        {"prompt": QUESTION, "chosen": GOOD, "rejected": BAD, "id": 3},
        {"prompt": QUESTION, "completion": BAD, "label": 0},
        {"prompt": QUESTION, "completions": ["Boil it.", "An hour."], "labels": [True, False]},
    ],
    "orca-dpo": [{"system": "Be brief.", "question": QUESTION, "chosen": GOOD, "rejected": BAD}],
    "orca": [{"id": "flan.1", "system_prompt": "Be brief.", "question": QUESTION, "response": GOOD}],
    "dolly": [{"instruction": QUESTION, "context": "At sea level.", "response": GOOD, "category": "open_qa"}],
    "query": [{"query": QUESTION, "response": GOOD, "type": "GSM_Rephrased"}],
    "question-answer": [{"question": "What is 2 + 3?", "answer": "It is five.\n#### 5"}],
    "flan": [{"column_1": QUESTION, "column_2": "7", "column_3": "A firm yolk takes seven minutes."}],
    "text": [{"text": f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n{GOOD}<|im_end|>\n"}],
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
}
