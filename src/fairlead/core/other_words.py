"""What other tools call the settings, methods and commands of Fairlead, for the hints in error messages.

Nothing here changes what a configuration means: another tool's word stays an error, and the message says what
to write instead.
"""

from collections.abc import Collection
from typing import Any

# Word -> keys of Fairlead that can stand for it, the first that a method has.  Words are compared in lower
# case, with "_" for "-".
KEYS: dict[str, tuple[str, ...]] = {
    "learning_rate": ("optim.lr",),
    "learningrate": ("optim.lr",),
    "actor_learning_rate": ("optim.lr",),
    "critic_learning_rate": ("critic_lr",),
    "lr_rate": ("optim.lr",),
    "weight_decay_rate": ("optim.weight_decay",),
    "warmup_steps": ("optim.warmup",),
    "num_warmup_steps": ("optim.warmup",),
    "lr_scheduler_type": ("optim.schedule",),
    "lr_scheduler": ("optim.schedule",),
    "scheduler": ("optim.schedule",),
    "max_grad_norm": ("optim.max_norm",),
    "gradient_clipping": ("optim.max_norm",),
    "clip_grad": ("optim.max_norm",),
    "num_train_epochs": ("steps", "epochs"),
    "num_epochs": ("steps", "epochs"),
    "n_epochs": ("steps", "epochs"),
    "epoch": ("steps", "epochs"),
    "max_epochs": ("steps", "epochs"),
    "max_steps": ("steps", "epochs"),
    "num_steps": ("steps", "epochs"),
    "total_steps": ("steps", "epochs"),
    "steps": ("epochs",),
    "epochs": ("steps",),
    "per_device_train_batch_size": ("batch",),
    "train_batch_size": ("batch",),
    "global_batch_size": ("batch",),
    "rollout_batch_size": ("batch",),
    "batch_size": ("batch",),
    "mini_batch_size": ("batch",),
    "micro_batch_size": ("hardware.micro_tokens",),
    "gradient_accumulation_steps": ("hardware.micro_tokens",),
    "max_seq_length": ("data.max_tokens", "max_new_tokens"),
    "max_seq_len": ("data.max_tokens", "max_new_tokens"),
    "max_length": ("data.max_tokens", "max_new_tokens"),
    "max_len": ("data.max_tokens", "max_new_tokens"),
    "cutoff_len": ("data.max_tokens", "max_new_tokens"),
    "model_max_length": ("data.max_tokens", "max_new_tokens"),
    "sequence_len": ("data.max_tokens", "max_new_tokens"),
    "truncation": ("data.too_long",),
    "max_completion_length": ("max_new_tokens",),
    "max_tokens_to_generate": ("max_new_tokens",),
    "response_length": ("max_new_tokens",),
    "generate_max_len": ("max_new_tokens",),
    "model_name_or_path": ("model",),
    "model_name": ("model",),
    "model_path": ("model",),
    "base_model": ("model",),
    "sft_model": ("model",),
    "sft_model_path": ("model",),
    "policy": ("model",),
    "pretrained": ("model",),
    "train_file": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "train_data": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "train_dataset": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "dataset": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "datasets": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "dataset_name": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "dataset_path": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "data_path": ("demonstrations", "comparisons", "binary", "stepwise", "prompts", "documents"),
    "prompt_data": ("prompts",),
    "preferences": ("comparisons",),
    "preference_data": ("comparisons",),
    "pairs": ("comparisons",),
    "rm": ("reward",),
    "reward_model": ("reward",),
    "reward_model_path": ("reward",),
    "reward_funcs": ("reward",),
    "reward_function": ("reward",),
    "output_dir": ("name",),
    "run_name": ("name",),
    "save_path": ("name",),
    "out": ("name",),
    "val_size": ("data.held_out",),
    "eval_split_ratio": ("data.held_out",),
    "test_size": ("data.held_out",),
    "val_set_size": ("data.held_out",),
    "eval_steps": ("data.measure_every",),
    "evaluation_steps": ("data.measure_every",),
    "save_steps": ("checkpoints.every",),
    "checkpoint_every": ("checkpoints.every",),
    "lora_r": ("adapter.rank",),
    "lora_rank": ("adapter.rank",),
    "lora_alpha": ("adapter.alpha",),
    "r": ("adapter.rank",),
    "load_in_4bit": ("adapter.base_bits",),
    "bf16": ("hardware.precision",),
    "fp16": ("hardware.precision",),
    "dtype": ("hardware.precision",),
    "torch_dtype": ("hardware.precision",),
    "optim_bits": ("optim.bits",),
    "beta": ("beta", "kl_coef"),
    "kl_coeff": ("kl_coef",),
    "init_kl_coef": ("kl_coef",),
    "kl_penalty_coef": ("kl_coef",),
    "kl_ctl": ("kl_coef",),
    "num_generations": ("group", "n"),
    "group_size": ("group", "n"),
    "num_return_sequences": ("group", "n"),
    "n_samples_per_prompt": ("group", "n"),
    "num_ppo_epochs": ("epochs",),
    "cliprange": ("clip",),
    "clip_range": ("clip",),
    "epsilon": ("clip",),
    "loss_type": ("loss",),
    "objective": ("loss",),
    "neftune_noise_alpha": ("neftune_alpha",),
    "early_stopping_patience": ("patience",),
    "random_seed": ("seed",),
    "chat_template": ("template.file",),
    "stop": ("template.stop_tokens",),
}

