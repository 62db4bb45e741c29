"""Labelled texts of any format: every value as the file writes it, every dropped row with its reason, every mistake one line."""

import codecs
import gzip
import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bias_inheritance.data import duplicates, formats, splitting, tables
from bias_inheritance.plumbing.errors import UserError
from scripted_hub import hub

COLUMNS = {"text": "review", "label": "stars", "group": "nationality"}
# classes that readers take for missing values, numbers or truth values
CLASSES = ["None", "NA", "null", "true", "1", "007", "nan", "1.0"]
ROWS = [
    {"review": f"text number {place}", "stars": label, "nationality": ["german", "indian"][place % 2]}
    for place, label in enumerate(CLASSES)
]


def write_csv(path, rows=ROWS, separator=","):
    lines = [separator.join(rows[0]), *(separator.join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_jsonl(path, rows=ROWS):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_gz(path, rows=ROWS):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


WRITERS = {
    "a.csv": write_csv,
    "a.tsv": lambda path: write_csv(path, separator="\t"),
    "a.jsonl": write_jsonl,
    "a.jsonl.gz": write_gz,
    "a.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)),
    "a.parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path),
    "a.arrow": lambda path: (
        datasets.Dataset.from_list(ROWS).save_to_disk(path.parent / "disk")
        or next((path.parent / "disk").glob("*.arrow")).rename(path)
    ),
    "saved": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path),
    "folder": lambda path: path.mkdir() or pd.DataFrame(ROWS).to_parquet(path / "train-00000-of-00001.parquet"),
    "folder-of-csv": lambda path: path.mkdir() or write_csv(path / "train.csv"),
}


def spec(files, **more):
    return {"files": files, "columns": COLUMNS, **more}


def read_rows(folder, rows, **more):
    write_jsonl(folder / "a.jsonl", rows)
    return tables.read(spec("a.jsonl", **more), folder)


def samples(table):
    return table.take(range(len(table)))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_values_as_they_are_written(tmp_path, name):
    WRITERS[name](tmp_path / name)
    table = tables.read(spec(name), tmp_path)
    assert [(row["text"], row["label"], row["group"]) for row in samples(table)] == [tuple(r.values()) for r in ROWS]
    assert table.counts["rows"] == table.counts["kept"] == len(ROWS) and not table.counts["reasons"]


def test_splits_come_from_files_a_column_or_the_data_set(tmp_path):
    half = len(ROWS) // 2
    write_jsonl(tmp_path / "a.jsonl", ROWS[:half])
    write_csv(tmp_path / "b.csv", ROWS[half:])
    by_file = tables.read(spec({"train": "a.jsonl", "test": ["b.csv"]}), tmp_path)
    parts = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS[:half]), "test": datasets.Dataset.from_list(ROWS[half:])}
    )
    parts.save_to_disk(tmp_path / "saved")
    by_folder = tables.read(spec("saved"), tmp_path)
    marked = [{**row, "part": "train" if place < half else "test"} for place, row in enumerate(ROWS)]
    write_jsonl(tmp_path / "c.jsonl", marked)
    by_column = tables.read(spec("c.jsonl", columns={**COLUMNS, "split": "part"}), tmp_path)
    for table in (by_file, by_folder, by_column):
        assert [row["split"] for row in samples(table)] == ["train"] * half + ["test"] * half


