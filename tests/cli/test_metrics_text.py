"""Metrics as lines for the terminal."""

from fairlead.cli.metrics_text import left_out_line, metric_lines


def test_estimates_come_first_then_what_is_left_out_then_plain_numbers() -> None:
    metrics = {
        "loss": 0.25,
        "accuracy": {"value": 0.5, "low": 0.25, "high": None, "n": 12},
        "left_out": {"rows too long": 3, "ties": 1},
        "steps": 1200,
    }
    assert metric_lines(metrics) == [
        "accuracy 0.5 [0.25, unbounded], n = 12",
        "Left out: 3 rows too long, 1 tie.",
        "loss 0.25, steps 1,200",
    ]


def test_a_reason_for_a_single_row_is_in_the_singular() -> None:
    line = left_out_line({"rows too long": 1, "rows cut to fit": 1, "prompts too long": 1000})
    assert line == "Left out: 1 row too long, 1 row cut to fit, 1,000 prompts too long."
