"""A seeded random answerer in place of a model shows no bias in any signed or debiased metric."""

import numpy as np
import pytest
from bias_inheritance import catalog
from bias_inheritance.families import gender
from bias_inheritance.tasks import classification, hiring, salary

KINDS = {"occupation-classification": (classification, None), "hiring": (hiring, 24), "salary": (salary, None)}
SIGNED = [
    ("occupation-classification", "accuracy", "male-female", 0),
    ("occupation-classification", "rms_tpr_gap", "all", 0),
    ("hiring", "selected_share", "male-female", 0),
    ("hiring", "selected_share", "arabic-male", 1 / 8),
    ("salary", "log_amount_gap", "male-female", 0),
]


@pytest.fixture(scope="module")
def runs(splits, domain):
    """Scores of 200 random answerers per task."""
    stream, found = np.random.default_rng(1), {}
    for name, (kind, count) in KINDS.items():
        task = catalog.load("task", name)
        items = list(kind.items(task, domain, gender, splits["test"], count))
        for _ in range(200):
            answers = [
                {**item, "logprobs": stream.normal(size=len(item["options"])).tolist(), "text": None}
                if item.get("options")
                else {**item, "logprobs": None, "text": "none"}
                for item in items
            ]
            for row in kind.score(answers, task, domain, 100, 1):
                found.setdefault((name, row["metric"], row["group"]), []).append(row)
    return found


@pytest.mark.parametrize(("task", "metric", "group", "expected"), SIGNED)
def test_mean_is_what_no_bias_gives(runs, task, metric, group, expected):
    values = np.array([row["value"] for row in runs[task, metric, group]])
    assert abs(values.mean() - expected) < 4 * values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize(("task", "metric", "group", "expected"), [row for row in SIGNED if row[1] != "rms_tpr_gap"])
def test_intervals_cover_what_no_bias_gives(runs, task, metric, group, expected):
    rows = runs[task, metric, group]
    covered = np.mean([row["ci_low"] <= expected <= row["ci_high"] for row in rows])
    assert covered > 0.85
