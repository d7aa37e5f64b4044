"""TRL's side: TRL's own trainer, paused after each step.

Started by `benchmarks.peers`, in TRL's environment.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.pop(0)  # remove this folder: this file would shadow the trl package
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    StoppingCriteria,
    StoppingCriteriaList,
    TrainerCallback,
)

sys.path.insert(0, str(Path(__file__).parent))
from turns import Turns, keep_freed_pages  # noqa: E402

sys.path.pop(0)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer  # noqa: E402


class Limits(StoppingCriteria):  # type: ignore[misc]
    """The stop schedule: each row ends at its own length."""

    def __init__(self, width: int, limits: list[int]) -> None:
        self.ends = torch.tensor([width + limit for limit in limits])

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return input_ids.shape[1] >= self.ends.to(input_ids.device)


class Stop(TrainerCallback):  # type: ignore[misc]
    """Report every optimiser step and wait for the next turn."""

    def __init__(self, job: dict[str, Any], turns: Turns) -> None:
        self.job, self.turns, self.first = job, turns, True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.first:
            self.turns.ready()
            self.first = False
        else:
            self.turns.done(**on_device(self.job))


def on_device(job: dict[str, Any]) -> dict[str, float]:
    """On a GPU: wait for pending work, and report the peak of device memory."""
    if job["device"] == "cpu":
        return {}
    torch.cuda.synchronize()
    return {"peak_mb": torch.cuda.max_memory_allocated() / 2**20}


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    if job["allocator"] == "kept":
        keep_freed_pages()
    turns = Turns(job["window"])
    {"sample": sample, "ppo": ppo, "grpo": grpo}.get(job["work"], train)(job, turns)


def common(job: dict[str, Any]) -> dict[str, Any]:
    """Settings of every trainer."""
    return {
        "output_dir": job["home"],
        "per_device_train_batch_size": job["batch"],
        "learning_rate": 1e-5,
        "bf16": job["precision"] != "float32",
        "use_cpu": job["device"] == "cpu",
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }


def train(job: dict[str, Any], turns: Turns) -> None:
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    rows = [json.loads(line) for line in Path(job["rows"]).read_text().splitlines()]
    settings = common(job) | {
        "num_train_epochs": 50,
        "train_sampling_strategy": "sequential",  # the driver wrote the rows in Fairlead's order
    }
    settings |= {name: value for name, value in job["settings"].items() if name != "model"}
    loading = {"dtype": torch.bfloat16 if job["precision"] == "pure-bfloat16" else torch.float32} | job[
        "settings"
    ].get("model", {})
    callbacks = [Stop(job, turns)]
    if job["work"] == "reward":
        model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, **loading)
        model.config.pad_token_id = tokenizer.pad_token_id
        columns = [{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in rows]
        trainer: Any = RewardTrainer(
            model,
            RewardConfig(**settings),
            train_dataset=Dataset.from_list(columns),
            processing_class=tokenizer,
            callbacks=callbacks,
        )
    elif job["work"] == "dpo":
        columns = [{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in rows]
        model = AutoModelForCausalLM.from_pretrained(job["model"], **loading)
        trainer = DPOTrainer(
            model,
            args=DPOConfig(**settings),
            train_dataset=Dataset.from_list(columns),
            processing_class=tokenizer,
            callbacks=callbacks,
        )
    else:
        columns = [{k: row[k] for k in ("prompt", "completion")} for row in rows]
        model = AutoModelForCausalLM.from_pretrained(job["model"], **loading)
        trainer = SFTTrainer(
            model,
            args=SFTConfig(**settings),
            train_dataset=Dataset.from_list(columns),
            processing_class=tokenizer,
            callbacks=callbacks,
        )
    trainer.train()


def grpo(job: dict[str, Any], turns: Turns) -> None:
    """Four answers per prompt; TRL's defaults of one pass and no reference model."""
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    def share_of_e(completions: Any, **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        return [text.count("e") / max(1, len(text)) for text in texts]

    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    rows = [json.loads(line) for line in Path(job["rows"]).read_text().splitlines()]
    settings = common(job) | {
        "num_train_epochs": 50,
        "shuffle_dataset": False,
        "num_generations": 4,
        "max_completion_length": 64,
    }
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        reward_funcs=share_of_e,
        args=GRPOConfig(**settings | job["settings"]),
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in rows]),
        processing_class=tokenizer,
        callbacks=[Stop(job, turns)],
    )
    trainer.train()


def ppo(job: dict[str, Any], turns: Turns) -> None:
    """PPO of TRL 1.12, the last version that has one: the same answers per step, epochs and lengths."""
    from trl.experimental.ppo import PPOConfig, PPOTrainer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    rows = [{"input_ids": json.loads(line)["tokens"]} for line in Path(job["rows"]).read_text().splitlines()]

    def scalar() -> Any:
        model = AutoModelForSequenceClassification.from_pretrained(
            job["model"], num_labels=1, dtype=torch.float32
        )
        model.config.pad_token_id = tokenizer.pad_token_id
        return model

    settings = common(job) | {
        "total_episodes": 1000 * job["batch"],
        "num_ppo_epochs": 4,
        "num_mini_batches": 1,
        "response_length": 64,
        "temperature": 1.0,
        "num_sample_generations": 0,
    }
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32) for _ in range(2)
    )
    trainer = PPOTrainer(
        args=PPOConfig(**settings | job["settings"]),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=scalar(),
        value_model=scalar(),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:4]),
        callbacks=[Stop(job, turns)],
    )
    trainer.train()


@torch.no_grad()
def sample(job: dict[str, Any], turns: Turns) -> None:
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval().to(job["device"])
    rows = [json.loads(line) for line in Path(job["rows"]).read_text().splitlines()]
    size = job["settings"].get("batch", 64)
    for index in range(10_000):
        part = [rows[(index * job["batch"] + k) % len(rows)] for k in range(job["batch"])]
        if job["settings"].get("sort"):
            part.sort(key=lambda row: len(row["tokens"]))
        tokens = 0
        for start in range(0, len(part), size):
            group = part[start : start + size]
            width = max(len(row["tokens"]) for row in group)
            ids = torch.full((len(group), width), tokenizer.pad_token_id, device=job["device"])
            mask = torch.zeros_like(ids)
            for i, row in enumerate(group):
                ids[i, width - len(row["tokens"]) :] = torch.tensor(row["tokens"], device=job["device"])
                mask[i, width - len(row["tokens"]) :] = 1
            limits = [row["limit"] for row in group]
            with torch.autocast(job["device"], torch.bfloat16, enabled=job["precision"] == "bfloat16"):
                model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    do_sample=True,
                    top_k=0,
                    max_new_tokens=max(limits),
                    eos_token_id=None,
                    stopping_criteria=StoppingCriteriaList([Limits(width, limits)]),
                    pad_token_id=tokenizer.pad_token_id,
                )
            tokens += sum(limits)
        turns.ready() if index == 0 else turns.done(tokens=tokens, **on_device(job))


if __name__ == "__main__":
    main()
