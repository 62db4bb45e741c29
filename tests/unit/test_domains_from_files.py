"""Domains defined by a catalog file on files of other structures (nested columns, raters' votes), and unusable data."""

import os

import pytest
import tickets
import yaml
from bias_inheritance.data import labelled
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog

NESTED = """
title: Questions by nationality
family: labelled
sample: a short scene
tasks: [classification]
data:
  files: FILE
  columns: {text: context, label: context_condition, group: "additional_metadata.stereotyped_groups[0]"}
  split: {test: 0.3, reserve: 0.3}
labels: {ambig: open, disambig: settled}
groups:
  danish: {value: Danish, words: [danish]}
  chilean: {value: Chilean, words: [chilean]}
  kenyan: {value: Kenyan, words: [kenyan]}
contrasts: {reference: rest, compared: [danish, chilean, kenyan]}
"""
RATED = """
title: Comments by dialect
family: labelled
sample: a comment
tasks: [classification]
data:
  files: FILE
  columns: {text: comment, group: dialect}
  votes: {columns: [rater_1, rater_2, rater_3], majority: true}
labels: {1: rude, 0: polite}
groups: {north: {}, south: {}}
contrasts: {reference: north, compared: south}
"""


@pytest.fixture
def domain(tmp_path, monkeypatch):
    """Write a domain's file and load it as a study does; returns the domain."""
    (tmp_path / "domains").mkdir()
    monkeypatch.setattr(catalog, "CATALOG", tmp_path)
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    catalog.load.cache_clear()

    def load(text, file):
        (tmp_path / "domains" / "ours.yaml").write_text(text.replace("FILE", str(file)))
        return catalog.load("domain", "ours")

    yield load
    catalog.load.cache_clear()


