"""Which column of a labelled file holds what: told by the values themselves, then by the columns' names.

Used by `bias-inheritance add-domain` and `add-pool`, before a catalog file says it. Columns may be nested: a column of
objects is looked at by its parts (`metadata.label`), a conversation by its last message (`messages[-1].content`) and a
list of objects by the parts of each (`qa_pairs[].question`), in the notation of `tables.steps_of`.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from bias_inheritance.data import tables
from bias_inheritance.plumbing.errors import UserError

LOOKED_AT = 20_000  # rows; classes that only come later are named when the whole file is read
FEWEST_WORDS = 3  # of a text, on average
MOST = {"label": 50, "group": 20}  # values of a column of classes
SHARE_KNOWN = 0.9  # ASSUME: of a column's values that must be a domain's labels (or groups) for it to be that column
NAMES = {
    "text": "text review comment sentence content body message tweet post document ticket generation response output "
    "completion answer synthetic_text description biography hard_text data",
    "label": "label class category target topic rating stars sentiment intent occupation profession type status answer",
    "group": "group gender sex nationality country culture race ethnicity religion age_group age language dialect region "
    "origin party disability",
}


@dataclass
class Column:
    """What a column holds in the rows looked at. values: of each value as written, how often; None once there are too many."""

    filled: int = 0
    words: int = 0
    texts: int = 0
    values: Counter | None = field(default_factory=Counter)

    def add(self, value):
        if value is None or value == "":
            return
        self.filled += 1
        if isinstance(value, str):
            self.texts += 1
            self.words += len(value.split())
        if self.values is not None:
            self.values[tables.spelled(value)] += 1
            if len(self.values) > 4 * MOST["label"]:
                self.values = None

    @property
    def mean_words(self):
        return self.words / self.texts if self.texts else 0.0


def columns(spec, folder=None, rows=LOOKED_AT):
    """{path: Column} of the first `rows` rows of a specification's files (its `columns` are not needed)."""
    seen = {}
    for row in tables.peek(spec, folder, rows):
        for path, value in _leaves(row):
            seen.setdefault(path, Column()).add(value)
    if not seen:
        raise UserError(f"{spec['files']}: has no rows; give a file with samples")
    return seen


def _leaves(value, path=""):
    """(path, value) of everything in a row that is no object or list."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        if value and all(isinstance(part, dict) for part in value):
            if {"content"} <= value[-1].keys() or {"value"} <= value[-1].keys():
                yield from _leaves(value[-1], f"{path}[-1]")
            else:
                for part in value:
                    yield from _leaves(part, f"{path}[]")
    else:
        yield path, value


def is_class(column, most):
    """Whether a column holds classes: from two to `most` values, each of them more than once on average."""
    return column.values is not None and 2 <= len(column.values) <= most and column.filled >= 2 * len(column.values)


def resembles(path, role):
    """How well a column's name fits a role: 2 for the word itself as the whole name, 1 where the name holds it, 0."""
    words = NAMES[role].split()
    name = path.casefold()
    parts = [part for part in re.split(r"[^a-z]+", name) if part]
    if name in words or "_".join(parts) in words:
        return 2
    return int(any(part in words for part in parts))


def text_column(seen, where, exclude=()):
    """The path of the texts: of the columns of several words, one with a fitting name, else the one with most words."""
    known = [path for path, column in seen.items() if column.mean_words >= FEWEST_WORDS and path not in exclude]
    if not known:
        raise UserError(f"{where}: no column holds texts of {FEWEST_WORDS} words or more; name it with --text")
    longest = max(seen[path].mean_words for path in known)
    fitting = [path for path in known if seen[path].mean_words >= longest / 4]
    return max(fitting, key=lambda path: (resembles(path, "text"), seen[path].mean_words))


def class_column(seen, role, where, exclude=()):
    """The path of the labels or groups: of the columns of classes, the one whose name fits best.

    Raises UserError where none holds classes, where several do and no name decides, and where the fitting one has one value.
    """
    for path, column in seen.items():
        if path not in exclude and resembles(path, role) == 2 and column.values and len(column.values) == 1:
            raise UserError(
                f"{where}: only {next(iter(column.values))!r} in column {path}; a study needs two {role}s or more: add "
                f"texts of others, or name another column with --{role}"
            )
    known = [path for path, column in seen.items() if path not in exclude and is_class(column, MOST[role])]
    if not known:
        raise UserError(
            f"{where}: no column holds from 2 to {MOST[role]} different {role}s; columns are {', '.join(seen)}: "
            f"name it with --{role}, or join rare {role}s first"
        )
    fit = {path: resembles(path, role) for path in known}
    best = [path for path in known if fit[path] == max(fit.values())]
    if len(best) > 1:
        listed = ", ".join(f"{path} ({len(seen[path].values)} values)" for path in best)
        raise UserError(f"{where}: {listed} could each be the {role}; name one with --{role}")
    return best[0]


def column_of_known(seen, known, exclude=()):
    """The path of the column nearly all of whose values are among `known`, or None. The most complete one of several."""
    written = {tables.spelled(value) for value in known}
    shares = {
        path: sum(count for value, count in column.values.items() if value in written) / column.filled
        for path, column in seen.items()
        if path not in exclude and column.values and column.filled
    }
    fitting = [path for path, share in shares.items() if share >= SHARE_KNOWN]
    return max(fitting, key=lambda path: (seen[path].filled, shares[path]), default=None)


def given(path, seen, where, option):
    """A path that the user named; raises UserError with near names where the file has no such column."""
    if path not in seen:
        raise UserError(
            f"{where}: no column {path!r}{tables.near(path, seen)}; columns are {', '.join(seen)} ({option})"
        )
    return path
