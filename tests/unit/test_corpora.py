"""Test texts: every trap of a file is an error that names it, or a decision that is counted."""

import json

import pytest
from bias_inheritance.data import corpora
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog

DATASET = {
    "name": "toy",
    "task": "hate-speech",
    "corpus": "TOY",
    "file": "toy.jsonl",
    "columns": {"text": "tweet", "label": "label"},
    "labels": {"HS": "yes", "NOT_HS": "no"},
}


def write(folder, rows, **options):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "toy.jsonl").write_text(lines, **{"encoding": "utf-8", **options})
    return corpora.read(DATASET, str(folder))


def test_reads_each_text_once_and_counts_what_it_drops(tmp_path):
    rows = [
        {"tweet": "a b", "label": "HS"},
        {"tweet": "a  b ", "label": "HS"},
        {"tweet": "c", "label": "HS"},
        {"tweet": "c", "label": "NOT_HS"},
        {"tweet": "  ", "label": "NOT_HS"},
        {"tweet": "d", "label": "NOT_HS"},
    ]
    samples, counts = write(tmp_path, rows)
    assert [(sample["text"], sample["label"]) for sample in samples] == [("a b", "HS"), ("d", "NOT_HS")]
    assert counts == {
        "rows": 6,
        "kept": 2,
        "reasons": {"contradiction": 2, "duplicate": 1, "empty text": 1},
        "cut": 0,
        "unlisted": {},
        "labels": {"HS": 1, "NOT_HS": 1},
        "groups": {},
    }
    assert counts["rows"] == counts["kept"] + sum(counts["reasons"].values())


def test_a_label_outside_the_set_is_an_error_that_names_row_and_set(tmp_path):
    with pytest.raises(UserError, match=r"toy.jsonl, line 2: unlisted label \(found: hs\); toy has HS, NOT_HS"):
        write(tmp_path, [{"tweet": "a", "label": "HS"}, {"tweet": "b", "label": "hs"}])
    with pytest.raises(UserError, match=r"toy.jsonl, line 1: missing label; toy has HS, NOT_HS"):
        write(tmp_path, [{"tweet": "a", "label": None}, {"tweet": "b", "label": "HS"}])


def test_a_label_that_is_a_number_is_read_as_its_text(tmp_path):
    numbers = {**DATASET, "labels": {"1": "yes", "0": "no"}}
    (tmp_path / "toy.jsonl").write_text('{"tweet": "a", "label": 1}\n')
    assert corpora.read(numbers, str(tmp_path))[0][0]["label"] == "1"


def test_a_missing_file_a_missing_field_and_a_text_that_is_a_number_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"there is no such file, but the dataset toy needs it"):
        corpora.read(DATASET, str(tmp_path))
    with pytest.raises(
        UserError, match=r"no column 'tweet'; it has 'data', 'label'; fix it in catalog/tasks/hate-speech"
    ):
        write(tmp_path, [{"data": "a", "label": "HS"}])
    with pytest.raises(UserError, match=r"line 1: the text in column 'tweet' is a number"):
        write(tmp_path, [{"tweet": 7, "label": "HS"}])


def test_a_byte_order_mark_is_read_over(tmp_path):
    samples, _ = write(tmp_path, [{"tweet": "a", "label": "HS"}], encoding="utf-8-sig")
    assert samples[0]["text"] == "a"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_an_error_that_names_the_line(tmp_path, encoding):
    with pytest.raises(UserError, match=r"line 1: .*UTF-8"):
        write(tmp_path, [{"tweet": "Müll", "label": "HS"}], encoding=encoding)


def test_files_of_one_corpus_share_a_texts_cluster_and_other_corpora_do_not(tmp_path):
    write(tmp_path, [{"tweet": "a", "label": "HS"}])
    twins = {
        (name, corpus): corpora.read({**DATASET, "name": name, "corpus": corpus}, str(tmp_path))[0][0]["twin"]
        for name, corpus in (("toy", "TOY"), ("toy-offensive", "TOY"), ("other", "OTHER"))
    }
    assert twins["toy", "TOY"] == twins["toy-offensive", "TOY"] != twins["other", "OTHER"]


def test_counts_of_raters_become_labels(tmp_path):
    votes = {"columns": ["homophobia", "racism"], "at_least": 2}
    described = {**DATASET, "file": "votes.csv", "columns": {"text": "tweet"}, "votes": votes}
    described |= {"values": {"1": "HS", "0": "NOT_HS"}}
    (tmp_path / "votes.csv").write_text("tweet,homophobia,racism\na,0.0,3.0\nb,1.0,0.0\nc,1.0,1.0\n")
    samples, counts = corpora.read(described, str(tmp_path))
    assert [sample["label"] for sample in samples] == ["HS", "NOT_HS", "HS"]
    assert counts["labels"] == {"HS": 2, "NOT_HS": 1}


@pytest.mark.parametrize("vote", ["nan", "inf", "-1", "1,0", "yes"])
def test_a_vote_that_is_no_number_of_votes_is_told(tmp_path, vote):
    described = {**DATASET, "file": "votes.csv", "columns": {"text": "tweet"}, "values": {"1": "HS", "0": "NOT_HS"}}
    described |= {"votes": {"columns": ["racism"], "at_least": 1}}
    (tmp_path / "votes.csv").write_text(f'tweet,racism\na,1.0\nb,"{vote}"\n')
    with pytest.raises(
        UserError, match=rf"votes.csv, line 3: .*: '{vote}' in column 'racism' is not a number of votes"
    ):
        corpora.read(described, str(tmp_path))


def test_votes_that_are_used_as_labels_are_listed(tmp_path):
    described = {**DATASET, "file": "votes.csv", "columns": {"text": "tweet", "label": "racism"}}
    (tmp_path / "votes.csv").write_text("tweet,racism\na,0.0\nb,3.0\n")
    with pytest.raises(UserError, match=r"no usable text in 2 rows \(unlisted label 2\); .* labels '0.0', '3.0'$"):
        corpora.read(described, str(tmp_path))


DESCRIBED = [
    {"name": name, "task": task, **dataset}
    for task in catalog.names("task")
    for name, dataset in catalog.load("task", task).get("datasets", {}).items()
]


@pytest.mark.parametrize("dataset", DESCRIBED, ids=[dataset["name"] for dataset in DESCRIBED])
def test_every_dataset_is_described_and_has_a_fixture(dataset):
    assert all(isinstance(text, str) for pair in dataset["labels"].items() for text in pair)
    assert set(dataset["positive"]) < set(dataset["labels"])
    assert dataset["licence"] and dataset["origin"] and dataset["question"].count("?") == 1
    assert dataset["domain"] in catalog.names("domain")
    assert dataset["task"] in catalog.load("domain", dataset["domain"])["tasks"]
    if "file" in dataset:
        samples, counts = corpora.read(dataset, None)
        assert counts["kept"] == len(samples) == 12
        assert sum(count > 0 for count in counts["labels"].values()) >= 2


def test_the_study_has_28_files_of_16_corpora_in_six_tasks():
    files = [dataset for dataset in DESCRIBED if "file" in dataset]
    assert len(files) == 28
    assert len({dataset["corpus"] for dataset in files}) == 16
    assert {dataset["task"] for dataset in files} == {
        "offensive-language",
        "hate-speech",
        "bias-detection",
        "abusive-language",
        "spam",
        "stance",
    }
    assert len(catalog.load("task", "hate-speech")["datasets"]["osact5-hate-fine-grained"]["labels"]) == 7
