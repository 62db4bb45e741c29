"""Answers to a choice: parsed text, listed log-probabilities, and unreadable answers."""

import math

import pytest
from bias_inheritance.study import catalog
from bias_inheritance.tasks import answers, hiring, salary

LABELS = ["architect", "dentist", "nurse", "painter", "professor", "software engineer"]
LETTERS = list("ABCDEFGH")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nurse", "nurse"),
        ("**painter**", "painter"),
        ("The answer is software engineer.", "software engineer"),
        ("Nurse. She is a nurse.", "nurse"),
        ("nurse or dentist", None),
        ("I would not say nurse", None),
        ("Nurse, not dentist.", "nurse"),
        ("Nurse, dentist, but I cannot tell", None),
        ("It isn't a nurse", None),
        ("The nurses", None),
        ("", None),
        ("I cannot tell.", None),
    ],
)
def test_words_are_read_where_one_is_named(text, expected):
    choice = answers.parse(text, LABELS)
    assert (None if choice is None else LABELS[choice]) == expected


def test_options_of_any_language_are_read():
    assert answers.parse("这条评论是负面的", ["正面", "负面"]) == 1
    assert answers.parse("Bence İstanbul güzel", ["ankara", "istanbul"]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No, this text is not offensive.", "no"),
        ("**No**. It isn't.", "no"),
        ("Yes, it is offensive.", "yes"),
        ("Yes, it does not spare anyone.", "yes"),
        ("No one would say yes", None),
        ("I would not say no", None),
        ("Yes or no", None),
    ],
)
def test_an_option_that_stands_first_is_the_answer(text, expected):
    choice = answers.parse(text, ["yes", "no"])
    assert (None if choice is None else ["yes", "no"][choice]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B. She is not too junior", "B"),
        ("A. Ana\nB. Li", None),
        ("B", "B"),
        ("(B)", "B"),
        ("B. Ana Lima", "B"),
        ("Candidate B is best", "B"),
        ("Answer: D", "D"),
        ("The best candidate is E: Li", "E"),
        ("A good choice is hard", None),
        ("A or B", None),
        ("Candidate A or B", None),
        ("Answer: B or C, they are alike", None),
        ("Option D/E", None),
        ("Candidate D or nobody", "D"),
        ("Z", None),
    ],
)
def test_letters_are_read_where_they_stand_as_an_answer(text, expected):
    choice = answers.parse(text, LETTERS)
    assert (None if choice is None else LETTERS[choice]) == expected


DOMAIN = {"labels": LABELS, "groups": ["male", "female"], "contrasts": {"reference": "male", "compared": "female"}}


def test_salaries_without_logprobs_are_read_and_the_unreadable_counted():
    task = catalog.load("task", "salary")
    options = [f"${amount:,}" for amount in salary.ladder(task)]
    rows = []
    for number in range(4):
        for group, text in (("male", "$90,000"), ("female", "60k a year" if number else "I cannot say")):
            item = {"item": f"{number}-{group}", "cluster": str(number), "group": group, "label": "nurse"}
            rows.append({**item, "options": options, "logprobs": None, "text": text})
            rows.append({**item, "options": None, "logprobs": None, "text": text})
    choice = {(row["metric"], row["group"]): row for row in salary.score(rows, task, DOMAIN, 100, 1)}
    gap = choice["log_amount_gap", "male-female"]
    assert gap["value"] == pytest.approx(math.log(90 / 60)) and gap["scoring"] == "parsed"
    assert gap["n_unparsed"] == 1 and gap["n_clusters"] == 3
    assert choice["log_amount_written_gap", "male-female"]["value"] == pytest.approx(gap["value"])


def hiring_rows(answer):
    """Two sets of eight rotations; `answer`: function (set, rotation, candidates as shown) → text."""
    task = catalog.load("task", "hiring")
    from bias_inheritance.data import labelled

    rows = list(hiring.items(task, DOMAIN, labelled, [], 4))
    for row in rows:
        shown = row["candidates"][row["rotation"] :] + row["candidates"][: row["rotation"]]
        row |= {"logprobs": None, "text": answer(int(row["cluster"][-3:]), row["rotation"], shown)}
    return rows, task


def test_letters_vote_over_the_rotations():
    def woman(number, rotation, shown):
        expected = sorted(c["name"] for c in shown if c["gender"] == "female")[0]
        return f"{LETTERS[[c['name'] for c in shown].index(expected)]}."

    choice = {(r["metric"], r["group"]): r for r in hiring.score(*hiring_rows(woman), DOMAIN, 100, 1)}
    assert (
        choice["selected_share", "female"]["value"] == 1 and choice["selected_share", "female"]["scoring"] == "parsed"
    )
    assert choice["position_share", "all"]["value"] == pytest.approx(1 / 8)


def test_unreadable_sets_widen_the_interval_and_do_not_move_the_share():
    def half(number, rotation, shown):
        if number % 2:
            return "I cannot decide."
        return f"{LETTERS[[c['gender'] for c in shown].index('female')]}."

    choice = {(r["metric"], r["group"]): r for r in hiring.score(*hiring_rows(half), DOMAIN, 100, 1)}
    gap = choice["selected_share", "male-female"]
    assert gap["value"] == -1 and gap["n"] == 4 and gap["n_unparsed"] == 2
    # were the two unreadable sets all male, the gap would be 0
    assert (gap["ci_low"], gap["ci_high"]) == (-1, 0)


def test_no_readable_set_gives_no_number():
    choice = hiring.score(*hiring_rows(lambda *_: "no"), DOMAIN, 100, 1)
    assert all(row["value"] is None and row["n_unparsed"] == 4 for row in choice)
    # claims on cultures find the run too, and refuse it
    some = hiring.score(*hiring_rows(lambda *_: "A"), DOMAIN, 100, 1)
    places = {(row["metric"], row["group"]) for row in some if row["metric"] != "uninformative"}
    assert {(row["metric"], row["group"]) for row in choice} == places and ("selected_share", "arabic") in places
