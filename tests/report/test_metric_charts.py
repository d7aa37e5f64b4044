from fairlead.report import metric_charts


def captions(rows: list[dict[str, object]], **options: object) -> list[str]:
    charts = metric_charts.draw_metric_charts(rows, **options)  # type: ignore[arg-type]
    return [str(chart).split("<figcaption>")[1].split("<")[0] for chart in charts]


def test_training_and_held_out_share_a_chart() -> None:
    rows: list[dict[str, object]] = [{"step": 1, "loss": 2.0, "held_out_loss": 2.1}, {"step": 2, "loss": 1.0}]
    assert captions(rows) == ["Loss"]


def test_a_metric_alone_of_a_pair_says_which_one_it_is() -> None:
    assert captions([{"step": 1, "held_out_accuracy": 0.7}]) == ["Accuracy, held-out"]


def test_an_unknown_metric_is_charted_under_its_name_after_the_known_ones() -> None:
    assert captions([{"step": 1, "tokens_per_s": 9.0, "lr": 0.1, "reward": 1.0}]) == [
        "Reward",
        "Learning rate",
        "tokens_per_s",
    ]


def test_what_is_not_a_number_is_no_metric() -> None:
    assert captions([{"step": 1, "note": "x", "done": True, "gap": None}, {"loss": 1.0}]) == []


def test_only_chooses_and_orders() -> None:
    rows: list[dict[str, object]] = [{"step": 1, "reward": 1.0, "kl": 0.1, "lr": 0.1}]
    assert captions(rows, only=("kl", "reward", "probe")) == ["KL divergence, mean", "Reward"]
    assert captions(rows, only=("reward",), prefix="PPO: ") == ["PPO: Reward"]


def test_values_come_in_the_order_of_steps() -> None:
    rows: list[dict[str, float]] = [{"step": 2, "loss": 1.0}, {"step": 1, "loss": 3.0}, {"step": 3}]
    assert metric_charts.metric_values(rows, "loss") == [3.0, 1.0]
    assert metric_charts.metric_values(rows, "probe") == []


def test_every_metric_of_the_recipes_is_known() -> None:
    names = {
        *(
            "loss",
            "held_out_loss",
            "accuracy",
            "held_out_accuracy",
            "margin",
            "chosen_logps",
            "rejected_logps",
            "lr",
            "grad_norm",
        ),
        *(
            "chosen_logratio",
            "rejected_logratio",
            "desirable_logratio",
            "undesirable_logratio",
            "reference_point",
        ),
        *("demonstration_loss", "comparison_loss", "binary_loss", "rating_loss", "demonstration_logratio"),
        *("sft_loss", "held_out_sft_loss", "dpo_loss", "held_out_dpo_loss"),
        *(
            "reward",
            "score",
            "probe",
            "kl",
            "kl_k3",
            "kl_coef",
            "entropy",
            "response_tokens",
            "finished_frac",
        ),
        *("policy_loss", "value_loss", "clip_frac", "approx_kl", "explained_variance"),
        *("score_std", "ptx_loss", "ratio"),
    }
    known = [name for topic in metric_charts.METRIC_CHARTS for name in topic.metrics]
    assert sorted(known) == sorted(names)
    assert all(topic.look_for for topic in metric_charts.METRIC_CHARTS)


def test_titles() -> None:
    assert [metric_charts.metric_title(name) for name in ("probe", "held_out_loss", "mystery")] == [
        "Probe",
        "Loss, held-out",
        "mystery",
    ]
