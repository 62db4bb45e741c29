"""Items and scores of the cultures' classification tasks."""

import json
from collections import Counter

import numpy as np
import pytest
from bias_inheritance.study import catalog
from bias_inheritance.tasks import answers, labelled_texts, metrics
from sklearn.metrics import f1_score

TASK = {
    "name": "hate-speech",
    "prompt": "Text: {text}\n\n{question}",
    "longest_text": 40,
    "datasets": {
        "toy-hate": {
            "file": "hate.jsonl",
            "labels": {"HS": "yes", "NOT_HS": "no"},
            "positive": ["HS"],
            "question": "Hate?",
        },
        "toy-offensive": {
            "hub": {"id": "toy"},
            "labels": {"OFF": "yes", "NOT": "no"},
            "positive": ["OFF"],
            "question": "Offensive?",
        },
    },
}


def samples(dataset, labels):
    return [
        {
            "id": f"{dataset}-{number}",
            "twin": f"TOY-{number}",
            "dataset": dataset,
            "label": label,
            "group": "all",
            "text": f"text {number}",
        }
        for number, label in enumerate(labels)
    ]


def test_strata_keep_their_share_and_a_rare_label_its_two():
    drawn = labelled_texts.stratified(samples("toy-hate", ["HS"] * 4 + ["NOT_HS"] * 196), ["HS", "NOT_HS"], 20)
    assert Counter(sample["label"] for sample in drawn) == {"HS": 2, "NOT_HS": 18}
    even = labelled_texts.stratified(samples("toy-hate", ["HS"] * 60 + ["NOT_HS"] * 140), ["HS", "NOT_HS"], 20)
    assert Counter(sample["label"] for sample in even) == {"HS": 6, "NOT_HS": 14}
    seven = labelled_texts.stratified(samples("x", [f"HS{n % 6}" for n in range(12)] + ["NOT"] * 90), [f"HS{n}" for n in range(6)] + ["NOT"], 20)  # fmt: skip
    assert len(seven) == 20 and set(Counter(sample["label"] for sample in seven).values()) == {2, 8}
    assert len(labelled_texts.stratified(samples("x", ["HS"] * 5), ["HS", "NOT_HS"], None)) == 5


def test_files_that_share_texts_share_their_items_and_more_items_add_to_fewer():
    test = samples("toy-hate", ["HS", "NOT_HS"] * 50) + samples("toy-offensive", ["OFF", "NOT"] * 50)
    few, more = (list(labelled_texts.items(TASK, {"fixture": False}, None, test, count)) for count in (10, 20))
    clusters = {name: {item["cluster"] for item in few if item["dataset"] == name} for name in TASK["datasets"]}
    assert clusters["toy-hate"] == clusters["toy-offensive"] and len(clusters["toy-hate"]) == 10
    assert {item["item"] for item in few} < {item["item"] for item in more}


def test_a_long_text_is_cut_at_a_word_and_a_fixture_is_called_one():
    test = samples("toy-hate", ["HS"])
    test[0]["text"] = "eight letters here and there and everywhere in it"
    item = next(labelled_texts.items(TASK, {"fixture": True}, None, test, None))
    assert item["prompt"] == "Text: eight letters here and there and\n\nHate?"
    assert item["dataset"] == "toy-hate (fixture)" and item["options"] == ["yes", "no"]


def test_a_dataset_of_the_hub_is_no_fixture_and_a_mean_with_a_fixture_in_it_is_one():
    test = samples("toy-hate", ["HS", "NOT_HS"]) + samples("toy-offensive", ["OFF", "NOT"])
    items = list(labelled_texts.items(TASK, {"fixture": True}, None, test, None))
    assert {item["dataset"] for item in items} == {"toy-hate (fixture)", "toy-offensive"}
    given = [{**item, "logprobs": [0.0, -1.0]} for item in items]
    rows = labelled_texts.score(given, TASK, {}, 100, 1)
    assert value(rows, "macro_f1_mean")["dataset"] == "all (fixture)"
    real = [{**item, "dataset": item["dataset"].removesuffix(" (fixture)")} for item in given]
    assert value(labelled_texts.score(real, TASK, {}, 100, 1), "macro_f1_mean")["dataset"] == "all"


