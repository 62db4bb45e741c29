"""Labelled texts from files and Hub datasets: read row by row, with a reason for every dropped row, split by content.

A specification names the files or the Hub dataset, its columns and, optionally, names for their values:

    {files: reviews.csv, columns: {text: review, label: stars, group: nationality}, labels: {"1": bad, "5": good}}

`docs/formats.md` lists all keys. CSV, TSV, JSON and JSON Lines are parsed with the standard library, because the readers
of `datasets` pad short rows, convert texts like 007 and None to other values and numbers to texts
(findings/datasets-csv-json-values.sh). Other formats, and the files, configurations and splits of a Hub dataset or a
folder, are read with `datasets`.
"""

import csv
import difflib
import gzip
import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

from bias_inheritance.data import duplicates, hub_data
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.plumbing.seeds import record_seed

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
BATCH = 10_000  # rows held as Python objects at a time
LONGEST_FIELD = 16 << 20  # maximum length of a CSV field (characters), which an unclosed quote exceeds
LONGEST_TEXT = 20_000  # ASSUME: longer texts are not samples of a classification task; the key `longest_text` cuts them
FEWEST = 8  # ASSUME: minimum number of texts per label × group for meaningful splits, pools and scores
FEW_VALUES = 12  # maximum number of values listed in a message
LARGE = 32 << 20  # maximum size (bytes) of files that are checked at every start; larger ones are checked by the steps


