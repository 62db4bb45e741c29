"""Loader of the labelled texts of the culture tasks; each dataset is described in its task's file.

A dataset is either a JSON Lines file in the user's data folder (`file`) or a dataset on the Hub (`hub`). Unusable texts
are dropped and counted; likely user mistakes raise an error.
"""

import hashlib
from pathlib import Path

from bias_inheritance.data import hub_data
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT

FIXTURES = "resources/fixtures"
MARK = " (fixture)"  # suffix of the names of datasets from FIXTURES


def folder(data_dir):
    """The user's data folder, or the shipped fixtures if none is configured; relative to the project's root."""
    return data_dir or FIXTURES


def place(data_dir, file):
    """The path of a data file, independent of the working directory for fixtures."""
    path = Path(folder(data_dir)) / file
    return path if data_dir else ROOT / path


def read(dataset, data_dir):
    """(samples, counts) of one dataset, in the file's order.

    dataset: its description in the task's file with `name` added. A sample is {id, twin, dataset, label, group, text};
    `twin` is the corpus and a digest of the text, so that a text in several files of a corpus is one cluster.
    counts: rows, kept, empty, duplicates, contradictions (texts with different labels), contradicting (their rows),
    bom, labels. Raises UserError for a missing file, wrong encoding, a missing field, a text that is not a string, or a
    label outside the task file's set.
    """
    rows, bom = _hub_rows(dataset["hub"]) if "hub" in dataset else _file_rows(dataset, place(data_dir, dataset["file"]))
    counts = {"rows": len(rows), "bom": bom, "empty": 0, "duplicates": 0, "contradictions": 0, "contradicting": 0}
    labels_by_text = {}
    for where, text, label in rows:
        if not isinstance(text, str):
            raise UserError(f"{where}: the text is {type(text).__name__}, not a string; correct the file")
        if label not in dataset["labels"]:
            raise UserError(
                f"{where}: label {label!r} is not one of {', '.join(dataset['labels'])}, the labels of {dataset['name']} in catalog/tasks/{dataset['task']}.yaml; correct the file or that list"
            )
        if text.strip():
            labels_by_text.setdefault(" ".join(text.split()), []).append(label)
        else:
            counts["empty"] += 1
    samples = []
    for text, labels in labels_by_text.items():
        if len(set(labels)) > 1:
            # ASSUME: the correct label is unknown, so the text is not used
            counts["contradictions"] += 1
            counts["contradicting"] += len(labels)
            continue
        counts["duplicates"] += len(labels) - 1
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        samples.append(
            {
                "id": f"{dataset['name']}-{key}",
                "twin": f"{dataset['corpus']}-{key}",
                "dataset": dataset["name"],
                "label": labels[0],
                "group": "all",
                "text": text,
            }
        )
    counts["kept"] = len(samples)
    counts["labels"] = {label: sum(sample["label"] == label for sample in samples) for label in dataset["labels"]}
    return samples, counts


def _file_rows(dataset, path):
    """[(where, text, label)] of a JSON Lines file, and whether it begins with a byte-order mark."""
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file, but the dataset {dataset['name']} needs it; add it, or exclude the dataset with evaluation.datasets"
        )
    rows = [
        (f"{path}, row {number}", row[dataset["text"]], str(row["label"]).strip())
        for number, row in enumerate(files.read_jsonl(path, required=(dataset["text"], "label")), start=1)
    ]
    with open(path, "rb") as file:
        return rows, file.read(3) == b"\xef\xbb\xbf"


def _hub_rows(hub):
    """The same for the Parquet files of a dataset on the Hub; `values` maps their values to labels of the task."""
    instead = "leave it out with evaluation.datasets"
    return parquet_rows(hub, hub_data.fetched(hub["id"], hub["revision"], hub["files"], instead)), False


def parquet_rows(hub, copy):
    """[(where, text, label)] of the Parquet files of a Hub dataset in the local folder `copy`."""
    import pandas as pd

    parquet_files = sorted(copy.glob(hub["files"]))
    if not parquet_files:
        raise UserError(f"data set {hub['id']}: no file {hub['files']} at revision {hub['revision']}")
    rows = []
    for path in parquet_files:
        frame = pd.read_parquet(path)
        for column in (hub["text"], hub["label"]):
            if column not in frame:
                raise UserError(f"{path}: no column {column!r}; found {', '.join(map(str, frame.columns))}")
        rows += [
            (f"{path}, row {number}", text, hub["values"].get(str(value), str(value)))
            for number, (text, value) in enumerate(zip(frame[hub["text"]], frame[hub["label"]], strict=True), start=1)
        ]
    return rows