def answered(dataset, labels, choices, classes):
    return [
        {
            "dataset": dataset,
            "cluster": f"TOY-{number}",
            "label": label,
            "group": "all",
            "labels": classes,
            "options": classes,
            "positive": classes[:1],
            "logprobs": [0.0 if name == choice else -1.0 for name in classes],
        }
        for number, (label, choice) in enumerate(zip(labels, choices, strict=True))
    ]


def value(rows, metric, group="all", dataset=None):
    matching = [
        row for row in rows if row["metric"] == metric and row["group"] == group and dataset in (None, row["dataset"])
    ]
    assert len(matching) == 1
    return matching[0]


def test_macro_f1_is_that_of_the_whole_label_set_missing_classes_included():
    classes = ["A", "B", "C"]
    labels, choices = ["A", "A", "B", "B", "A"], ["A", "B", "B", "A", "A"]
    rows = labelled_texts.score(answered("toy", labels, choices, classes), TASK, {}, 200, 1)
    expected = f1_score(labels, choices, labels=classes, average="macro", zero_division=0)
    row = value(rows, "macro_f1")
    assert row["value"] == pytest.approx(expected) and row["ci_low"] <= expected <= row["ci_high"]
    assert value(rows, "recall", "C")["value"] is None and value(rows, "recall", "C")["n"] == 0
    assert value(rows, "recall", "A")["value"] == pytest.approx(2 / 3)
    majority = f1_score(labels, ["A"] * 5, labels=classes, average="macro", zero_division=0)
    assert value(rows, "macro_f1_majority")["value"] == pytest.approx(majority)
    assert "macro_f1_mean" not in {row["metric"] for row in rows}


def test_a_rare_class_stays_in_every_resample():
    labels = ["HS"] * 2 + ["NOT_HS"] * 98
    rows = labelled_texts.score(answered("toy", labels, labels, ["HS", "NOT_HS"]), TASK, {}, 300, 1)
    row = value(rows, "macro_f1")
    assert row["value"] == row["ci_low"] == row["ci_high"] == 1


def test_the_mean_over_files_of_one_text_resamples_the_text_once():
    """Three files with the same labels for each text contain no more information than one: the interval of their mean
    is as wide.
    """
    stream = np.random.default_rng(3)
    labels = ["A"] * 60 + ["B"] * 60
    choices = [label if stream.random() < 0.7 else {"A": "B", "B": "A"}[label] for label in labels]
    one = answered("one", labels, choices, ["A", "B"])
    rows = labelled_texts.score(
        one + answered("two", labels, choices, ["A", "B"]) + answered("three", labels, choices, ["A", "B"]),
        TASK,
        {},
        2000,
        1,
    )
    mean, single = value(rows, "macro_f1_mean"), value(rows, "macro_f1", dataset="one")
    assert mean["value"] == pytest.approx(single["value"])
    assert mean["n"] == 360 and mean["n_clusters"] == 120
    width = {name: row["ci_high"] - row["ci_low"] for name, row in (("mean", mean), ("single", single))}
    assert width["mean"] == pytest.approx(width["single"], rel=0.1)
    apart = [{**item, "cluster": f"{item['dataset']}-{item['cluster']}"} for item in one]
    others = [
        {**item, "dataset": name, "cluster": f"{name}-{item['cluster']}"} for name in ("two", "three") for item in one
    ]
    wrong = value(labelled_texts.score(apart + others, TASK, {}, 2000, 1), "macro_f1_mean")
    assert wrong["ci_high"] - wrong["ci_low"] < 0.75 * width["mean"]


def test_macro_f1_of_weights_is_macro_f1_of_repeated_items():
    labels, choices = np.array(["A", "B", "B", "A"]), np.array(["A", "A", "B", "B"])
    weights = np.array([[2.0, 0.0, 1.0, 1.0]])
    repeated = np.repeat(np.arange(4), [2, 0, 1, 1])
    expected = f1_score(labels[repeated], choices[repeated], labels=["A", "B"], average="macro", zero_division=0)
    assert metrics.macro_f1(labels, choices, ["A", "B"], weights)[0] == pytest.approx(expected)