@pytest.mark.parametrize(
    ("names", "unread"),
    [
        (["a.csv", "b.csv", "c.jsonl"], "c.jsonl"),
        (["train.csv", "more.csv"], "more.csv"),
        (["a.csv", "b.csv.gz"], None),
    ],
)
def test_files_of_a_folder_that_would_be_left_out_are_named(tmp_path, names, unread):
    """`datasets` reads the files of the commonest ending, and of these only those named after a split if there are any."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".hidden.csv").write_text("x")
    (tmp_path / "folder" / "notes.txt").write_text("x")
    for place, name in enumerate(names):
        write_csv(tmp_path / "plain.csv", [{**row, "review": f"{row['review']} {place}"} for row in ROWS])
        content = (tmp_path / "plain.csv").read_bytes()
        (tmp_path / "folder" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    if unread:
        with pytest.raises(
            UserError, match=rf"folder: {unread} is not among the files that `datasets` reads in it .*list"
        ):
            tables.read(spec("folder"), tmp_path)
    else:
        assert len(tables.read(spec("folder"), tmp_path)) == len(names) * len(ROWS)


def test_listed_splits_of_files_and_folders_are_the_only_ones_read(tmp_path):
    (tmp_path / "parts").mkdir()
    for name, rows in (("train", ROWS[:3]), ("test", ROWS[3:])):
        write_jsonl(tmp_path / "parts" / f"{name}.jsonl", rows)
    by_file = {"train": "parts/train.jsonl", "test": "parts/test.jsonl"}
    for given in (by_file, "parts"):
        table = tables.read(spec(given, splits=["test"]), tmp_path)
        assert [row["text"] for row in samples(table)] == [row["review"] for row in ROWS[3:]]
        with pytest.raises(
            UserError, match=r"data.splits: the files have no split 'tests' \(did you mean 'test'\?\); it has t"
        ):
            tables.read(spec(given, splits=["tests"]), tmp_path)
    with pytest.raises(UserError, match=r"data.splits: the files have no split 'test'; name the splits of a column"):
        tables.read(spec("parts/test.jsonl", splits=["test"]), tmp_path)


def test_rows_of_a_split_that_no_part_names_are_dropped_before_their_copies(tmp_path):
    parts = ["train", "extra", None, "test", "train", "extra", "test", "train"]
    rows = [{**row, "part": part} for row, part in zip(ROWS, parts, strict=True)]
    rows[1]["review"] = rows[7]["review"]  # a copy with another label, in a split that is not used
    named = {"columns": {**COLUMNS, "split": "part"}, "split": {"source": "train", "test": ["test", "validation"]}}
    table = read_rows(tmp_path, rows, **named)
    assert [row["text"] for row in samples(table)] == [rows[place]["review"] for place in (0, 3, 4, 6, 7)]
    assert table.counts["reasons"] == {"unused split": 3} and table.counts["kept"] == 5
    by_file = spec(
        {"train": "a.jsonl", "test": "a.jsonl", "extra": "b.jsonl"}, split={"source": "train", "test": "test"}
    )
    write_jsonl(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"review": 7, "stars": {}, "nationality": "german"}\n')  # never looked at
    assert tables.read(by_file, tmp_path).counts["reasons"] == {"unused split": 1, "duplicate": 8}
    with pytest.raises(
        UserError, match=r"data.split.test: the data have no split tset \(did you mean 'test'\?\); they"
    ):
        read_rows(tmp_path, rows, columns=named["columns"], split={"source": "train", "test": "tset"})


def test_numbers_and_dates_of_parquet_files_have_plain_names(tmp_path):
    decimals = [Decimal("1"), Decimal("2.50"), None]
    rows = [
        {"review": f"text {place}", "stars": stars, "nationality": date(2024, 1, 1 + place % 2)}
        for place, stars in enumerate(decimals)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    write_jsonl(tmp_path / "b.jsonl", [{"review": "text 4", "stars": 1, "nationality": "2025"}])
    table = tables.read(spec(["a.parquet", "b.jsonl"]), tmp_path)
    assert [(row["label"], row["group"]) for row in samples(table)] == [
        ("1", "2024-01-01"),
        ("2.50", "2024-01-02"),
        ("1", "2025"),
    ]
    assert table.counts["reasons"] == {"missing label": 1}
    listed = tables.read(spec("a.parquet", labels={1: "bad"}), tmp_path)
    assert listed.counts["labels"] == {"bad": 1} and listed.counts["unlisted"] == {"label": {"2.50": 1}}


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_a_file_name_is_no_pattern(tmp_path, suffix):
    WRITERS[f"a.{suffix}"](tmp_path / f"a.{suffix}")
    (tmp_path / "more [2]").mkdir()
    (tmp_path / f"a.{suffix}").rename(tmp_path / "more [2]" / f"data [1]?*.{suffix}")
    assert len(tables.read(spec(f"more [2]/data [1]?*.{suffix}"), tmp_path)) == len(ROWS)
    with pytest.raises(UserError, match=r"more \[2\]: .*; rename the folder without"):
        tables.read(spec("more [2]"), tmp_path)


def test_classes_of_a_saved_data_set_have_their_names(tmp_path):
    names = ["NA", "None", "007"]
    features = datasets.Features(
        {
            "review": datasets.Value("string"),
            "stars": datasets.ClassLabel(names=names),
            "nationality": datasets.Value("string"),
        }
    )
    rows = [{"review": f"text {code}", "stars": code, "nationality": "indian"} for code in (0, 1, 2, -1)]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "saved")
    table = tables.read(spec("saved"), tmp_path)
    assert [row["label"] for row in samples(table)] == names
    assert table.counts["reasons"] == {"missing label": 1}


def test_a_class_code_without_a_name_is_one_line(tmp_path):
    rows = [{"review": f"text {code}", "stars": code, "nationality": "indian"} for code in (1, 2)]
    data = datasets.Dataset.from_list(rows).cast_column("stars", datasets.ClassLabel(names=["bad", "good"]))
    data.to_parquet(tmp_path / "codes.parquet")
    message = (
        r"codes\.parquet: column 'stars' has the class code 2, but only 2 class names; correct the codes or the names$"
    )
    with pytest.raises(UserError, match=message):
        tables.read(spec("codes.parquet"), tmp_path)


def test_a_damaged_saved_data_set_is_one_line(tmp_path):
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).unlink()
    with pytest.raises(UserError, match=r"saved: cannot be read as a saved dataset .*save it again"):
        tables.read(spec("saved"), tmp_path)


def test_every_dropped_row_has_a_reason(tmp_path):
    def row(text, label="1", group="a"):
        return {"review": text, "stars": label, "nationality": group}

    rows = [
        row("good one"), row("good two", "2", "b"), row(None), row("  \n"), row("no label", None), row("blank label", " "),
        row("no group", "1", None), row("good  one "), row("two minds", "1"), row("two minds", "2"),
        row("half a sign \ud83d"), row("two groups"), row("two groups", "1", "b"), row(float("nan")),
        row("half a label", "\ud83d"), row("half a group", "2", "\udc00"),
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    table = tables.read(spec("a.jsonl"), tmp_path)
    assert [each["text"] for each in samples(table)] == ["good one", "good two"]
    counts = table.counts
    assert counts["reasons"] == {
        "broken characters": 3, "contradiction": 4, "duplicate": 1, "empty text": 3, "missing group": 1, "missing label": 2,
    }  # fmt: skip
    assert counts["rows"] == len(rows) == counts["kept"] + sum(counts["reasons"].values())
    assert counts["labels"] == {"1": 1, "2": 1} and counts["groups"] == {"a": 1, "b": 1}
    numbered = [{**each, "key": f"{place}" if place else "\ud83d"} for place, each in enumerate(rows[:2])]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in numbered))
    table = tables.read(spec("a.jsonl", columns={**COLUMNS, "id": "key"}, labels=["2"]), tmp_path)
    assert [each["id"] for each in samples(table)] == ["1"]


def test_dropped_and_kept_rows_tell_their_place(tmp_path):
    rows = [ROWS[0], {**ROWS[1], "review": ""}, ROWS[0], ROWS[2]]
    write_jsonl(tmp_path / "a.jsonl", rows)
    dropped = []
    table = tables.read(spec("a.jsonl"), tmp_path, dropped=dropped)
    file = tmp_path / "a.jsonl"
    assert dropped == [("empty text", f"{file}, line 2", ""), ("duplicate", f"{file}, line 3", "text number 0")]
    assert [row["place"] for row in samples(table)] == [f"{file}, line 1", f"{file}, line 4"]
    assert formats.files_read(spec({"train": ["x/a.jsonl", "x/b.csv"], "test": "/x/c.csv"})) == [
        "/x/c.csv",
        "x/a.jsonl",
        "x/b.csv",
    ]
    assert formats.files_read(spec("resources/names.csv")) == ["resources/names.csv"]


def test_a_column_without_need_leaves_the_row_in(tmp_path):
    rows = [{**ROWS[0], "nationality": None}, ROWS[1]]
    write_jsonl(tmp_path / "a.jsonl", rows)
    table = tables.read(spec("a.jsonl"), tmp_path, required=("text", "label"))
    assert [row["group"] for row in samples(table)] == [None, "indian"]


def test_listed_values_get_their_names_and_others_are_counted(tmp_path):
    rows = [{**row, "stars": stars} for row, stars in zip(ROWS, [1, 5, 3, 1.0, "5", 3, 2, True], strict=True)]
    table = read_rows(tmp_path, rows, labels={1: "bad", 5: "good"}, groups=["german", "indian"])
    assert [row["label"] for row in samples(table)] == ["bad", "good", "bad", "good"]
    assert table.counts["reasons"] == {"unlisted label": 4}
    assert table.counts["unlisted"] == {"label": {"3": 2, "2": 1, "true": 1}}
    assert table.counts["rows"] == 8


def test_a_number_and_a_text_are_one_class_only_where_listed(tmp_path):
    rows = [{**ROWS[0], "stars": "1"}, {**ROWS[1], "stars": 1}]
    with pytest.raises(
        UserError, match=r"line 2: the label 1 is a number, and at .*line 1 the same is written as another"
    ):
        read_rows(tmp_path, rows)
    assert read_rows(tmp_path, rows, labels={"1": "one"}).counts["labels"] == {"one": 2}
    different = [{**ROWS[0], "stars": "01"}, {**ROWS[1], "stars": 1}, {**ROWS[2], "stars": True}]
    assert list(read_rows(tmp_path, different).counts["labels"]) == ["01", "1", "true"]


def test_votes_become_labels(tmp_path):
    (tmp_path / "a.csv").write_text(
        "review,insult,obscene,nationality\n"
        "no votes here,0.0,0.0,a\none vote here,1.0,0.0,b\ntwo votes here,1.0,1.0,a\nthree of a kind,3.0,0.0,b\nno answer,,1.0,a\n"
    )  # fmt: skip
    columns = {"text": "review", "group": "nationality"}
    table = tables.read(
        {
            "files": "a.csv",
            "columns": columns,
            "votes": {"columns": ["insult", "obscene"], "at_least": 2},
            "labels": {1: "toxic", 0: "clean"},
        },
        tmp_path,
    )
    assert [row["label"] for row in samples(table)] == ["clean", "clean", "toxic", "toxic"]
    assert table.counts["reasons"] == {"missing label": 1}
    (tmp_path / "b.csv").write_text(
        "review,r1,r2,r3,nationality\nall agree,yes,yes,yes,a\ntwo agree,no,yes,no,b\nnone agree,no,yes,NA,a\nonly one,no,,,b\n"
    )
    votes = {"columns": ["r1", "r2", "r3"], "majority": True}
    table = tables.read({"files": "b.csv", "columns": columns, "votes": votes}, tmp_path)
    assert [row["label"] for row in samples(table)] == ["yes", "no", "no"]
    assert table.counts["reasons"] == {"no majority": 1}
    counted = {**votes, "majority": False, "at_least": 1, "values": {"yes": 1, "no": 0, "NA": 0}}
    table = tables.read({"files": "b.csv", "columns": columns, "votes": counted}, tmp_path)
    assert [row["label"] for row in samples(table)] == ["1", "1", "1"]
    with pytest.raises(UserError, match=r"b.csv, line 2: data.votes: 'yes' in column 'r1' is not a number"):
        tables.read({"files": "b.csv", "columns": columns, "votes": {**counted, "values": {}}}, tmp_path)


def test_votes_in_one_list_are_votes_of_several_raters(tmp_path):
    rows = [
        {"review": f"review {n}", "nationality": "ab"[n % 2], "annotators": {"label": label}}
        for n, label in enumerate([[1, 1, 0], [0, 0, 1], [0, 1, 2], [1, None, 1]])
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    columns = {"text": "review", "group": "nationality"}
    for name in ("a.jsonl", "a.parquet"):
        given = {"files": name, "columns": columns, "votes": {"columns": ["annotators.label"], "majority": True}}
        table = tables.read(given, tmp_path)
        assert [row["label"] for row in samples(table)] == ["1", "0", "1"]
        assert table.counts["reasons"] == {"no majority": 1}
        given["votes"] = {"columns": ["annotators.label"], "at_least": 2}
        table = tables.read(given, tmp_path)
        assert [row["label"] for row in samples(table)] == ["1", "0", "1"]
        assert table.counts["reasons"] == {"missing label": 1}


def test_a_listed_value_that_the_data_write_in_another_case_is_told(tmp_path):
    """Rows of an unlisted spelling would be dropped, and the group be smaller than it is."""
    rows = [
        {"review": f"review {n}", "stars": n % 2, "nationality": ["german", "GERMAN ", "kenyan"][n % 3]}
        for n in range(12)
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    given = spec("a.jsonl") | {"groups": ["german", "kenyan"], "labels": {0: "bad", 1: "good"}}
    with pytest.raises(
        UserError, match=r"data.groups: 4 rows have the group 'GERMAN ', which differs from 'german' only"
    ):
        tables.read(given, tmp_path)
    table = tables.read(given | {"groups": {"german": "german", "GERMAN ": "german", "kenyan": "kenyan"}}, tmp_path)
    assert table.counts["groups"] == {"german": 8, "kenyan": 4}


def test_data_without_a_column_of_groups_are_told_which_key_lacks(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"review": "a review", "stars": 1}])
    given = {"files": "a.jsonl", "columns": {"text": "review", "label": "stars"}, "groups": ["german", "kenyan"]}
    with pytest.raises(UserError, match=r"data: no text has a group; name the column of the groups in columns.group"):
        tables.check(tables.read(given, tmp_path))


def test_too_few_texts_of_a_group_name_the_values_that_were_dropped(tmp_path):
    rows = [
        {"review": f"review {n}", "stars": n % 2, "nationality": ["german", "deutsch", "kenyan"][n % 3]}
        for n in range(12)
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    table = tables.read(spec("a.jsonl") | {"groups": ["german", "kenyan"]}, tmp_path)
    with pytest.raises(
        UserError, match=r"too few texts .*; not listed, and therefore dropped, are the groups 'deutsch'$"
    ):
        tables.check(table)


def test_paths_reach_into_nested_columns(tmp_path):
    rows = [
        {
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": f"answer {n}"}],
            "meta": {"label": n, "a.b": "x"},
        }
        for n in range(2)
    ]
    columns = {"text": "messages[-1].content", "label": "meta.label"}
    write_jsonl(tmp_path / "a.jsonl", rows)
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        table = tables.read({"files": name, "columns": columns}, tmp_path)
        assert [(row["text"], row["label"]) for row in samples(table)] == [("answer 0", "0"), ("answer 1", "1")]
    pairs = [
        {"topic": "x", "qa_pairs": [{"question": "why so", "answer": "a"}, {"question": "how so", "answer": "b"}]},
        {"topic": "y", "qa_pairs": []},
    ]
    write_jsonl(tmp_path / "b.jsonl", pairs)
    table = tables.read(
        {
            "files": "b.jsonl",
            "columns": {"text": "qa_pairs[].question", "label": "qa_pairs[].answer", "group": "topic"},
        },
        tmp_path,
    )
    assert [(row["text"], row["label"], row["group"]) for row in samples(table)] == [
        ("why so", "a", "x"),
        ("how so", "b", "x"),
    ]
    assert table.counts["reasons"] == {"empty text": 1}


HUB = """
import json, sys
from bias_inheritance.data import tables
table = tables.read({"hub": "some/reviews", "revision": "main", "columns": json.loads(sys.argv[1]), **json.loads(sys.argv[2])})
print(json.dumps([[row["text"], row["label"], row["split"]] for row in table.take(range(len(table)))]))
"""
CARD = """---
configs:
- {config_name: default, data_files: [{split: train, path: train.csv}, {split: test, path: test.csv}]}
- {config_name: tabs, sep: "\\t", data_files: [{split: train, path: tabs.csv}]}
---
"""


@pytest.mark.parametrize(
    ("options", "splits", "told"),
    [
        ({}, ["train"] * 4 + ["test"] * 4, None),
        ({"splits": ["test"]}, ["test"] * 4, None),
        ({"config": "tabs"}, ["train"] * 8, None),
        ({"splits": ["dev"]}, None, "has no split 'dev'; it has train, test"),
        ({"config": "tab"}, None, "to one of its configurations"),
    ],
)
def test_a_hub_data_set_is_read_by_its_configurations_and_splits(root, tmp_path, options, splits, told):
    published = tmp_path / "published"
    published.mkdir()
    (published / "README.md").write_text(CARD)
    write_csv(published / "train.csv", ROWS[:4])
    write_csv(published / "test.csv", ROWS[4:])
    write_csv(published / "tabs.csv", ROWS, separator="\t")
    with hub(published, "some/reviews", kind="datasets") as (address, _):
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        ran = subprocess.run(
            [sys.executable, "-c", HUB, json.dumps(COLUMNS), json.dumps(options)],
            env={**os.environ, **settings, "PYTHONPATH": str(root / "scripts")}, capture_output=True, text=True,
        )  # fmt: skip
    if told:
        assert ran.returncode and told in ran.stderr.splitlines()[-1]
    else:
        rows = json.loads(ran.stdout.splitlines()[-1])
        assert [row[2] for row in rows] == splits
        assert [row[:2] for row in rows] == [[row["review"], row["stars"]] for row in ROWS[-len(splits) :]]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "saved"])
def test_a_column_that_is_not_there_is_told_with_near_misses(tmp_path, name):
    WRITERS[name](tmp_path / name)
    with pytest.raises(
        UserError,
        match=r"no column 'Star' \(did you mean 'stars'\?\); it has 'review', 'stars', 'nationality'; fix it in data.columns.label",
    ):
        tables.read({"files": name, "columns": {**COLUMNS, "label": "Star"}}, tmp_path)


PACKED = gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
DAMAGED = PACKED[:10] + bytes([PACKED[10] | 0b110]) + PACKED[11:]  # an invalid block type
FAULTY = {
    "empty.csv": (b"", "is empty"),
    "header.csv": (b"review,stars,nationality\n", "has no rows"),
    "ragged.csv": (b'review,stars,nationality\n"a\nb",1,x\nc,1\n', r"line 4: 2 cells, but the header has 3: 'c', '1'"),
    "long.csv": (b"review,stars,nationality\na,1,x\nc, d,1,y\n", r"line 3: 4 cells, but the header has 3: 'c', ' d', '1', 'y'"),
    "quote.csv": (b'review,stars,nationality\na,1,x\n"c,1,y\nd,1,z\n', "line 3: not readable as CSV"),
    "semicolons.csv": (b"review;stars;nationality\na;1;x\n", "one column, .* whose parts ';' separates"),
    "tabs.csv": (b"review\tstars\tnationality\na\t1\tx\n", "save the file with ',' between cells"),
    "commas.tsv": (b"review,stars,nationality\na,1,x\n", "whose parts ',' separates"),
    "twice.csv": (b"review,stars,stars,nationality\na,1,2,x\n", "two columns are called 'stars'"),
    "latin.csv": ("review,stars,nationality\na,1,x\nMüll,1,x\n".encode("latin-1"), "line 3: byte 0xfc is not UTF-8"),
    "wide.csv": ("review,stars,nationality\na,1,x\n".encode("utf-16"), "binary data or UTF-16"),
    "binary.csv": (bytes(range(256)) * 4, "line 1"),
    "zipped.jsonl.gz": (b"no gzip at all", "cannot be read"),
    "cut.jsonl.gz": (gzip.compress(b'{"review": "a"}\n' * 99)[:-12], "cannot be read"),
    "damaged.jsonl.gz": (DAMAGED, "cannot be read"),
    "empty.jsonl": (b"\n \n", "is empty"),
    "cut.jsonl": (b'{"review": "a", "stars": 1, "nationality": "x"}\n{"review": "b", "sta', r"line 2: not JSON"),
    "list.jsonl": (b'{"review": "a", "stars": 1, "nationality": "x"}\n[1, 2]\n', r"line 2: a list, not an object"),
    "number.jsonl": (b'{"review": 7, "stars": 1, "nationality": "x"}\n', r"line 1: the text in column 'review' is a number \(7\)"),
    "nested.jsonl": (b'{"review": [{"content": "a"}], "stars": 1, "nationality": "x"}\n', r"is a list .*; name a part of it"),
    "label.jsonl": (b'{"review": "a", "stars": {"n": 1}, "nationality": "x"}\n', r"the label is an object .*metadata.label"),
    "not.parquet": (b"PAR1 but nothing else", "cannot be read as parquet"),
    "encrypted.parquet": (b"PARE" + bytes(200) + b"PARE", "cannot be read as parquet"),
    "not.arrow": (b"nothing", "cannot be read as arrow"),
    "book.xlsx": (b"PK", "is not a supported format"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_file_is_one_line_that_names_it(tmp_path, name):
    content, message = FAULTY[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as told:
        tables.read(spec(name), tmp_path)
    assert name in str(told.value) and "\n" not in str(told.value)


def test_messages_name_files_of_the_project_from_its_root(root):
    with pytest.raises(UserError, match=r"^resources/names.csv: no column 'review'"):
        tables.read(spec("resources/names.csv"))


def test_a_file_that_is_not_there_is_told_with_near_misses(tmp_path):
    write_csv(tmp_path / "tickets.csv")
    with pytest.raises(UserError, match=r"ticket.csv: there is no such file \(did you mean 'tickets.csv'\?\)"):
        tables.read(spec("ticket.csv"), tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_a_byte_order_mark_belongs_to_no_column(tmp_path, name):
    WRITERS[name](tmp_path / name)
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + (tmp_path / name).read_bytes())
    assert len(tables.read(spec(name), tmp_path)) == len(ROWS)


def test_a_very_long_text_is_refused_or_cut_and_counted(tmp_path):
    rows = [{**ROWS[0], "review": "word " * 20_000}, ROWS[1]]
    with pytest.raises(UserError, match=r"line 1: a text of 99,999 characters; .* data.longest_text"):
        read_rows(tmp_path, rows)
    table = read_rows(tmp_path, rows, longest_text=500)
    assert len(samples(table)[0]["text"]) <= 500 and table.counts["cut"] == 1
    write_csv(tmp_path / "huge.csv", [{**ROWS[0], "review": "x" * 200_000}, ROWS[1]])
    assert tables.read(spec("huge.csv", longest_text=500), tmp_path).counts["cut"] == 1


def test_a_listed_value_that_no_row_has_is_told_with_near_misses(tmp_path):
    with pytest.raises(
        UserError, match=r"no row has the group 'German' \(did you mean 'german'\?\); unlisted values are 'german'"
    ):
        read_rows(tmp_path, ROWS, groups=["German", "indian"])


def test_classes_that_differ_in_case_or_space_are_told(tmp_path):
    rows = [{**ROWS[0], "stars": "Good"}, {**ROWS[1], "stars": "good "}]
    with pytest.raises(UserError, match=r"labels 'Good' and 'good ' differ only in case or space"):
        read_rows(tmp_path, rows)
    assert read_rows(tmp_path, rows, labels={"Good": "good", "good ": "good"}).counts["labels"] == {"good": 2}


def test_ids_are_kept_and_must_differ(tmp_path):
    rows = [{**row, "key": place} for place, row in enumerate(ROWS)]
    assert [row["id"] for row in samples(read_rows(tmp_path, rows, columns={**COLUMNS, "id": "key"}))] == list(
        "01234567"
    )
    with pytest.raises(UserError, match="the id '5' belongs to 8 texts"):
        read_rows(tmp_path, [{**row, "key": 5} for row in rows], columns={**COLUMNS, "id": "key"})


def many(count, labels=3, groups=4, words=30, seed=0):
    stream = np.random.default_rng(seed)
    return [
        {
            "review": " ".join(f"w{word}" for word in stream.integers(0, 5000, words)),
            "stars": f"label {place % labels}",
            "nationality": f"group {place // labels % groups}",
        }
        for place in range(count)
    ]


def test_a_split_is_stratified_and_follows_from_the_texts(tmp_path):
    rows = many(1200)
    table = read_rows(tmp_path, rows)
    parts = splitting.split(table, {"test": 0.3, "reserve": 0.2}, 1)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1200))
    for part, share in {"test": 0.3, "reserve": 0.2, "source": 0.5}.items():
        assert all(abs(len(each) - share * 100) <= 1 for each in table.strata(parts[part]).values())
    mirrored = read_rows(tmp_path, rows[::-1])
    again = splitting.split(mirrored, {"test": 0.3, "reserve": 0.2}, 1)
    other = splitting.split(table, {"test": 0.3, "reserve": 0.2}, 2)
    texts = {row["text"] for row in table.take(parts["test"])}
    assert {row["text"] for row in mirrored.take(again["test"])} == texts
    assert {row["text"] for row in table.take(other["test"])} != texts


def test_near_duplicates_stay_in_one_part(tmp_path):
    rows = many(600)
    changed = [{**row, "review": row["review"].upper().replace("W", "w", 1) + " !!"} for row in rows[:200]]
    changed += [{**row, "review": "Well then: " + row["review"].replace(" ", ", ")} for row in rows[:200]]
    signature = " with kind regards from all of us here at the office today"
    unlike = [{**row, "review": row["review"] + signature} for row in many(300, seed=1)]
    table = read_rows(tmp_path, [*rows, *changed, *unlike])
    parts = splitting.split(table, {"test": 0.4}, 1)
    part_of = {row: part for part, listed in parts.items() for row in listed.tolist()}
    assert len(table) == 1300
    for place in range(200):
        assert part_of[place] == part_of[600 + place] == part_of[800 + place]
    assert len({part_of[row] for row in range(1000, 1300)}) == 2  # a phrase that all share makes no near-duplicates


def test_near_duplicates_among_texts_with_the_same_signature():
    """The signature is a third of each text; another text that has it lies between two copies in the order of its 8-grams."""
    words, stream = [f"w{number}" for number in range(20_000)], np.random.default_rng(0)

    def drawn(count):
        return [words[place] for place in stream.integers(0, len(words), count)]

    signature = drawn(70)
    originals = [signature + drawn(130) for _ in range(200)]
    copies = [text[:170] + drawn(30) for text in originals[:40]]  # share 84% of their 8-grams
    order = stream.permutation(240)
    listed = [" ".join((originals + copies)[place]) for place in order]
    cluster = duplicates.clusters(pa.chunked_array([listed]))[np.argsort(order)]
    assert (cluster[:40] == cluster[200:]).all()
    assert len(set(cluster)) > 150


def test_near_duplicates_across_the_datas_own_splits_stay_in_the_first(tmp_path):
    rows = [{**row, "part": "train" if place < 60 else "test"} for place, row in enumerate(many(120))]
    rows[60]["review"] = "So: " + rows[0]["review"]
    rows[61]["review"] = rows[62]["review"] + " again"
    table = read_rows(tmp_path, rows, columns={**COLUMNS, "split": "part"})
    parts = {"test": np.arange(60, 120), "source": np.arange(60)}
    kept, left_out = splitting.apart(table, parts)
    assert left_out == {"source": 1}
    assert kept["test"].tolist() == list(range(60, 120)) and kept["source"].tolist() == list(range(1, 60))


def test_one_label_one_group_and_a_tiny_group_are_refused(tmp_path):
    rows = many(120)
    with pytest.raises(UserError, match="only 'label 0' as label; a study needs two labels"):
        tables.check(read_rows(tmp_path, [row for row in rows if row["stars"] == "label 0"]))
    with pytest.raises(UserError, match="only 'group 1' as group"):
        tables.check(read_rows(tmp_path, [row for row in rows if row["nationality"] == "group 1"]))
    small = [row for row in rows if row["nationality"] != "group 3"] + [
        r for r in rows if r["nationality"] == "group 3"
    ][:3]
    with pytest.raises(UserError, match=r"too few texts of 3 of 12 combinations .*label 0 and group 3: 1"):
        tables.check(read_rows(tmp_path, small))
    tables.check(read_rows(tmp_path, rows))


def test_rows_are_taken_in_the_order_of_their_numbers_also_twice_and_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BATCH", 7)  # rows per chunk
    count = 2000
    path = tmp_path / "many.jsonl"
    path.write_text(
        "".join(
            json.dumps({"text": f"{n} " * 200, "label": n % 2, "group": n % 3, "id": n}) + "\n" for n in range(count)
        )
    )
    table = tables.read({"files": str(path), "columns": {name: name for name in ("text", "label", "group", "id")}})
    numbers = [1500, 3, 1500, 0, 8]
    taken = table.take(numbers)
    assert [row["id"] for row in taken] == [str(n) for n in numbers]
    assert [row["text"] for row in taken] == [(f"{n} " * 200).strip() for n in numbers]