# Values that have another form here: word -> (key, value), whatever was given.
SWITCHES: dict[str, tuple[str, str]] = {
    "bf16": ("hardware.precision", "bfloat16"),
    "fp16": ("hardware.precision", "bfloat16"),
    "load_in_4bit": ("adapter.base_bits", "4"),
    "gradient_accumulation_steps": ("hardware.micro_tokens", "0"),
    "micro_batch_size": ("hardware.micro_tokens", "0"),
    "truncation": ("data.too_long", "drop"),
}

# Methods of other tools -> what to write after `fairlead train`.
METHODS: dict[str, str] = {
    "orpo": "dpo loss=orpo",
    "simpo": "dpo loss=simpo",
    "ipo": "dpo loss=ipo",
    "hinge": "dpo loss=hinge",
    "slic": "dpo loss=hinge",
    "robust_dpo": "dpo loss=robust",
    "rdpo": "dpo loss=robust",
    "cdpo": "dpo flip_rate=0.1",
    "rm": "reward",
    "reward_model": "reward",
    "reward_modeling": "reward",
    "reward_modelling": "reward",
    "rewards": "reward",
    "preference": "reward",
    "prm": "process-reward",
    "process_reward_model": "process-reward",
    "process_reward": "process-reward",
    "rlhf": "ppo",
    "rl": "ppo",
    "rloo": "grpo baseline=leave-one-out",
    "reinforce": "grpo baseline=batch",
    "dr_grpo": "grpo",
    "gspo": "grpo",
    "dapo": "grpo",
    "finetune": "sft",
    "fine_tune": "sft",
    "finetuning": "sft",
    "instruct": "sft",
    "supervised": "sft",
    "lora": "sft",
    "qlora": "sft adapter.base_bits=4",
    "pt": "pretrain",
    "pretraining": "pretrain",
    "unpaired": "kto",
    "bco": "kto",
    "rejection_sampling": "best-of-n",
    "raft": "best-of-n",
    "best_of_n": "best-of-n",
    "bon": "best-of-n",
    "online_dpo": "rounds",
    "iterative_dpo": "rounds",
    "merge": "average",
    "wise_ft": "average",
}

# Commands that people look for -> the command of Fairlead.
COMMANDS: dict[str, str] = {
    "evaluate": "fairlead eval",
    "test": "fairlead eval",
    "admit": "fairlead eval",
    "generate": "fairlead sample",
    "predict": "fairlead sample",
    "infer": "fairlead sample",
    "judge": "fairlead compare",
    "arena": "fairlead compare",
    "import": "fairlead data import",
    "convert": "fairlead data import",
    "check": "fairlead data check",
    "split": "fairlead data split",
    "serve": "fairlead studio serve",
    "label": "fairlead studio serve",
    "annotate": "fairlead studio serve",
    "ui": "fairlead studio serve",
    "webui": "fairlead studio serve",
    "verify": "fairlead lineage verify",
    "show": "fairlead lineage show",
    "merge": "fairlead export MODEL --out FOLDER --merge",
    "new": "fairlead init",
    "create": "fairlead init",
    "demo": "fairlead quickstart",
}


def normal(word: str) -> str:
    return word.strip("-").lower().replace("-", "_")


def replacement(word: str, keys: Collection[str]) -> tuple[str, str | None] | None:
    """The key that another tool's word stands for, and its value if that is fixed; None for other words.

    `keys` are the full keys of the method.
    """
    name = normal(word)
    if name in SWITCHES and SWITCHES[name][0] in keys:
        return SWITCHES[name]
    key = next((key for key in KEYS.get(name, ()) if key in keys), None)
    if key is None:
        return None
    # passes over the data are no number of steps, and the other way around
    is_other_unit = (key, True) in (("steps", "epoch" in name), ("epochs", "step" in name))
    return (key, "NUMBER") if is_other_unit else (key, None)


def written(value: Any) -> str:
    """A value as it is written on the command line: 1e-5, true, text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")
    return str(value)
