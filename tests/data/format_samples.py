"""Rows of every format: format -> rows.  The tests and the fuzz read them."""

from collections.abc import Mapping

from data.sample_texts import BAD, GOOD, QUESTION, Row, assistant, user
from data.set_samples import SET_SAMPLES
from data.tool_samples import TOOL_SAMPLES

GENERAL_SAMPLES: Mapping[str, list[Row]] = {
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
    "inputs-targets": [{"inputs": QUESTION, "targets": GOOD, "language": "English"}],
    "query": [{"query": QUESTION, "response": GOOD, "type": "GSM_Rephrased"}],
    "question-answer": [{"question": "What is 2 + 3?", "answer": "It is five.\n#### 5"}],
    "flan": [{"column_1": QUESTION, "column_2": "7", "column_3": "A firm yolk takes seven minutes."}],
    "text": [{"text": f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n{GOOD}<|im_end|>\n"}],
    "self-instruct": [
        {
            "id": "seed_task_0",
            "name": "eggs",
            "instruction": QUESTION,
            "instances": [{"input": "", "output": GOOD}],
            "is_classification": False,
        }
    ],
}
SAMPLES = {**TOOL_SAMPLES, **SET_SAMPLES, **GENERAL_SAMPLES}
