"""Published benchmarks: finding their files (in the data folder or on the Hub; none is shipped), selecting items in turn."""

import csv
import itertools
from pathlib import Path

from bias_inheritance.data import hub_data
from bias_inheritance.plumbing.errors import UserError


def paths(task, data_dir):
    """The benchmark's files in the data folder, sorted; none if its task's `data` is on the Hub or missing.

    `data.files` is a list of glob patterns relative to `data_dir`. Raises UserError if a pattern matches no file.
    """
    if "data" not in task or "hub" in task["data"]:
        return []
    matching_files = []
    for pattern in task["data"]["files"]:
        matched = sorted(Path(data_dir).glob(pattern)) if data_dir else []
        if not matched:
            where = f"{data_dir}/{pattern}" if data_dir else pattern
            raise UserError(
                f"the task {task['name']} needs {where}, not found; set data_dir to the folder that contains it (docs/side-effects.md), or remove the task from grid.task"
            )
        matching_files += map(str, matched)
    return matching_files


def located(task, local_files):
    """Paths of the benchmark's files: the local ones, or for a task on the Hub those fetched from it."""
    if "hub" not in task["data"]:
        return local_files
    data = task["data"]
    matching_files = []
    for pattern in data["files"]:
        folder = hub_data.fetched(data["hub"], data["revision"], pattern, "give files of data_dir as data.files")
        matching_files += sorted(folder.glob(pattern))
    if not matching_files:
        raise UserError(
            f"dataset {data['hub']} has no file {' or '.join(data['files'])}; correct data.files of catalog/tasks/{task['name']}.yaml"
        )
    return matching_files


def in_turn(queues, count):
    """Yield clusters of items from each of `queues` in turn, up to the first that would exceed `count` items (None: all)."""
    total = 0
    for cluster in filter(None, itertools.chain.from_iterable(itertools.zip_longest(*queues))):
        total += len(cluster)
        if count is not None and total > count:
            return
        yield cluster


def read_csv(path, required):
    """Rows of a CSV file as dicts. Raises UserError for a missing column or a row of the wrong length."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in required if name not in (reader.fieldnames or [])]
        if missing:
            raise UserError(
                f"{path}: no column {missing[0]!r}; found {', '.join(reader.fieldnames or [])}; download the authors' file again"
            )
        rows = list(reader)
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise UserError(f"{path}, row {number}: does not have {len(reader.fieldnames)} fields; correct the row")
    return rows
