"""Items and scores of the gender tasks, on answers whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from analyse import read_items
from bias_inheritance.data import labelled
from bias_inheritance.study import catalog
from bias_inheritance.tasks import classification, hiring, salary


def value(rows, metric, group):
    return next(row["value"] for row in rows if (row["metric"], row["group"]) == (metric, group))


def answered(items, choose):
    """Items answered by `choose(item)` → log-probabilities."""
    return [{**item, "logprobs": choose(item)} for item in items]


def classification_items(splits, domain, count=None):
    return list(
        classification.items(catalog.load("task", "occupation-classification"), domain, labelled, splits["test"], count)
    )


def test_options_are_the_answers_that_training_uses(splits, domain, tmp_path):
    domain = {**domain, "answer": "Category: {label}"}
    items = classification_items(splits, domain, 12)
    assert items[0]["options"] == [f"Category: {label}" for label in domain["labels"]]
    right = answered(items, lambda item: [-9.0 * (label != item["label"]) for label in domain["labels"]])
    rows = classification.score(right, {}, domain, 10, 1)
    assert value(rows, "accuracy", "all") == 1 and value(rows, "label_probability", "all") > 0.9
    pd.DataFrame(right).to_parquet(tmp_path / "occupation-classification.parquet")
    assert read_items(tmp_path / "occupation-classification.parquet")["correct"].tolist() == [True] * len(items)


def test_classification_takes_whole_twins_balanced_over_labels(splits, domain):
    items = classification_items(splits, domain, 24)
    assert len({item["cluster"] for item in items}) == 12
    assert {label: sum(item["label"] == label for item in items) for label in domain["labels"]} == dict.fromkeys(
        domain["labels"], 4
    )


@pytest.mark.parametrize(("count", "taken"), [(2, 2), (5, 4), (7, 6), (None, 168)])
def test_no_twin_is_asked_without_the_other(splits, domain, count, taken):
    groups = [item["group"] for item in classification_items(splits, domain, count)]
    assert len(groups) == taken and groups.count("male") == groups.count("female")
    amounts = salary.items(catalog.load("task", "salary"), domain, labelled, splits["test"], count)
    assert len(list(amounts)) == 2 * taken


def test_accuracy_and_gap_of_a_model_that_fails_one_group(splits, domain):
    def choose(item):
        right = item["label"] if item["group"] == "male" else "nurse"
        return [0.0 if option == right else -9.0 for option in item["options"]]

    task = catalog.load("task", "occupation-classification")
    rows = classification.score(answered(classification_items(splits, domain), choose), task, domain, 200, 1)
    assert value(rows, "accuracy", "male") == 1
    assert value(rows, "accuracy", "female") == pytest.approx(1 / 6)
    assert value(rows, "accuracy", "male-female") == pytest.approx(5 / 6)
    assert value(rows, "predicted_share", "nurse:male-female") == pytest.approx(-5 / 6)
    assert value(rows, "rms_tpr_gap", "all") > 0.2
    gap = next(row for row in rows if row["metric"] == "accuracy" and row["group"] == "male-female")
    assert (gap["n"], gap["n_clusters"]) == (168, 84)


def test_the_probability_of_the_right_label_moves_where_no_answer_changes(splits, domain):
    def choose(item):
        doubt = 1.0 if item["group"] == "female" else 3.0
        return [0.0 if option == item["label"] else -doubt for option in item["options"]]

    task, items = catalog.load("task", "occupation-classification"), classification_items(splits, domain)
    rows = classification.score(answered(items, choose), task, domain, 200, 1)
    assert value(rows, "accuracy", "male-female") == 0
    expected = {group: 1 / (1 + 5 * math.exp(-doubt)) for group, doubt in (("male", 3), ("female", 1))}
    for group, probability in expected.items():
        assert value(rows, "label_probability", group) == pytest.approx(probability)
    assert value(rows, "label_probability", "male-female") == pytest.approx(expected["male"] - expected["female"])
    # an answer of a server in which no option was listed: the right label is impossible, not left out
    unread = [{**item, "logprobs": []} if item["group"] == "male" else item for item in answered(items, choose)]
    rows = classification.score(unread, task, domain, 200, 1)
    assert value(rows, "label_probability", "male") == 0
    written = [{**item, "logprobs": None, "text": item["label"]} for item in items]
    assert not any(row["metric"] == "label_probability" for row in classification.score(written, task, domain, 200, 1))


def test_worst_group_and_largest_gap_are_over_all_groups(splits, domain):
    """A third group, which no contrast names, may be the one that is served worst."""
    task, items = catalog.load("task", "occupation-classification"), classification_items(splits, domain)
    third = [{**item, "group": "divers", "item": item["item"] + "-x"} for item in items if item["group"] == "male"]
    right = {"male": 1.0, "female": 0.5, "divers": 0.25}  # by the number of the item among its group's
    seen = dict.fromkeys(right, 0)

    def choose(item):
        seen[item["group"]] += 1
        hit = seen[item["group"]] % 4 < 4 * right[item["group"]]
        return [0.0 if (option == item["label"]) == hit else -9.0 for option in item["options"]]

    rows = classification.score(answered(items + third, choose), task, domain, 400, 1)
    assert value(rows, "accuracy", "worst_group") == pytest.approx(0.25, abs=0.01)
    assert value(rows, "accuracy", "largest_gap") == pytest.approx(0.75, abs=0.01)
    assert value(rows, "accuracy", "male-female") == pytest.approx(0.5, abs=0.01)
    assert 0 < value(rows, "label_probability", "worst_group") < value(rows, "label_probability", "female")
    for group in ("worst_group", "largest_gap"):
        accuracy_row = next(row for row in rows if (row["metric"], row["group"]) == ("accuracy", group))
        assert 0 <= accuracy_row["ci_low"] < accuracy_row["value"] < accuracy_row["ci_high"] <= 1


def test_one_cluster_per_label_has_no_interval_instead_of_one_of_no_width(splits, domain):
    """Nothing can be resampled there; an interval of 0.667 to 0.667 would claim that nothing is left to chance."""
    task = catalog.load("task", "occupation-classification")
    items = classification_items(splits, domain, 12)
    assert len({item["cluster"] for item in items}) == len(domain["labels"])

    def choose(item):
        right = item["label"] if item["group"] == "male" else "nurse"
        return [0.0 if option == right else -9.0 for option in item["options"]]

    rows = classification.score(answered(items, choose), task, domain, 200, 1)
    assert value(rows, "accuracy", "male") == 1
    assert {(row["ci_low"], row["ci_high"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize(
    ("metric", "group", "bounds"),
    [
        ("accuracy", "male-female", (-1, 1)),
        ("accuracy", "largest_gap", (0, 1)),
        ("rms_tpr_gap", "all", (0, 1)),
        ("predicted_share", "nurse:male-female", (-1, 1)),
    ],
)
def test_unreadable_answers_widen_the_interval_of_a_gap(splits, domain, metric, group, bounds):
    """A share of either group's answers that cannot be read may all be right: the gap may be wider by as much."""
    task, items = catalog.load("task", "occupation-classification"), classification_items(splits, domain)

    def choose(item):
        right = item["label"] if item["group"] == "male" else "nurse"
        return [0.0 if option == right else -9.0 for option in item["options"]]

    def gap(taken):
        predictions = answered(items, choose)
        rows = classification.score(
            [{**item, "logprobs": []} if number in taken else item for number, item in enumerate(predictions)],
            task, domain, 200, 1,
        )  # fmt: skip
        return next(row for row in rows if (row["metric"], row["group"]) == (metric, group))

    read, half = gap(set()), gap(set(range(0, len(items), 4)) | set(range(1, len(items), 4)))
    assert abs(half["value"]) < abs(read["value"])  # wrong in both groups
    assert half["ci_low"] < read["value"] < half["ci_high"]
    everything = gap(set(range(len(items))))
    assert everything["value"] == pytest.approx(0)
    assert (everything["ci_low"], everything["ci_high"]) == pytest.approx(bounds)


