"""Labelled texts from files and Hub datasets as a table, with a reason for every dropped row.

A specification names the files or the Hub dataset, its columns and, optionally, names for their values:

    {files: reviews.csv, columns: {text: review, label: stars, group: nationality}, labels: {"1": bad, "5": good}}

`docs/formats.md` lists all keys. Rows are read by `formats`, their fields chosen by `fields`, classes named by `values`;
`splitting` divides a table.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from bias_inheritance.data import duplicates, fields
from bias_inheritance.data.formats import BATCH
from bias_inheritance.data.values import (
    FEW_VALUES,
    NO_MAJORITY,
    Values,
    broken,
    kind_of,
    missing,
    short,
    spelled,
    voted,
)
from bias_inheritance.plumbing.errors import UserError, did_you_mean

LONGEST_TEXT = 20_000  # ASSUME: longer texts are not samples of a classification task; the key `longest_text` cuts them
FEWEST = 8  # ASSUME: minimum number of texts per label × group for meaningful splits, pools and scores


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
        texts = _at(self.texts, rows)
        keys = [f"{key:016x}" for key in self.keys[rows].tolist()]
        ids = _at(self.ids, rows) if self.ids is not None else keys
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


def read(
    spec, folder=None, required=("text", "label", "group"), name="data", dropped=None, all_listed=True, classes=None
):
    """The Table of a specification. Relative paths are relative to `folder`, by default the project's root.

    required: columns without which a row is dropped. name: location of the specification, for messages. dropped: a list to
    which (reason, place, text) of every dropped row is appended. all_listed: whether every listed value must occur.
    classes: location of the keys `labels` and `groups`, by default `name`. counts: rows, kept, reasons {reason: rows}, cut (texts
    shortened), labels and groups {name: rows kept}, unlisted {column: {value: rows}}; rows = kept + the sum of the
    reasons. Reasons: unused split (the specification's `split` names others), empty text, missing label, missing group,
    unlisted label, unlisted group, no majority, broken characters, duplicate, contradiction. Raises UserError for likely
    user mistakes.
    """
    import numpy as np
    import pyarrow as pa

    columns = spec["columns"]
    paths = {column: path for column, path in columns.items() if isinstance(path, str)}
    votes = spec.get("votes")
    raters = {f"vote {number}": column for number, column in enumerate(votes["columns"])} if votes else {}
    if ("label" in paths) == bool(votes):
        raise UserError(f"{name}: give either columns.label or votes, which determine the label")
    values = {
        column: Values(f"{classes or f'{name}.'}{column}s", column, spec.get(f"{column}s"))
        for column in ("label", "group")
    }
    reasons, cut, rows = Counter(), 0, 0
    splits, places, used = {}, {}, named_splits(spec)
    used_names = {split for names in used.values() for split in names}
    texts, ids, keys, lines, chunks, id_chunks = [], [], [], [], [], []
    codes = {"label": [], "group": [], "split": [], "file": []}
    longest = spec.get("longest_text")

    def drop(reason, where, number, text):
        reasons[reason] += 1
        if dropped is not None:
            dropped.append((reason, f"{where} {number}", text.encode(errors="replace").decode()))

    for split, where, number, record in fields.records(spec, folder, {**paths, **raters}, name):
        rows += 1
        if "split" in paths:
            split = None if missing(record["split"]) else spelled(record["split"])
        split_code = -1 if split is None else splits.setdefault(split, len(splits))
        if used and split not in used_names:
            drop("unused split", where, number, str(record["text"] or ""))
            continue
        text, folded = _text(record["text"], paths["text"], where, number)
        if not folded:
            drop("empty text", where, number, "")
            continue
        if len(text) > (longest or LONGEST_TEXT):
            if longest is None:
                raise UserError(
                    f"{where} {number}: a text of {len(text):,} characters; remove the row, or set {name}.longest_text to cut longer texts there (--longest-text of add-domain and add-pool)"
                )
            text, cut = text[:longest], cut + 1
            folded = " ".join(text.split())
        if broken(text) or ("id" in paths and broken(spelled(record["id"]))):
            drop("broken characters", where, number, text)
            continue
        try:
            value = voted(votes, [record[column] for column in raters]) if votes else record["label"]
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
        texts.append(text)
        keys.append(int.from_bytes(hashlib.sha256(folded.encode()).digest()[:8], "big"))
        codes["label"].append(label)
        codes["group"].append(group)
        codes["split"].append(split_code)
        codes["file"].append(places.setdefault(where, len(places)))
        lines.append(number)
        if "id" in paths:
            if missing(record["id"]):
                raise UserError(f"{where} {number}: no id in column {paths['id']!r}; add one, or omit columns.id")
            ids.append(spelled(record["id"]))
        if len(texts) == BATCH:
            chunks.append(pa.array(texts, pa.string()))
            id_chunks.append(pa.array(ids, pa.string()))
            texts, ids = [], []
    chunks.append(pa.array(texts, pa.string()))
    id_chunks.append(pa.array(ids, pa.string()))
    for part, names in used.items():
        if not splits.keys() & names:
            raise UserError(
                f"{name}.split.{part}: the data have no split {' or '.join(names)}{did_you_mean(names[0], splits)}; they have {', '.join(splits) or 'none'}"
            )
    for value in values.values():
        value.check(all_listed)

    keys = np.array(keys, dtype=np.uint64)
    lines = np.array(lines, dtype=np.int32)
    codes = {column: np.array(listed, dtype=np.int32) for column, listed in codes.items()}
    files = list(places)
    of_test = [splits[split] for split in used.get("test", []) if split in splits]
    keep, contradicting = _each_text_once(keys, codes, later=~np.isin(codes["split"], of_test))
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
        raise UserError(f"{name}: no usable text in {rows:,} rows{f' ({why})' if why else ''}{_unlisted(table.counts)}")
    return table


def named_splits(spec):
    """{part: names of the data's own splits, of which one suffices} of a specification's `split`; {} for shares."""
    split = spec.get("split") or {}
    return {
        part: [names] if isinstance(names, str) else names
        for part, names in split.items()
        if isinstance(names, (str, list))
    }


def _unlisted(counts):
    """The end of a message: values of the data that the specification does not list, if there are any."""
    listed = [f"{column}s {', '.join(map(repr, values))}" for column, values in counts["unlisted"].items()]
    return f"; not listed, and therefore dropped, are the {' and the '.join(listed)}" if listed else ""


def _filtered(chunks, keep):
    """A ChunkedArray of the rows to keep, filtered chunk by chunk, so that texts are never in memory twice."""
    import pyarrow as pa

    start = 0
    for place, chunk in enumerate(chunks):
        chunks[place] = chunk.filter(pa.array(keep[start : start + len(chunk)]))
        start += len(chunk)
    return pa.chunked_array(chunks, pa.string())


def _at(chunks, rows):
    """The values of a ChunkedArray at row numbers, in their order. Its own `take` would copy all chunks into one array."""
    import numpy as np
    import pyarrow as pa

    selected = np.zeros(len(chunks), dtype=bool)
    selected[rows] = True
    values = chunks.filter(pa.array(selected)).to_pylist()
    return [values[place] for place in np.searchsorted(np.flatnonzero(selected), rows).tolist()]


def _text(value, column, where, number):
    """(text stripped of surrounding whitespace, text with whitespace normalised); both empty for a missing value."""
    if missing(value):
        return "", ""
    if not isinstance(value, str):
        hint = "; name a part of it, as in messages[-1].content" if isinstance(value, (list, dict)) else ""
        raise UserError(f"{where} {number}: the text in column {column!r} is {kind_of(value)} ({short(value)}){hint}")
    return value.strip(), " ".join(value.split())


def _each_text_once(keys, codes, later):
    """(rows to keep: the first copy of each text; rows whose text has copies with a different label or group), both bool.

    later: rows (bool) that come after all others: those that are not in the data's own test split, which is kept whole.

    ASSUME: a text whose copies differ in label or group is dropped entirely, since the correct one is unknown.
    """
    import numpy as np

    order = np.lexsort((later, keys))
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


def check(table, name="data", fewest=FEWEST, groups=True):
    """Raise UserError for a single label or group, and for a label × group with fewer than `fewest` texts."""
    if groups and (table.codes["group"] < 0).all():
        raise UserError(f"{name}: no text has a group; name the column of the groups in columns.group")
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
            f"{name}: too few texts of {len(few)} of {len(counts)} combinations of label and group ({listed}{', …' if len(few) > FEW_VALUES else ''}); {fewest} each are needed: add texts, join classes under one name, or list only the labels and groups to study{_unlisted(table.counts)}"
        )
