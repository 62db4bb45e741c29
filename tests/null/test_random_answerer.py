"""A seeded random answerer in place of a model shows no bias in any signed or debiased metric."""

import numpy as np
import pytest
import yaml
from bias_inheritance.data import labelled
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog
from bias_inheritance.tasks import classification, congruence, hiring, labelled_texts, salary, stories

TASKS = {
    "occupation-classification": (classification, None),
    "stereotype-congruence": (congruence, None),
    "hiring": (hiring, 24),
    "salary": (salary, None),
    "stance": (labelled_texts, None),
    "story-generation": (stories, None),
}
LABELS = catalog.load("domain", "gender")["labels"]
CULTURES = catalog.load("task", "hiring")["cultures"]
DATASET = "texts"  # of three classes, one of them far rarer
CLASSES = {"FAVOR": "favor", "AGAINST": "against", "NONE": "none"}
TRAITS = yaml.safe_load((ROOT / stories.LEXICON).read_text(encoding="utf-8"))
# (task, metric, group): what it is without bias
SIGNED = [
    ("occupation-classification", "accuracy", "male-female", 0),
    ("occupation-classification", "label_probability", "male-female", 0),
    *(("occupation-classification", "predicted_share", f"{label}:male-female", 0) for label in LABELS),
    *(("stereotype-congruence", "congruence", group, 0) for group in ("all", "male", "female", *LABELS)),
    ("stereotype-congruence", "accuracy", "congruent-incongruent", 0),
    *(("stereotype-congruence", "label_probability", side, 1 / len(LABELS)) for side in ("congruent", "incongruent")),
    ("hiring", "selected_share", "male-female", 0),
    *(("hiring", "selected_share", gender, 1 / 2) for gender in ("male", "female")),
    *(("hiring", "selected_share", culture, 1 / 4) for culture in CULTURES),
    *(("hiring", "selected_share", f"{culture}-{gender}", 1 / 8) for culture in CULTURES for gender in ("male", "female")),
    ("salary", "log_amount_gap", "male-female", 0),
    ("salary", "log_amount_written_gap", "male-female", 0),
    *(("stance", "recall", name, 1 / 3) for name in CLASSES),
    ("stance", "positive_share", "all", 1 / 3),
    *(("story-generation", "negative_share", culture, 1 / 2) for culture in CULTURES),
    *(("story-generation", "negative_share", dimension, 1 / 2) for dimension in TRAITS["negative"]),
]  # fmt: skip
DEBIASED = [("occupation-classification", "rms_tpr_gap", "all", 0)]


def answer(stream, item):
    """An answer without any preference: to options, to how much somebody earns, or a story with two traits."""
    if item.get("options"):
        return {"logprobs": stream.normal(size=len(item["options"])).tolist(), "text": None}
    if "temperature" in item:
        pairs = [TRAITS["pairs"][number] for number in stream.choice(len(TRAITS["pairs"]), 2)]
        return {"logprobs": None, "text": ". ".join(pair[stream.choice(["low", "high"])][0] for pair in pairs)}
    return {"logprobs": None, "text": f"${round(np.exp(stream.normal(11, 0.5))):,}"}


def task_and_items(name, kind, count, splits, domain):
    """(task, its items)."""
    task = dict(catalog.load("task", name))
    test = splits["test"] + splits["content"]
    if kind is labelled_texts:
        task["datasets"] = {DATASET: {"labels": CLASSES, "positive": ["FAVOR"], "question": "?"}}
        task["second_items"] = 0
        classes = ["FAVOR"] * 40 + ["AGAINST"] * 30 + ["NONE"] * 6
        test = [
            {"id": str(n), "twin": str(n), "dataset": DATASET, "label": label, "group": "all", "text": "a text"}
            for n, label in enumerate(classes)
        ]
    return task, list(kind.items(task, domain | {"fixture": False}, labelled, test, count))


@pytest.fixture(scope="module")
def runs(splits, domain):
    """Scores of 200 random answerers per task."""
    stream, scores = np.random.default_rng(1), {}
    for name, (kind, count) in TASKS.items():
        task, items = task_and_items(name, kind, count, splits, domain)
        for run in range(200):
            answers = [{**item, **answer(stream, item)} for item in items]
            # each run its own draws: the luck of one set of a hundred would be that of all runs
            for row in kind.score(answers, task, domain, 100, run):
                scores.setdefault((name, row["metric"], row["group"]), []).append(row)
    return scores


@pytest.mark.parametrize(("task", "metric", "group", "expected"), SIGNED + DEBIASED)
def test_mean_is_what_no_bias_gives(runs, task, metric, group, expected):
    values = np.array([row["value"] for row in runs[task, metric, group]])
    assert abs(values.mean() - expected) < 4 * values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize(("task", "metric", "group", "expected"), SIGNED)
def test_intervals_cover_what_no_bias_gives(runs, task, metric, group, expected):
    rows = runs[task, metric, group]
    covered = np.mean([row["ci_low"] <= expected <= row["ci_high"] for row in rows])
    assert covered > 0.85


def test_no_metric_is_left_out(runs):
    """Metrics that are neither signed nor debiased have no value that corresponds to no bias."""
    checked = {(task, metric) for task, metric, *_ in SIGNED + DEBIASED}
    levels = {"accuracy", "macro_f1", "macro_f1_majority", "position_share", "uninformative", "no_trait_share"}
    levels |= {"log_amount_expected", "log_amount_written"}
    assert {(task, metric) for task, metric, _ in runs if metric not in levels} == {
        (task, metric) for task, metric in checked if metric != "accuracy"
    }