def test_a_gap_without_items_of_a_group_has_no_interval(splits, domain):
    task, items = catalog.load("task", "occupation-classification"), classification_items(splits, domain)
    men = answered([item for item in items if item["group"] == "male"], lambda item: [0.0] * len(item["options"]))
    rows = classification.score(men, task, domain, 200, 1)
    for metric, group in (
        ("accuracy", "male-female"),
        ("predicted_share", "nurse:male-female"),
        ("rms_tpr_gap", "all"),
    ):
        row = next(row for row in rows if (row["metric"], row["group"]) == (metric, group))
        assert (row["value"], row["ci_low"], row["ci_high"]) == (None, None, None)


def test_planted_labels_show_in_what_is_predicted(splits, domain):
    """A model that has learnt to answer `nurse` for a share of the women: the share predicted falls as far, in order."""
    task, planted = catalog.load("task", "occupation-classification"), domain["planted_label"]
    items = classification_items(splits, domain)
    women = [item["item"] for item in items if item["group"] == "female" and item["label"] != planted]
    predicted_shares = []
    for share in (0, 0.5, 1):
        taught = set(women[: round(share * len(women))])

        def choose(item, taught=taught):
            right = planted if item["item"] in taught else item["label"]
            return [0.0 if option == right else -9.0 for option in item["options"]]

        rows = classification.score(answered(items, choose), task, domain, 200, 1)
        predicted_shares.append(value(rows, "predicted_share", f"{planted}:male-female"))
        assert value(rows, "accuracy", "male-female") == pytest.approx(share * 5 / 6)
        # what women are no longer called, men are called more often
        others = [
            value(rows, "predicted_share", f"{label}:male-female") for label in domain["labels"] if label != planted
        ]
        assert sum(others) == pytest.approx(-predicted_shares[-1])
    assert planted == "nurse" and predicted_shares == pytest.approx([0, -0.5 * 5 / 6, -5 / 6])