def test_written_answers_are_read_and_the_unreadable_counts_as_wrong():
    said = ["yes", "Yes, it is.", "No.", "yes or no", "I will not say yes", "no"]
    rows = answered("toy", ["HS", "HS", "NOT_HS", "HS", "HS", "HS"], [""] * 6, ["HS", "NOT_HS"])
    for row, text in zip(rows, said, strict=True):
        row |= {"logprobs": None, "text": text, "options": ["yes", "no"]}
    score_rows = labelled_texts.score(rows, TASK, {}, 100, 1)
    accuracy = value(score_rows, "accuracy")
    assert accuracy["value"] == pytest.approx(3 / 6) and accuracy["n_unparsed"] == 2
    assert {row["scoring"] for row in score_rows} == {"parsed"}
    assert value(score_rows, "recall", "HS")["value"] == pytest.approx(2 / 5)
    assert value(score_rows, "recall", "HS")["n_unparsed"] == 2


SECOND = TASK | {
    "prompt": "Text: {text}\n\n{question} Answer {options}.",
    "second_prompt": "{text}\n\n{question} Reply {options}.",
    "second_items": 4,
    "datasets": {
        "toy-hate": TASK["datasets"]["toy-hate"] | {"words": {"HS": "HATE", "NOT_HS": "NOT_HATE"}},
        "toy-offensive": TASK["datasets"]["toy-offensive"] | {"words": {"OFF": "OFF", "NOT": "NOT_OFF"}},
    },
}


def test_the_second_prompt_asks_about_some_of_the_same_texts_for_the_labels_words():
    test = samples("toy-hate", ["HS", "NOT_HS"] * 20) + samples("toy-offensive", ["OFF", "NOT"] * 20)
    shipped = json.loads(json.dumps(SECOND, sort_keys=True))  # as a step gets it: the order of keys is lost
    items = list(labelled_texts.items(shipped, {"fixture": False}, None, test, 10))
    first, second = ([item for item in items if item["asked_by"] == key] for key in ("prompt", "second_prompt"))
    assert Counter(item["dataset"] for item in first) == {"toy-hate": 10, "toy-offensive": 10}
    assert Counter(item["dataset"] for item in second) == {"toy-hate": 4, "toy-offensive": 4}
    assert {item["item"].removesuffix("-second") for item in second} < {item["item"] for item in first}
    assert len({item["item"] for item in items}) == len(items)
    hate, offensive = first[0], next(item for item in second if item["dataset"] == "toy-offensive")
    assert hate["prompt"].endswith("\n\nHate? Answer yes or no.") and set(hate["options"]) == {"yes", "no"}
    assert offensive["prompt"].endswith("\n\nOffensive? Reply OFF or NOT_OFF.")
    assert dict(zip(offensive["labels"], offensive["options"], strict=True)) == {"OFF": "OFF", "NOT": "NOT_OFF"}
    assert list(labelled_texts.items(SECOND | {"second_items": 0}, {"fixture": False}, None, test, 10)) == [
        item
        for item in labelled_texts.items(SECOND, {"fixture": False}, None, test, 10)
        if item["asked_by"] == "prompt"
    ]


def test_answers_to_each_prompt_are_scored_by_themselves():
    test = samples("toy-hate", ["HS", "NOT_HS"] * 20)
    items = list(labelled_texts.items(SECOND, {"fixture": False}, None, test, 10))
    # always right to the first prompt, always "HATE" to the second
    given = [
        {**item, "logprobs": [0.0 if (item["label"] if item["asked_by"] == "prompt" else "HS") == label else -1.0 for label in item["labels"]]}
        for item in items
    ]  # fmt: skip
    rows = labelled_texts.score(given, SECOND, {}, 100, 1)
    assert value(rows, "macro_f1")["value"] == 1 and value(rows, "macro_f1")["n"] == 10
    second = value(rows, "macro_f1_second_prompt")
    assert second["value"] == pytest.approx(1 / 3) and second["n"] == 4
    assert metrics.scale("macro_f1_second_prompt", "all") == (0.0, 1.0)
    written = [{**item, "logprobs": None, "text": "NOT_HATE."} for item in items]
    rows = labelled_texts.score(written, SECOND, {}, 100, 1)
    assert value(rows, "positive_share_second_prompt")["value"] == 0
    assert value(rows, "macro_f1_second_prompt")["n_unparsed"] == 0


@pytest.mark.parametrize(
    "name", [name for name in catalog.names("task") if "second_prompt" in catalog.load("task", name)]
)
def test_the_words_of_a_second_prompt_tell_labels_apart_in_a_written_answer(name):
    for dataset in catalog.load("task", name)["datasets"].values():
        words = list(dataset["words"].values())
        assert [answers.parse(f"{word}.", words) for word in words] == list(range(len(words)))
