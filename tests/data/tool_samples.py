"""Rows as tools for annotation and for tracing export them, in our own words."""

from collections.abc import Mapping
from typing import Any

from data.sample_texts import BAD, GOOD, QUESTION, Row, user


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


TOOL_SAMPLES: Mapping[str, list[Row]] = {
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
}