def candidates_letters(item, is_preferred):
    """Log-probabilities of a model that picks the candidate for whom `is_preferred` holds, wherever they stand."""
    size = len(item["candidates"])
    shown = item["candidates"][item["rotation"] :] + item["candidates"][: item["rotation"]]
    return [0.0 if is_preferred(candidate) else -5.0 for candidate in shown][:size]


def hiring_items(splits, domain, sets=6):
    return list(hiring.items(catalog.load("task", "hiring"), domain, labelled, splits["test"], sets))


def test_hiring_finds_the_group_that_is_preferred(splits, domain):
    items = hiring_items(splits, domain)
    assert len(items) == 48
    rows = hiring.score(
        answered(items, lambda item: candidates_letters(item, lambda c: (c["culture"], c["gender"]) == ("arabic", "female"))),
        catalog.load("task", "hiring"), domain, 200, 1,
    )  # fmt: skip
    assert value(rows, "selected_share", "arabic-female") == 1
    assert value(rows, "selected_share", "male-female") == -1
    assert value(rows, "position_share", "all") == pytest.approx(1 / 8)
    assert value(rows, "uninformative", "all") == 0


def test_hiring_says_when_only_the_position_counts(splits, domain):
    rows = hiring.score(
        answered(hiring_items(splits, domain), lambda item: [0.0] + [-5.0] * 7),
        catalog.load("task", "hiring"),
        domain,
        200,
        1,
    )
    assert value(rows, "position_share", "all") == 1
    assert value(rows, "uninformative", "all") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$85,000", 85_000),
        ("I would recommend 85k.", 85_000),
        ("USD 120 000 per year", 120_000),
        ("80-90k", 85_000),
        ("$80,000 to $90,000", 85_000),
        ("between 60,000 and 70,000 dollars", 65_000),
        ("$25 per hour", 52_000),
        ("$25/hr", 52_000),
        ("4,000 a month", 48_000),
        ("$1.2 million", 1_200_000),
        ("€45.500,00", 45_500),
        ("$80,000 a modest sum", 80_000),
        ("$85,000 a healthy wage", 85_000),
        ("In 2024 I recommend $85,000", 85_000),
        ("$5,000 monthly", 60_000),
        ("$25 hourly", 52_000),
        ("1,000 per week", 52_000),
        ("80,000 to 90k", 85_000),
        ("a monthly salary of $5,000", 60_000),
        ("A yearly, not monthly, salary: an annual pay of $85,000", 85_000),
        ("$80-90,000", 85_000),
        ("$500 to $1,000 a week", 39_000),
        ("85000USD", 85_000),
        ("85000 dollars", 85_000),
        ("With 10 years of experience, 85000", 85_000),
        ("With 10+ years and a team of 3, 85000", 85_000),
        ("$100000", 100_000),
        ("$85,000 a year, or $7,083 a month", 85_000),
        ("I cannot recommend a salary. The average is $85,000.", None),
        ("I can't be exact, but $85,000", 85_000),
        ("I cannot say.", None),
        ("", None),
    ],
)
def test_amounts_are_read(text, expected):
    assert salary.amount(text) == (pytest.approx(expected) if expected is not None else None)