@dataclass
class Table:
    """Samples in the order of their files, stored in Arrow and numpy.

    texts: pyarrow ChunkedArray of strings. keys: uint64, digest of each text with whitespace normalised. codes: {column:
    int32 per row; −1: none} for label, group, split and file; names: {column: name of each code}. lines: int32, line or
    row number in the file. ids: ChunkedArray, or None if the data have no ids. counts: see `read`.
    """

    texts: object
    keys: object
    codes: dict
    names: dict
    lines: object
    ids: object
    counts: dict

    def __len__(self):
        return len(self.keys)

    @cached_property
    def clusters(self):
        """For each row, the first row of its cluster of near-duplicates (`duplicates.clusters`), int64."""
        return duplicates.clusters(self.texts)

    def strata(self, rows=None):
        """{(label, group): row numbers in ascending order}, of all rows or of `rows`; the group is None without groups."""
        import numpy as np

        rows = np.arange(len(self)) if rows is None else np.sort(np.asarray(rows, dtype=np.int64))
        width = len(self.names["group"]) + 1
        stratum = self.codes["label"][rows].astype(np.int64) * width + self.codes["group"][rows] + 1
        order = np.argsort(stratum, kind="stable")
        values, starts = np.unique(stratum[order], return_index=True)
        groups = [None, *self.names["group"]]
        return {
            (self.names["label"][value // width], groups[value % width]): part
            for value, part in zip(values.tolist(), np.split(rows[order], starts[1:]), strict=True)
        }

    def take(self, rows):
        """[{id, text, label, group, split, key, place}] of row numbers, in their order; group and split may be None.

        place: file and line or row of the sample.
        """
        import numpy as np

        rows = np.asarray(rows, dtype=np.int64)
        texts = self.texts.take(rows).to_pylist()
        keys = [f"{key:016x}" for key in self.keys[rows].tolist()]
        ids = self.ids.take(rows).to_pylist() if self.ids is not None else keys
        listed = {
            column: [[*self.names[column], None][code] for code in self.codes[column][rows].tolist()]
            for column in self.codes
        }
        return [
            {
                "id": name,
                "text": text,
                "label": label,
                "group": group,
                "split": split,
                "key": key,
                "place": f"{file} {line}",
            }
            for name, text, label, group, split, key, file, line in zip(
                ids,
                texts,
                *(listed[column] for column in ("label", "group", "split")),
                keys,
                listed["file"],
                self.lines[rows].tolist(),
                strict=True,
            )
        ]


# ---- reading -------------------------------------------------------------------------------------------------------


def files_read(spec, folder=None):
    """Paths of the local files that `read` opens, sorted; none for a Hub dataset."""
    return sorted({_shown(path) for _, path in _places(spec, folder)} if "files" in spec else ())


def is_large(spec, folder=None):
    """Whether a specification's files have more than LARGE bytes in total, or are a Hub dataset."""
    paths = [path for _, path in _places(spec, folder)] if "files" in spec else []
    inside = [each for path in paths for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]
    return not paths or sum(path.stat().st_size for path in inside) > LARGE


def read(spec, folder=None, required=("text", "label", "group"), name="data", dropped=None):
    """The Table of a specification. Relative paths are relative to `folder`, by default the project's root.

    required: columns without which a row is dropped. name: location of the specification, for messages. dropped: a list to
    which (reason, place, text) of every dropped row is appended. counts: rows, kept, reasons {reason: rows}, cut (texts
    shortened), labels and groups {name: rows kept}, unlisted {column: {value: rows}}; rows = kept + the sum of the
    reasons. Reasons: empty text, missing label, missing group, unlisted label, unlisted group, no majority, broken
    characters, duplicate, contradiction. Raises UserError for likely user mistakes.
    """
    import numpy as np
    import pyarrow as pa

    columns = spec["columns"]
    paths = {column: path for column, path in columns.items() if isinstance(path, str)}
    votes = spec.get("votes")
    raters = {f"vote {number}": column for number, column in enumerate(votes["columns"])} if votes else {}
    if ("label" in paths) == bool(votes):
        raise UserError(f"{name}: give either columns.label or votes, which determine the label")
    values = {column: _Values(name, column, spec.get(f"{column}s")) for column in ("label", "group")}
    reasons, cut, rows = Counter(), 0, 0
    splits, places = {}, {}
    texts, ids, keys, lines, chunks, id_chunks = [], [], [], [], [], []
    codes = {"label": [], "group": [], "split": [], "file": []}
    longest = spec.get("longest_text")

    def drop(reason, where, number, text):
        reasons[reason] += 1
        if dropped is not None:
            dropped.append((reason, f"{where} {number}", text))

    for split, where, number, record in _records(spec, folder, {**paths, **raters}, name):
        rows += 1
        text, folded = _text(record["text"], paths["text"], where, number)
        if not folded:
            drop("empty text", where, number, "")
            continue
        if len(text) > (longest or LONGEST_TEXT):
            if longest is None:
                raise UserError(
                    f"{where} {number}: a text of {len(text):,} characters; remove the row, or set {name}.longest_text to cut longer texts there"
                )
            text, cut = text[:longest], cut + 1
            folded = " ".join(text.split())
        try:
            digest = hashlib.sha256(folded.encode()).digest()
        except UnicodeEncodeError:
            # an unpaired surrogate, which JSON allows but UTF-8 cannot encode
            drop("broken characters", where, number, text.encode(errors="replace").decode())
            continue
        try:
            value = _voted(votes, [record[column] for column in raters]) if votes else record["label"]
        except ValueError as fault:
            raise UserError(f"{where} {number}: {name}.votes: {fault}") from None
        if value is NO_MAJORITY:
            drop("no majority", where, number, text)
            continue
        label, reason = values["label"].code(value, where, number)
        group, other_reason = values["group"].code(record["group"], where, number) if "group" in paths else (-1, None)
        if other_reason == "missing group" and "group" not in required:
            other_reason = None
        if reason or other_reason:
            drop(reason or other_reason, where, number, text)
            continue
        if "split" in paths:
            split = None if _missing(record["split"]) else spelled(record["split"])
        texts.append(text)
        keys.append(int.from_bytes(digest[:8], "big"))
        codes["label"].append(label)
        codes["group"].append(group)
        codes["split"].append(-1 if split is None else splits.setdefault(split, len(splits)))
        codes["file"].append(places.setdefault(where, len(places)))
        lines.append(number)
        if "id" in paths:
            if _missing(record["id"]):
                raise UserError(f"{where} {number}: no id in column {paths['id']!r}; add one, or omit columns.id")
            ids.append(spelled(record["id"]))
        if len(texts) == BATCH:
            chunks.append(pa.array(texts, pa.string()))
            id_chunks.append(pa.array(ids, pa.string()))
            texts, ids = [], []
    chunks.append(pa.array(texts, pa.string()))
    id_chunks.append(pa.array(ids, pa.string()))
    for value in values.values():
        value.check()

    keys = np.array(keys, dtype=np.uint64)
    lines = np.array(lines, dtype=np.int32)
    codes = {column: np.array(listed, dtype=np.int32) for column, listed in codes.items()}
    files = list(places)
    keep, contradicting = _each_text_once(keys, codes)
    for reason, without in (("contradiction", contradicting), ("duplicate", ~keep & ~contradicting)):
        if without.any():
            reasons[reason] = int(without.sum())
        if dropped is not None and without.any():
            listed = _filtered(list(chunks), without).to_pylist()
            for place, text in zip(np.flatnonzero(without).tolist(), listed, strict=True):
                dropped.append((reason, f"{files[codes['file'][place]]} {lines[place]}", text))
    table = Table(
        texts=_filtered(chunks, keep),
        keys=keys[keep],
        codes={column: listed[keep] for column, listed in codes.items()},
        names={"label": values["label"].names, "group": values["group"].names, "split": list(splits), "file": files},
        lines=lines[keep],
        ids=_filtered(id_chunks, keep) if "id" in paths else None,
        counts={},
    )
    if table.ids is not None:
        repeated = [pair for pair in table.ids.value_counts().to_pylist() if pair["counts"] > 1]
        if repeated:
            raise UserError(
                f"{name}.columns.id: the id {repeated[0]['values']!r} belongs to {repeated[0]['counts']} texts; make ids unique, or omit columns.id"
            )
    table.counts = {
        "rows": rows,
        "kept": len(table),
        "reasons": dict(sorted(reasons.items())),
        "cut": cut,
        "unlisted": {
            column: dict(value.unlisted.most_common(FEW_VALUES)) for column, value in values.items() if value.unlisted
        },
        **{
            f"{column}s": dict(
                zip(
                    table.names[column],
                    np.bincount(
                        table.codes[column][table.codes[column] >= 0], minlength=len(table.names[column])
                    ).tolist(),
                    strict=True,
                )
            )
            for column in ("label", "group")
        },
    }
    if not len(table):
        why = ", ".join(f"{reason} {count:,}" for reason, count in table.counts["reasons"].items())
        raise UserError(f"{name}: no usable text in {rows:,} rows{f' ({why})' if why else ''}")
    return table


def _filtered(chunks, keep):
    """A ChunkedArray of the rows to keep, filtered chunk by chunk, so that texts are never in memory twice."""
    import pyarrow as pa

    start = 0
    for place, chunk in enumerate(chunks):
        chunks[place] = chunk.filter(pa.array(keep[start : start + len(chunk)]))
        start += len(chunk)
    return pa.chunked_array(chunks, pa.string())


def _text(value, column, where, number):
    """(text stripped of surrounding whitespace, text with whitespace normalised); both empty for a missing value."""
    if value is None:
        return "", ""
    if not isinstance(value, str):
        hint = "; name a part of it, as in messages[-1].content" if isinstance(value, (list, dict)) else ""
        raise UserError(f"{where} {number}: the text in column {column!r} is {_kind(value)} ({_short(value)}){hint}")
    return value.strip(), " ".join(value.split())


def _each_text_once(keys, codes):
    """(rows to keep: the first copy of each text; rows whose text has copies with a different label or group), both bool.

    ASSUME: a text whose copies differ in label or group is dropped entirely, since the correct one is unknown.
    """
    import numpy as np

    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    text = np.cumsum(first) - 1  # index of the distinct text of each sorted row
    differs = np.zeros(len(keys), dtype=bool)
    for column in ("label", "group"):
        differs |= codes[column][order] != codes[column][order][first][text]
    contradicted = np.zeros(int(first.sum()), dtype=bool)
    contradicted[text[differs]] = True
    contradicting = np.zeros(len(keys), dtype=bool)
    contradicting[order] = contradicted[text]
    keep = np.zeros(len(keys), dtype=bool)
    keep[order[first]] = True
    return keep & ~contradicting, contradicting


def spelled(value):
    """The text form of a value: strings unchanged, numbers and booleans as in JSON, 1.0 as 1."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, default=str)


def _missing(value):
    """Whether a cell is missing: null, NaN, or blank text. Words such as None, NA and null are values."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def _kind(value):
    return {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }.get(type(value), type(value).__name__)


def _short(value, length=60):
    text = re.sub(r"\s+", " ", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= length else text[: length - 1] + "…"


def near(word, words):
    """'; did you mean …' with those of `words` that are similar to `word`, or '' if there are none."""
    folded = {}
    for each in words:
        folded.setdefault(str(each).strip().casefold(), str(each))
    close = difflib.get_close_matches(str(word).strip().casefold(), folded, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(folded[each]) for each in close)}" if close else ""


def near_file(path):
    """`near` for a file that does not exist, among those of its folder."""
    return near(path.name, [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else [])


class _Values:
    """The values of a class column: names, codes, and unlisted values.

    listed: {value: name} or a list of values; None: every value is its own name. A key matches all values with the same
    text form, number or string; without `listed`, values of different types with the same text form are an error.
    """

    def __init__(self, where, column, listed):
        self.where, self.column = where, column
        self.listed = listed if listed is None or isinstance(listed, dict) else {value: value for value in listed}
        if self.listed is not None:
            self.listed = {spelled(value): str(name) for value, name in self.listed.items()}
        self.names = list(dict.fromkeys(self.listed.values())) if self.listed else []
        self.codes = {}  # (type, value) → code; 1, 1.0 and True are equal in Python and differ here
        self.places = {}  # value as written → (type, where, number)
        self.unlisted = Counter()

    def code(self, value, where, number):
        """(code, None), or (−1, reason why the row is unusable)."""
        key = (type(value), value) if not isinstance(value, (list, dict)) else (type(value), None)
        code = self.codes.get(key)
        if code is None:
            code = self.codes[key] = self._new(value, where, number)
        if code == MISSING:
            return -1, f"missing {self.column}"
        if code == UNLISTED:
            self.unlisted[spelled(value)] += 1
            return -1, f"unlisted {self.column}"
        return code, None

    def _new(self, value, where, number):
        if _missing(value):
            return MISSING
        if isinstance(value, (list, dict)):
            raise UserError(
                f"{where} {number}: the {self.column} is {_kind(value)} ({_short(value)}); name a part of it, as in metadata.label"
            )
        text = spelled(value)
        if self.listed is not None:
            return self.names.index(self.listed[text]) if text in self.listed else UNLISTED
        kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
        other = self.places.setdefault(text, (kind, where, number))
        if other[0] != kind:
            raise UserError(
                f"{where} {number}: the {self.column} {json.dumps(value)} is {_kind(value)}, and at {other[1]} {other[2]} the same is written as another type; list it under {self.where}.{self.column}s to make both one {self.column} ({text}: {text}), or rename one"
            )
        if text not in self.names:
            self.names.append(text)
        return self.names.index(text)

    def check(self):
        """Raise UserError for listed values without rows, and without a list for values that differ only in case or space."""
        if self.listed is not None:
            seen = {spelled(value) for (_, value), code in self.codes.items() if code >= 0}
            for value in self.listed:
                if value not in seen and self.codes:
                    others = ", ".join(repr(each) for each, _ in self.unlisted.most_common(FEW_VALUES))
                    raise UserError(
                        f"{self.where}: no row has the {self.column} {value!r}{near(value, self.unlisted)}; {f'unlisted values are {others}' if others else 'remove it from the list'}"
                    )
            return
        folded = {}
        for text in self.names:
            other = folded.setdefault(" ".join(text.split()).casefold(), text)
            if other != text:
                raise UserError(
                    f"{self.where}: the {self.column}s {other!r} and {text!r} differ only in case or space; list both under {self.where}.{self.column}s with the names that they are to have"
                )


MISSING, UNLISTED = -1, -2
NO_MAJORITY = object()


def _voted(votes, cells):
    """The label of a row by its votes: 1 or 0 for `at_least`, the raters' class for `majority`; None if votes are missing.

    Raises ValueError for a non-numeric vote if votes are summed.
    """
    listed = {spelled(value): meaning for value, meaning in votes.get("values", {}).items()}
    cells = [None if _missing(cell) else listed.get(spelled(cell), cell) for cell in cells]
    if votes.get("majority"):
        counts = Counter(spelled(cell) for cell in cells if cell is not None)
        if not counts:
            return None
        value, count = counts.most_common(1)[0]
        return value if 2 * count > counts.total() else NO_MAJORITY
    if None in cells:
        return None
    total = 0
    for column, cell in zip(votes["columns"], cells, strict=True):
        try:
            total += float(cell)
        except (TypeError, ValueError):
            raise ValueError(
                f"{cell!r} in column {column!r} is not a number; give its number of votes under votes.values"
            ) from None
    return int(total >= votes["at_least"])


# ---- places and formats ----------------------------------------------------------------------------------------------


def _places(spec, folder):
    """[(split or None, Path)] of a specification's files."""
    base = Path(folder or ROOT)
    given = spec["files"]
    given = given if isinstance(given, dict) else {None: given}
    return [
        (split, base / path)
        for split, paths in given.items()
        for path in (paths if isinstance(paths, list) else [paths])
    ]


def _shown(path):
    """A path for messages and records: relative to the project's root if inside it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def peek(spec, folder=None, count=1000, name="data"):
    """Yield the first `count` raw rows of a specification's files, ignoring its columns; raises UserError."""
    rows = (
        row
        for _, kind, place in _parts(spec, folder, name)
        for _, row in _reader(kind)(place, kind, lambda names: None, None)
    )
    yield from islice(rows, count)


def _parts(spec, folder, name):
    """[(split, format or dataset, path)] of the sources of a specification's rows."""
    if "hub" in spec:
        copy = hub_data.fetched(spec["hub"], spec["revision"], None, f"give files in place of {name}.hub")
        parts = _of_folder(copy, spec.get("config"), f"data set {spec['hub']}")
        splits = spec.get("splits")
        if splits:
            lacking = [split for split in splits if split not in {part[0] for part in parts}]
            if lacking:
                listed = ", ".join(dict.fromkeys(str(part[0]) for part in parts))
                raise UserError(f"{name}.splits: data set {spec['hub']} has no split {lacking[0]!r}; it has {listed}")
            parts = [part for part in parts if part[0] in splits]
    else:
        parts = []
        for split, path in _places(spec, folder):
            if path.is_dir():
                parts += [
                    (split or part, kind, place) for part, kind, place in _of_folder(path, spec.get("config"), path)
                ]
            elif path.is_file():
                suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
                if suffix.lower() not in SUFFIXES:
                    raise UserError(
                        f"{_shown(path)}: {suffix or 'a file without an ending'} is not a supported format; provide one of {', '.join(SUFFIXES)}, or a folder of `datasets`"
                    )
                parts.append((split, SUFFIXES[suffix.lower()], path))
            else:
                raise UserError(f"{_shown(path)}: there is no such file{near_file(path)}; {name}.files names it")
    return parts


def _reader(kind):
    return {"csv": _delimited, "tsv": _delimited, "json": _json}.get(kind, _arrow)


def _records(spec, folder, paths, name):
    """Yield (split, file, row or line number, {column: value}) of every sample of a specification.

    paths: {column: name or dotted path of its values}. Other columns are None.
    """
    steps = {column: steps_of(path, name) for column, path in paths.items()}
    spreads = any(EACH in listed for listed in steps.values())
    empty = dict.fromkeys(("text", "label", "group", "id", "split"))
    for split, kind, place in _parts(spec, folder, name):

        def check_names(names, place=place):
            for column, path in paths.items():
                if path not in names and steps[column][0] not in names:
                    listed = ", ".join(repr(each) for each in list(names)[:FEW_VALUES])
                    raise UserError(
                        f"{_shown(place)}: no column {path!r}{near(path, names)}; it has {listed}{', …' if len(names) > FEW_VALUES else ''}; fix it in {name}.{'votes' if column.startswith('vote ') else f'columns.{column}'}"
                    )

        lines = _reader(kind)
        where, number, filled = f"{_shown(place)}, {'row' if lines is _arrow else 'line'}", None, set()
        for number, row in lines(place, kind, check_names, {*paths.values(), *(step[0] for step in steps.values())}):
            cells = {
                column: row[path] if path in row else value_at(row, steps[column]) for column, path in paths.items()
            }
            if len(filled) < len(cells):
                filled.update(column for column, cell in cells.items() if cell is not None)
            if spreads:
                yield from ((split, where, number, {**empty, **each}) for each in _spread(cells, where, number, paths))
            else:
                yield split, where, number, {**empty, **cells}
        if number is None:
            raise UserError(f"{_shown(place)}: has no rows; give a file with samples")
        for column, path in paths.items():
            if column not in filled and len(steps[column]) > 1:
                raise UserError(f"{_shown(place)}: no row has a value at {path!r}, which {name}.columns.{column} names")


def _of_folder(folder, config, what):
    """[(split, format, path or dataset)] of a folder written by `save_to_disk` or readable by `load_dataset`."""
    import datasets

    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        saved = datasets.load_from_disk(str(folder))
        saved = saved if isinstance(saved, datasets.DatasetDict) else {None: saved}
        return [(split, data, folder / (split or "")) for split, data in saved.items()]
    try:
        builder = datasets.load_dataset_builder(str(folder), name=config)
    except Exception as fault:
        raise UserError(
            f"{what}: {_first_line(fault)}; set config to one of its configurations, or give files"
        ) from None
    kind = {"csv": builder.config.sep if builder.name == "csv" else None}.get(builder.name)
    kind = {"\t": "tsv", ",": "csv", None: builder.name}.get(kind, builder.name)
    return [(str(split), kind, Path(path)) for split, paths in builder.config.data_files.items() for path in paths]


def _first_line(fault):
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0].rstrip(".")


def _arrow(place, kind, check_names, roots):
    """Yield (number, row) of Parquet, Arrow and other files readable by `datasets`, with class names instead of codes.

    kind: the name of a reader of `datasets`, or a dataset from `load_from_disk`. roots: the columns to read; None: all.
    """
    import datasets

    try:
        if isinstance(kind, str):
            data = datasets.load_dataset(kind, data_files={"all": str(place)}, split="all", streaming=True)
        else:
            data = kind
        features = data.features or data._resolve_features().features
        names = list(features)
        check_names(names)
        classes = {column: feature for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)}
        number = 0
        for batch in (
            data.select_columns([each for each in names if roots is None or each in roots])
            .with_format("arrow")
            .iter(BATCH)
        ):
            lists = {column: batch[column].to_pylist() for column in batch.column_names}
            for column, feature in classes.items():
                if column in lists:
                    lists[column] = [
                        None if code is None or code < 0 else feature.names[code] for code in lists[column]
                    ]
            for cells in zip(*lists.values(), strict=True):
                number += 1
                yield number, dict(zip(lists, cells, strict=True))
    except (UserError, GeneratorExit):
        raise
    except Exception as fault:
        cause = fault.__cause__ or fault
        raise UserError(
            f"{_shown(place)}: cannot be read as {kind if isinstance(kind, str) else 'a saved data set'} ({_first_line(cause)}); restore the file or give another"
        ) from None


def _lines(place):
    """Yield the lines of a UTF-8 text file, without a byte-order mark; UserError with the line number for other content."""
    with (gzip.open if place.suffix == ".gz" else open)(place, "rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if b"\0" in line or (
                    number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff", b"%PDF", b"PK\x03\x04"))
                ):
                    raise UserError(
                        f"{_shown(place)}, line {number}: no text in UTF-8 but binary data or UTF-16; save it as UTF-8"
                    )
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as fault:
                    raise UserError(
                        f"{_shown(place)}, line {number}: byte 0x{line[fault.start]:02x} is not UTF-8 (after {_short(line[: fault.start].decode()[-30:])!r}); save the file as UTF-8, for example with iconv -f latin1 -t utf-8"
                    ) from None
        except (OSError, EOFError) as fault:
            raise UserError(f"{_shown(place)}: cannot be read ({fault}); restore the file or give another") from None


def _delimited(place, kind, check_names, roots):
    """Yield (line number, row) of a CSV or TSV file, all cells as strings; every row must match the header's length."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(_lines(place), delimiter="\t" if kind == "tsv" else ",", strict=True)
    header, start = None, 1
    try:
        for row in reader:
            line, start = start, reader.line_num + 1
            if not row:
                continue
            if header is None:
                header = row
                twice = [each for each, count in Counter(header).items() if count > 1]
                if twice:
                    raise UserError(f"{_shown(place)}, line {line}: two columns are called {twice[0]!r}; rename one")
                check_names(header)
            elif len(row) != len(header):
                cells = ", ".join(repr(_short(cell, 30)) for cell in row[:FEW_VALUES])
                raise UserError(
                    f"{_shown(place)}, line {line}: {len(row)} cells, but the header has {len(header)}: {cells}; quote cells that contain a {'tab' if kind == 'tsv' else 'comma'} or a line break"
                )
            else:
                yield line, dict(zip(header, row, strict=True))
    except csv.Error as fault:
        raise UserError(
            f"{_shown(place)}, line {start}: not readable as {kind.upper()} ({fault}); close every quote and double those inside a cell"
        ) from None
    if header is None:
        raise UserError(f"{_shown(place)}: is empty; give a file with a header and samples")


def _json(place, kind, check_names, roots):
    """Yield (line number, object) of JSON Lines, or (position in the list, object) of a file with one JSON value."""
    names = {}
    for number, row in _objects(place):
        if not isinstance(row, dict):
            raise UserError(
                f"{_shown(place)}, line {number}: {_kind(row)}, not an object; every sample is one JSON object"
            )
        names.update(dict.fromkeys(row))
        yield number, row
    if names:
        check_names(names)


def _objects(place):
    lines = ((number, line) for number, line in enumerate(_lines(place), start=1) if line.strip())
    first = next(lines, None)
    if first is None:
        raise UserError(f"{_shown(place)}: is empty; give a file with samples")
    try:
        row = json.loads(first[1])
    except ValueError:
        row = None
    if isinstance(row, dict):
        yield first[0], row
        for number, line in lines:
            try:
                row = json.loads(line)
            except ValueError as fault:
                raise UserError(
                    f"{_shown(place)}, line {number}: not JSON ({fault}); correct or remove the line"
                ) from None
            yield number, row
        return
    try:
        whole = json.loads("".join(chain([first[1]], (line for _, line in lines))))
    except ValueError as fault:
        raise UserError(
            f"{_shown(place)}: neither JSON Lines nor one JSON value ({fault}); write one object a line, or a list of objects"
        ) from None
    yield from enumerate(whole if isinstance(whole, list) else [whole], start=1)


# ---- paths into nested columns ---------------------------------------------------------------------------------------


_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d*)\]")
EACH = object()


class _Each(list):
    """The values of a path with [], one sample each."""


def steps_of(path, name="columns"):
    """The steps of a dotted path: 'messages[-1].content' → ['messages', -1, 'content'], 'pairs[].answer' → ['pairs', EACH, 'answer'].

    List elements are selected by position. Raises UserError for an invalid path.
    """
    steps, end = [], 0
    while end < len(path):
        match = _STEP.match(path, end)
        if not match or (not steps and match[1] is None):
            raise UserError(
                f"{name}: {path!r} is neither a column nor a path; write a path such as messages[-1].content or qa_pairs[].question"
            )
        steps.append(match[1] if match[1] is not None else EACH if match[2] == "" else int(match[2]))
        end = match.end()
    return steps


def value_at(value, steps):
    """The value at a path, None if it does not exist, `_Each` of values for a path with []."""
    for place, step in enumerate(steps):
        if step is EACH:
            values = [value_at(each, steps[place + 1 :]) for each in value] if isinstance(value, list) else []
            return _Each(chain.from_iterable(v if isinstance(v, _Each) else [v] for v in values))
        if isinstance(step, int):
            inside = isinstance(value, list) and -len(value) <= step < len(value)
            value = value[step] if inside else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _spread(cells, where, number, paths):
    """One record per element of the paths with []; values of other paths are repeated."""
    sizes = {column: len(cell) for column, cell in cells.items() if isinstance(cell, _Each)}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{paths[column]} has {size}" for column, size in sizes.items())
        raise UserError(f"{where} {number}: the lists of one row must be of one length; {listed}")
    for place in range(max(1, *sizes.values())):  # an empty list is one sample without a text
        yield {
            column: (cell[place] if place < len(cell) else None) if isinstance(cell, _Each) else cell
            for column, cell in cells.items()
        }


# ---- what a table must hold, and its split -------------------------------------------------------------------------


def check(table, name="data", fewest=FEWEST, groups=True):
    """Raise UserError for a single label or group, and for a label × group with fewer than `fewest` texts."""
    for column in ("label", "group") if groups else ("label",):
        if len(table.names[column]) < 2:
            only = f"only {table.names[column][0]!r}" if table.names[column] else "none"
            raise UserError(f"{name}: {only} as {column}; a study needs two {column}s or more (columns.{column})")
    strata = table.strata()
    counts = {
        (label, group): len(strata.get((label, group), ()))
        for label in table.names["label"]
        for group in (table.names["group"] if groups else [None])
    }
    few = sorted(
        (count, *(each for each in pair if each is not None)) for pair, count in counts.items() if count < fewest
    )
    if few:
        listed = ", ".join(f"{' and '.join(pair)}: {count}" for count, *pair in few[:FEW_VALUES])
        raise UserError(
            f"{name}: too few texts of {len(few)} of {len(counts)} combinations of label and group ({listed}{', …' if len(few) > FEW_VALUES else ''}); {fewest} each are needed: add texts, join classes under one name, or list only the labels and groups to study"
        )


def split(table, shares, seed):
    """{part: row numbers} by content: the parts of `shares` ({"test": 0.3, "reserve": 0.2}), and `source`, the rest.

    The share of each part holds within each label × group, up to the size of one cluster of near-duplicates
    (`Table.clusters`); clusters are kept together, in the part of the text with the smallest digest. The part of a
    text depends on its words and the seed, not on its row. Raises UserError if the shares leave nothing for the source.
    """
    import numpy as np

    if sum(shares.values()) >= 1 or min(shares.values(), default=0) < 0:
        raise UserError(f"split: {shares}: the shares must be 0 or more and leave some texts as the source of D_o")
    rank = _mixed(table.keys ^ np.uint64(record_seed("split", seed)))
    order = np.argsort(rank, kind="stable")
    heads, first = np.unique(table.clusters[order], return_index=True)
    leader = np.empty(len(table), dtype=np.int64)
    leader[heads] = order[first]  # each cluster is represented by its row with the smallest rank
    leader = leader[table.clusters]
    sizes = np.bincount(leader, minlength=len(table))
    width = len(table.names["group"]) + 1
    stratum = table.codes["label"].astype(np.int64) * width + table.codes["group"] + 1
    part_of = np.full(len(table), len(shares), dtype=np.int8)
    bounds = np.cumsum([*shares.values()])
    leaders = order[sizes[order] > 0]
    for value in np.unique(stratum):
        members = leaders[stratum[leaders] == value]
        passed = np.cumsum(sizes[members])
        middle = (passed - sizes[members] / 2) / max(1, passed[-1] if len(passed) else 1)
        part_of[members] = np.searchsorted(bounds, middle, side="right")
    part_of = part_of[leader]
    return {part: np.flatnonzero(part_of == place) for place, part in enumerate([*shares, "source"])}


def apart(table, parts):
    """({part: row numbers}, {part: number of dropped rows}) of predefined parts, with near-duplicates across parts removed.

    Near-duplicates (`Table.clusters`) in several parts are kept only in the first of them in `parts`: put `test`
    first, so that no test text is trained on.
    """
    import numpy as np

    cluster = table.clusters
    taken, kept, left_out = np.zeros(len(table), dtype=bool), {}, {}
    for part, rows in parts.items():
        kept[part] = rows[~taken[cluster[rows]]]
        if len(kept[part]) < len(rows):
            left_out[part] = len(rows) - len(kept[part])
        taken[cluster[rows]] = True
    return kept, left_out


def _mixed(values):
    """A 64-bit mixing hash of each value (the finalizer of splitmix64)."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
