"""Loader of the labelled texts of the culture tasks; each dataset is described in its task's file.

A dataset is either a file in the user's data folder (`file`) or a dataset on the Hub (`hub`), read by `tables`.
"""

from pathlib import Path

from bias_inheritance.data import tables
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

    dataset: its description in the task's file with `name` added: a specification of `tables` whose `values` map values of
    the file to the labels of the task. A sample is {id, twin, dataset, label, group, text}; `twin` is the corpus and a
    digest of the text, so that a text in several files of a corpus is one cluster. counts: those of `tables.read`. Raises
    UserError for a missing file and for a label outside the task file's set.
    """
    where = f"catalog/tasks/{dataset['task']}.yaml: datasets.{dataset['name']}"
    spec = {key: dataset[key] for key in ("hub", "revision", "splits", "columns", "votes") if key in dataset}
    if "hub" not in dataset:
        path = place(data_dir, dataset["file"])
        if not path.is_file():
            raise UserError(
                f"{path}: there is no such file, but the dataset {dataset['name']} needs it; add it, or exclude the dataset with evaluation.datasets"
            )
        spec["files"] = str(path)
    spec["longest_text"] = tables.LONGEST_TEXT
    spec["labels"] = dataset.get("values", {}) | {label: label for label in dataset["labels"]}
    dropped = []
    table = tables.read(spec, ".", name=where, dropped=dropped, all_listed=False)
    for reason, row, _ in dropped:
        if reason in ("missing label", "unlisted label"):
            values = f" (found: {', '.join(table.counts['unlisted']['label'])})" if reason == "unlisted label" else ""
            remedy = f"or add the value to {where}.values" if values else "or remove the row"
            raise UserError(
                f"{row}: {reason}{values}; {dataset['name']} has {', '.join(dataset['labels'])}: correct the file, {remedy}"
            )
    samples = [
        {
            "id": f"{dataset['name']}-{row['key']}",
            "twin": f"{dataset['corpus']}-{row['key']}",
            "dataset": dataset["name"],
            "label": row["label"],
            "group": "all",
            "text": " ".join(row["text"].split()),
        }
        for row in table.take(range(len(table)))
    ]
    return samples, table.counts