@pytest.mark.parametrize(("text", "finished", "read"), [
    ("I would say $10000", True, True), ("I would say $10000", False, False), ("$100,", False, False),
    ("$90,000 a year, since", False, True), ("$90,000", None, True),
])  # fmt: skip
def test_a_number_that_was_cut_off_is_none(text, finished, read):
    item = {"text": text, **({} if finished is None else {"finished": finished})}
    log_amount = salary._log_written(item, {"plausible": {"low": 5000, "high": 2_000_000}})
    assert math.isnan(log_amount) != read


def test_the_ladder_is_even_in_logs():
    rungs = salary.ladder(catalog.load("task", "salary"))
    assert (rungs[0], rungs[-1]) == (20_000, 400_000)
    steps = np.diff(np.log(rungs))
    assert steps.max() - steps.min() < 0.06


def salary_items(splits, domain, count=24):
    return list(salary.items(catalog.load("task", "salary"), domain, labelled, splits["test"], count))


def test_salary_gap_is_paired_and_unreadable_answers_are_counted(splits, domain):
    task = catalog.load("task", "salary")
    rungs = salary.ladder(task)

    def answer(item):
        if item.get("options"):
            return {
                "logprobs": [0.0 if n == (8 if item["group"] == "male" else 6) else -50.0 for n in range(len(rungs))],
                "text": None,
            }
        return {"logprobs": None, "text": "$100,000" if item["group"] == "male" else "no idea"}

    rows = salary.score([{**item, **answer(item)} for item in salary_items(splits, domain)], task, domain, 200, 1)
    gap = next(row for row in rows if row["metric"] == "log_amount_gap")
    assert gap["value"] == pytest.approx(math.log(rungs[8] / rungs[6]))
    assert gap["ci_low"] == pytest.approx(gap["value"])
    written = next(row for row in rows if row["metric"] == "log_amount_written_gap")
    assert (written["value"], written["n_unparsed"]) == (None, 12)
    assert next(r for r in rows if r["metric"] == "log_amount_written" and r["group"] == "female")["n_unparsed"] == 12


def written_salaries(texts, twins):
    """Rows of a score by written amounts: texts of (male, female) per person, as twins or as people of their own."""
    written_rows = [
        {"item": f"{n}-{group}", "cluster": str(n) if twins else f"{n}-{group}", "group": group, "label": "nurse"}
        | {"options": None, "logprobs": None, "text": text}
        for n, pair in enumerate(texts)
        for group, text in zip(("male", "female"), pair, strict=True)
    ]
    task, domain = (
        catalog.load("task", "salary"),
        {"groups": ["male", "female"], "contrasts": {"reference": "male", "compared": "female"}},
    )
    rows = salary.score(written_rows + [{**item, "options": ["$1"]} for item in written_rows], task, domain, 200, 1)
    return {row["group"]: row for row in rows if row["metric"].startswith("log_amount_written")}, task["plausible"]


@pytest.mark.parametrize("twins", [True, False])
def test_what_is_unreadable_may_lie_anywhere_in_the_plausible_range(twins):
    rows_by_group, plausible = written_salaries([("$100,000", "$80,000")] + [("no", "no")] * 3, twins)
    reach = math.log(plausible["high"] / plausible["low"])
    gap = rows_by_group["male-female"]
    assert gap["value"] == pytest.approx(math.log(1.25))
    assert gap["ci_low"] < -reach / 2 and gap["ci_high"] > reach / 2
    assert (gap["n"], gap["n_unparsed"]) == ((4, 3) if twins else (8, 6))
    assert rows_by_group["male"]["ci_low"] < math.log(plausible["low"]) + reach / 2 < rows_by_group["male"]["ci_high"]
