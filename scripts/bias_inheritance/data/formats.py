"""Rows of files, folders of `datasets` and Hub datasets, one by one, with their line or row numbers.

CSV, TSV, JSON and JSON Lines are parsed with the standard library, because the readers of `datasets` pad short rows,
convert texts like 007 and None to other values and numbers to texts (findings/datasets-csv-json-values.sh). Other formats,
and the files, configurations and splits of a Hub dataset or a folder, are read with `datasets`.
"""

import csv
import glob
import gzip
import json
import zlib
from collections import Counter
from itertools import chain, islice
from pathlib import Path

from bias_inheritance.data import hub_data
from bias_inheritance.data.values import FEW_VALUES, kind_of, short
from bias_inheritance.plumbing.errors import UserError, did_you_mean
from bias_inheritance.plumbing.provenance import ROOT

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
LARGE = 32 << 20  # maximum size (bytes) of files that are checked at every start; larger ones are checked by the steps


def files_read(spec):
    """Paths of the local files and folders that `read` opens, sorted; none for a Hub dataset."""
    return sorted({shown(path) for _, path in _places(spec)} if "files" in spec else ())


def is_large(spec):
    """Whether a specification's files have more than LARGE bytes in total, or are a Hub dataset."""
    paths = [path for _, path in _places(spec)] if "files" in spec else []
    inside = [each for path in paths for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]
    return not paths or sum(path.stat().st_size for path in inside) > LARGE


def _places(spec, folder=None):
    """[(split or None, Path)] of a specification's files."""
    base = Path(folder or ROOT)
    files_of_splits = spec["files"] if isinstance(spec["files"], dict) else {None: spec["files"]}
    return [
        (split, base / path)
        for split, paths in files_of_splits.items()
        for path in (paths if isinstance(paths, list) else [paths])
    ]


def shown(path):
    """A path for messages and records: relative to the project's root if inside it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def near_file(path):
    """`did_you_mean` for a file that does not exist, among those of its folder."""
    return did_you_mean(path.name, [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else [])


def peek(spec, folder=None, count=1000, name="data"):
    """Yield the first `count` raw rows of a specification's files, ignoring its columns; raises UserError."""
    rows = (
        row
        for _, kind, place in sources(spec, folder, name)
        for _, row in reader(kind)(place, kind, lambda names: None, None)
    )
    yield from islice(rows, count)


def sources(spec, folder, name):
    """[(split, format or dataset, path)] of the sources of a specification's rows, of its `splits` only if it lists some."""
    if "hub" in spec:
        copy = hub_data.fetched(spec["hub"], spec["revision"], None, f"give files in place of {name}.hub")
        parts = _of_folder(copy, spec.get("config"), f"data set {spec['hub']}", complete=False)
    else:
        parts = []
        for split, path in _places(spec, folder):
            if path.is_dir():
                config = spec.get("config")
                parts += [
                    (split or part, kind, place)
                    for part, kind, place in _of_folder(path, config, path, complete=config is None)
                ]
            elif path.is_file():
                suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
                if suffix.lower() not in SUFFIXES:
                    raise UserError(
                        f"{shown(path)}: {suffix or 'a file without an ending'} is not a supported format; provide one of {', '.join(SUFFIXES)}, or a folder of `datasets`"
                    )
                parts.append((split, SUFFIXES[suffix.lower()], path))
            else:
                raise UserError(f"{shown(path)}: there is no such file{near_file(path)}; {name}.files names it")
    splits = spec.get("splits")
    if not splits:
        return parts
    known = list(dict.fromkeys(part[0] for part in parts if part[0] is not None))
    lacking = [split for split in splits if split not in known]
    if lacking:
        what = f"dataset {spec['hub']} has" if "hub" in spec else "the files have"
        listed = f"it has {', '.join(known)}" if known else "name the splits of a column under split, or remove splits"
        raise UserError(f"{name}.splits: {what} no split {lacking[0]!r}{did_you_mean(lacking[0], known)}; {listed}")
    return [part for part in parts if part[0] in splits]


def reader(kind):
    return {"csv": _delimited, "tsv": _delimited, "json": _json}.get(kind, arrow)


def _of_folder(folder, config, what, complete):
    """[(split, format, path or dataset)] of a folder written by `save_to_disk` or readable by `load_dataset`.

    complete: whether all its files with samples must be read; `load_dataset` ignores those of a second format.
    """
    import datasets

    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        try:
            saved = datasets.load_from_disk(str(folder))
        except Exception as fault:
            raise UserError(
                f"{what}: cannot be read as a saved dataset ({_first_line(fault)}); save it again, or give files"
            ) from None
        saved = saved if isinstance(saved, datasets.DatasetDict) else {None: saved}
        return [(split, data, folder / (split or "")) for split, data in saved.items()]
    try:
        builder = datasets.load_dataset_builder(str(folder), name=config)
    except Exception as fault:
        remedy = "set config to one of its configurations, or give files"
        if glob.has_magic(str(folder)):
            remedy = "rename the folder without *, ? and [, which `datasets` takes for a pattern, or give files"
        raise UserError(f"{what}: {_first_line(fault)}; {remedy}") from None
    read = {Path(path).resolve() for paths in builder.config.data_files.values() for path in paths}
    unread = next((path for path in _data_files(folder) if path.resolve() not in read), None)
    if complete and unread:
        raise UserError(
            f"{what}: {unread.relative_to(folder)} is not among the files that `datasets` reads in it (those of one format, and of these only those named after a split if there are any); give the files as a list, or move it elsewhere"
        )
    kind = {"csv": builder.config.sep if builder.name == "csv" else None}.get(builder.name)
    kind = {"\t": "tsv", ",": "csv", None: builder.name}.get(kind, builder.name)
    return [(str(split), kind, Path(path)) for split, paths in builder.config.data_files.items() for path in paths]


