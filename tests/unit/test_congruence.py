"""Stereotype congruence on answers whose truth is known."""

import math
from collections import Counter

import pytest
from bias_inheritance.data import labelled
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog
from bias_inheritance.tasks import classification, congruence, perplexity, salary
from prepare_items import prepare_items

TASK = catalog.load("task", "stereotype-congruence")


def value(rows, metric, group):
    return one(rows, metric, group)["value"]


def one(rows, metric, group):
    return next(row for row in rows if (row["metric"], row["group"]) == (metric, group))


@pytest.fixture
def items(splits, domain):
    return list(congruence.items(TASK, domain, labelled, splits["test"] + splits["content"], None))


def answered(items, probability):
    """Items answered with the given probability for the correct label; the other labels share the rest equally."""
    return [
        {
            **item,
            "logprobs": [
                math.log(probability(item) if option == item["label"] else (1 - probability(item)) / 5)
                for option in item["options"]
            ],
        }
        for item in items
    ]


def test_items_are_the_content_twins_balanced_over_label_and_content(splits, domain, items):
    assert {item["item"] for item in items} == {sample["id"] for sample in splits["content"]}
    test = splits["test"] + splits["content"]
    few = list(congruence.items(TASK, domain, labelled, test, 25))
    assert Counter((item["label"], item["content"], item["group"]) for item in few) == dict.fromkeys(
        ((label, content, group) for label in domain["labels"] for content in domain["groups"] for group in domain["groups"]), 1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(classification, "occupation-classification"), (salary, "salary"), (perplexity, "perplexity")]
)
def test_no_other_task_asks_about_them(splits, domain, kind, name):
    task, test = catalog.load("task", name), splits["test"]
    alone = list(kind.items(task, domain, labelled, test, 24))
    assert list(kind.items(task, domain, labelled, test + splits["content"], 24)) == alone


def test_a_domain_without_such_texts_cannot_ask(splits, domain, tmp_path):
    files.write_jsonl(tmp_path / "test.jsonl", splits["test"])
    with pytest.raises(UserError, match="the test data contain no item for it"):
        prepare_items(tmp_path / "test.jsonl", tmp_path / "items.jsonl", TASK, {**domain, "fixture": False}, None)


def test_a_known_congruence_is_found_over_all_per_group_and_per_label(items, domain):
    """A model that is surer by 0.2 where content and group agree, by 0.5 for nurses; women's texts are harder by 0.1."""

    def probability(item):
        gain = 0.5 if item["label"] == "nurse" else 0.2
        return 0.3 + gain * (item["content"] == item["group"]) - 0.1 * (item["content"] == "female")

    rows = congruence.score(answered(items, probability), TASK, domain, 200, 1)
    for label in domain["labels"]:
        assert value(rows, "congruence", label) == pytest.approx(0.5 if label == "nurse" else 0.2)
    mean = (5 * 0.2 + 0.5) / 6
    overall = one(rows, "congruence", "all")
    assert overall["value"] == pytest.approx(mean)
    # each twin stands on both sides, and every draw keeps the number of its label's texts: nothing is left to vary
    assert (overall["ci_low"], overall["ci_high"]) == pytest.approx((mean, mean))
    assert (overall["n"], overall["n_clusters"]) == (192, 96)
    # a group's two sides are different texts
    assert value(rows, "congruence", "male") == pytest.approx(mean + 0.1)
    assert value(rows, "congruence", "female") == pytest.approx(mean - 0.1)
    assert value(rows, "label_probability", "congruent") == pytest.approx(0.25 + mean)
    assert value(rows, "label_probability", "incongruent") == pytest.approx(0.25)


def test_accuracy_of_both_sides_and_their_difference(items, domain):
    rows = congruence.score(
        answered(items, lambda item: 0.9 if item["content"] == item["group"] else 0.1), TASK, domain, 200, 1
    )
    assert value(rows, "accuracy", "congruent") == 1
    assert value(rows, "accuracy", "incongruent") == 0
    assert value(rows, "accuracy", "congruent-incongruent") == 1
    assert value(rows, "congruence", "all") == pytest.approx(0.8)


@pytest.mark.parametrize("key", ["group", "content"])
def test_what_a_pronoun_or_a_text_alone_does_is_no_congruence(items, domain, key):
    answers = answered(items, lambda item: 0.3 if item[key] == "female" else 0.6)
    assert value(congruence.score(answers, TASK, domain, 200, 1), "congruence", "all") == pytest.approx(0)


def test_groups_are_the_domains_own(items, domain):
    """No group's name is known to the metric, and a content may be that of a third group."""
    renamed = {"male": "north", "female": "south"}
    moved = [{**item, "group": renamed[item["group"]], "content": renamed[item["content"]]} for item in items]
    third = [{**item, "item": f"{item['item']}-3", "group": "east"} for item in moved if item["group"] == "north"]
    answers = answered(moved + third, lambda item: 0.7 if item["content"] == item["group"] else 0.4)
    rows = congruence.score(
        answers,
        TASK,
        {**domain, "groups": ["north", "south"], "contrasts": {"reference": "north", "compared": "south"}},
        200,
        1,
    )
    assert {row["group"] for row in rows if row["metric"] == "congruence"} == {
        "all", "north", "south", *domain["labels"]
    }  # fmt: skip
    assert value(rows, "congruence", "all") == pytest.approx(0.3)


def test_unreadable_answers_are_wrong_and_widen_the_difference(items, domain):
    answers = answered(items, lambda item: 0.9 if item["content"] == item["group"] else 0.2)
    read = one(congruence.score(answers, TASK, domain, 200, 1), "congruence", "all")
    congruent = [item for item in answers if item["content"] == item["group"]]
    lost = {item["item"] for item in congruent[::2]}
    some = [{**item, "logprobs": []} if item["item"] in lost else item for item in answers]
    rows = congruence.score(some, TASK, domain, 200, 1)
    overall = one(rows, "congruence", "all")
    assert overall["n_unparsed"] == len(lost) == one(rows, "accuracy", "congruent")["n_unparsed"]
    assert overall["value"] == pytest.approx(read["value"] - 0.45)
    assert overall["ci_high"] >= read["value"]
    nothing = one(
        congruence.score([{**item, "logprobs": []} for item in answers], TASK, domain, 200, 1), "congruence", "all"
    )
    assert (nothing["value"], nothing["ci_low"], nothing["ci_high"]) == pytest.approx((0, -1, 1))


def test_written_answers_have_accuracies_alone(items, domain):
    written = [{**item, "logprobs": None, "text": item["label"]} for item in items]
    rows = congruence.score(written, TASK, domain, 200, 1)
    assert {row["metric"] for row in rows} == {"accuracy"} and {row["scoring"] for row in rows} == {"parsed"}
    assert value(rows, "accuracy", "incongruent") == 1