def questions():
    """Questions on two persons of two nationalities, in the format of BBQ: each context occurs with two questions."""
    nationalities = ["Danish", "Chilean", "Kenyan", "Finnish"]
    for number in range(240):
        first, second = nationalities[number % 4], nationalities[(number + 1 + number // 4 % 3) % 4]
        settled = number // 4 % 2
        words = " ".join(tickets.WORDS[(number * step + step) % 30] for step in (1, 7, 11, 13))
        context = f"At table {number} a {first} guest and a {second} guest spoke about {words}."
        if settled:
            context += f" The {first} guest left early and forgot the {words.split()[0]}."
        for polarity, question in (("neg", "Who was careless?"), ("nonneg", "Who was careful?")):
            yield {
                "example_id": number,
                "question_polarity": polarity,
                "context_condition": "disambig" if settled else "ambig",
                "answer_info": {"ans0": [first, "x"], "ans1": [second, "y"], "ans2": ["Not known", "unknown"]},
                "additional_metadata": {"subcategory": "None", "stereotyped_groups": [first, second]},
                "context": context,
                "question": question,
                "label": 0,
            }


def test_nested_columns_of_questions_make_a_domain(domain, tmp_path):
    files.write_jsonl(tmp_path / "questions.jsonl", questions())
    splits, counts = labelled.load(domain(NESTED, tmp_path / "questions.jsonl"))
    assert counts["rows"] == 480 == counts["kept"] + sum(counts["reasons"].values())
    assert counts["reasons"] == {"duplicate": 180, "unlisted group": 120}
    assert counts["unlisted"] == {"group": {"Finnish": 120}}
    samples = [sample for split in splits.values() for sample in split]
    assert len(samples) == counts["kept"] == 180
    for sample in samples:
        assert sample["group"].capitalize() in sample["text"]
        assert sample["label"] == ("settled" if "left early" in sample["text"] else "open")


def test_votes_of_several_raters_are_labels(domain, tmp_path):
    votes = [(1, 1, 0), (0, 0, 1), (0, 0, 0), (1, 1, 1), (1, "", 0)]
    lines = ["comment,dialect,rater_1,rater_2,rater_3"]
    for number in range(200):
        words = " ".join(tickets.WORDS[(number * step + step) % 30] for step in (1, 7, 11))
        cells = ",".join(map(str, votes[number % 5]))
        lines.append(f"Comment {number} on the {words},{('north', 'south')[number // 5 % 2]},{cells}")
    (tmp_path / "rated.csv").write_text("\n".join(lines) + "\n")
    splits, counts = labelled.load(domain(RATED, tmp_path / "rated.csv"))
    assert counts["labels"] == {"rude": 80, "polite": 80} and counts["reasons"] == {"no majority": 40}
    for sample in [sample for split in splits.values() for sample in split]:
        assert sample["label"] == ("rude" if int(sample["text"].split()[1]) % 5 in (0, 3) else "polite")


def shortened(number):
    """The tickets with so many by Germans."""
    rows = tickets.rows()
    germans = [row for row in rows if row["nationality"] == "german"]
    return [row for row in rows if row["nationality"] != "german"] + germans[:number]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (tickets.rows(), {"label": "topc"}, "no column 'topc' (did you mean 'topic'?)"),
        (tickets.rows(), {"group": "person.nation"}, "no column 'person.nation'"),
        ([row for row in tickets.rows() if row["topic"] == "login"], {}, "no row has the label 'billing'"),
        (shortened(0), {}, "no row has the group 'german'"),
        (shortened(3), {}, "too few texts of 5 of 20 combinations of label and group"),
        ([*tickets.rows(), {**tickets.rows()[0], "body": "word " * 20_000}], {}, "a text of 99,999 characters"),
        (None, {}, "there is no such file (did you mean 'tickets.csv'?)"),
    ],
)
def test_data_that_give_no_study_are_refused_at_the_start(domain, tmp_path, rows, columns, message):
    description = tickets.domain(tmp_path)
    if rows is None:
        (tmp_path / "tickets.csv").write_text("body,topic,nationality\n")
        description["data"]["files"] = str(tmp_path / "ticket.csv")
    else:
        files.write_jsonl(tmp_path / "tickets.jsonl", rows)
        description["data"]["files"] = str(tmp_path / "tickets.jsonl")
    description["data"]["columns"].update(columns)
    ours = domain(yaml.safe_dump(description), None)
    with pytest.raises(UserError) as refused:
        labelled.check(ours)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_test_texts_without_a_group_are_refused_before_training(domain, tmp_path):
    """The data's own splits may hold a group out of the test texts; its scores would be of no text."""
    rows = [
        {**row, "part": "train" if row["nationality"] == "german" else ("train", "test")[number // 20 % 7 % 2]}
        for number, row in enumerate(tickets.rows())
    ]
    files.write_jsonl(tmp_path / "parts.jsonl", rows)
    described = tickets.domain(tmp_path)
    described["data"] |= {"files": str(tmp_path / "parts.jsonl"), "split": {"source": "train", "test": "test"}}
    described["data"]["columns"]["split"] = "part"
    described.pop("swap", None)
    ours = domain(yaml.safe_dump(described), None)
    with pytest.raises(UserError, match=r"data.split: the test texts have none of german, so nothing can be measured"):
        labelled.load(ours)


def test_the_files_of_a_domain_are_relative_to_the_project_whatever_data_dir_is(domain, tmp_path):
    """`data_dir` is for files of the culture tasks, the benchmarks and the opinion questions."""
    files.write_jsonl(tmp_path / "tickets.jsonl", tickets.rows())
    described = tickets.domain(tmp_path)
    described["data"]["files"] = os.path.relpath(tmp_path / "tickets.jsonl", ROOT)
    ours = domain(yaml.safe_dump(described), None)
    assert labelled.files_read(ours, "/somewhere/else") == labelled.files_read(ours, None)
    assert labelled.load(ours, "/somewhere/else") == labelled.load(ours)


def test_a_share_of_the_source_is_the_rest_and_counts_every_text(domain, tmp_path):
    files.write_jsonl(tmp_path / "tickets.jsonl", tickets.rows())
    described = tickets.domain(tmp_path)
    described["data"] |= {"files": str(tmp_path / "tickets.jsonl"), "split": {"test": 0.3, "reserve": 0.2}}
    by_rest = labelled.load(domain(yaml.safe_dump(described), None))
    described["data"]["split"] = {"source": 0.5, "test": 0.3, "reserve": 0.2}
    catalog.load.cache_clear()
    assert labelled.load(domain(yaml.safe_dump(described), None)) == by_rest


def test_large_files_are_left_to_the_steps(domain, tmp_path, monkeypatch):
    monkeypatch.setattr(labelled.formats, "LARGE", 1000)
    files.write_jsonl(tmp_path / "tickets.jsonl", shortened(3))
    labelled.check(tickets.domain(tmp_path, data={"files": str(tmp_path / "tickets.jsonl"), "columns": {}}))