def _data_files(folder):
    """Files with samples in a folder, sorted. JSON files are not counted, since most describe the others."""
    for path in sorted(folder.rglob("*")):
        suffixes = [suffix.lower() for suffix in path.suffixes[-2:] if suffix.lower() != ".gz"]
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        if suffixes and suffixes[-1] in SUFFIXES and suffixes[-1] != ".json" and not hidden and path.is_file():
            yield path


def _first_line(fault):
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0].rstrip(".")


def arrow(place, kind, check_names, roots):
    """Yield (number, row) of Parquet, Arrow and other files readable by `datasets`, with class names instead of codes.

    kind: the name of a reader of `datasets`, or a dataset from `load_from_disk`. roots: the columns to read; None: all.
    """
    import datasets

    try:
        if isinstance(kind, str):
            path = glob.escape(str(place))  # `datasets` takes paths for patterns
            data = datasets.load_dataset(kind, data_files={"all": path}, split="all", streaming=True)
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
                    highest = max((code for code in lists[column] if code is not None), default=-1)
                    if highest >= len(feature.names):  # `datasets` accepts it (findings/datasets-classlabel-codes.sh)
                        raise UserError(
                            f"{shown(place)}: column {column!r} has the class code {highest}, but only {len(feature.names)} class names; correct the codes or the names"
                        )
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
            f"{shown(place)}: cannot be read as {kind if isinstance(kind, str) else 'a saved dataset'} ({_first_line(cause)}); restore the file or give another"
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
                        f"{shown(place)}, line {number}: not UTF-8 text but binary data or UTF-16; save it as UTF-8"
                    )
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as fault:
                    raise UserError(
                        f"{shown(place)}, line {number}: byte 0x{line[fault.start]:02x} is not UTF-8 (after {short(line[: fault.start].decode()[-30:])!r}); save the file as UTF-8, for example with iconv -f latin1 -t utf-8"
                    ) from None
        except (OSError, EOFError, zlib.error) as fault:
            raise UserError(f"{shown(place)}: cannot be read ({fault}); restore the file or give another") from None


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
                    raise UserError(f"{shown(place)}, line {line}: two columns are called {twice[0]!r}; rename one")
                separator = "\t" if kind == "tsv" else ","
                other = [sign for sign in ";\t|," if sign != separator and sign in header[0]]
                if len(header) == 1 and other:
                    raise UserError(
                        f"{shown(place)}, line {line}: one column, {short(header[0])!r}, whose parts {other[0]!r} separates; save the file with {separator!r} between cells"
                    )
                check_names(header)
            elif len(row) != len(header):
                cells = ", ".join(repr(short(cell, 30)) for cell in row[:FEW_VALUES])
                raise UserError(
                    f"{shown(place)}, line {line}: {len(row)} cells, but the header has {len(header)}: {cells}; quote cells that contain a {'tab' if kind == 'tsv' else 'comma'} or a line break"
                )
            else:
                yield line, dict(zip(header, row, strict=True))
    except csv.Error as fault:
        raise UserError(
            f"{shown(place)}, line {start}: not readable as {kind.upper()} ({fault}); close every quote and double those inside a cell"
        ) from None
    if header is None:
        raise UserError(f"{shown(place)}: is empty; give a file with a header and samples")


def _json(place, kind, check_names, roots):
    """Yield (line number, object) of JSON Lines, or (position in the list, object) of a file with one JSON value."""
    names = {}
    for number, row in _objects(place):
        if not isinstance(row, dict):
            raise UserError(
                f"{shown(place)}, line {number}: {kind_of(row)}, not an object; every sample is one JSON object"
            )
        names.update(dict.fromkeys(row))
        yield number, row
    if names:
        check_names(names)


def _objects(place):
    lines = ((number, line) for number, line in enumerate(_lines(place), start=1) if line.strip())
    first = next(lines, None)
    if first is None:
        raise UserError(f"{shown(place)}: is empty; give a file with samples")
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
                    f"{shown(place)}, line {number}: not JSON ({fault}); correct or remove the line"
                ) from None
            yield number, row
        return
    try:
        whole = json.loads("".join(chain([first[1]], (line for _, line in lines))))
    except ValueError as fault:
        raise UserError(
            f"{shown(place)}: neither JSON Lines nor one JSON value ({fault}); write one object a line, or a list of objects"
        ) from None
    yield from enumerate(whole if isinstance(whole, list) else [whole], start=1)
