"""Detects the roles of columns (text, label, group) in a labelled file, from their values and then from their names.

Used by `bias-inheritance add-domain` and `add-pool` to write a catalog file. Columns may be nested: objects are inspected
by field (`metadata.label`), conversations by their last message (`messages[-1].content`) and lists of objects by the
fields of each element (`qa_pairs[].question`), in the notation of `fields.steps_of`.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from bias_inheritance.data import fields, formats, texts
from bias_inheritance.data.values import spelled
from bias_inheritance.plumbing.errors import UserError, did_you_mean

LOOKED_AT = 20_000  # rows inspected; classes that first occur later are reported when the whole file is read
FEWEST_WORDS = 3  # minimum mean length of a text column
MOST = {"label": 50, "group": 20}  # maximum number of values of a class column
SHARE_KNOWN = 0.9  # ASSUME: minimum share of values among the domain's labels (or groups) for a column to match
NAMES = {
    "text": "text review comment sentence content body message tweet post document ticket generation response output "
    "completion answer synthetic_text description biography hard_text data",
    "label": "label class category target topic rating stars sentiment intent occupation profession type status answer",
    "group": "group gender sex nationality country culture race ethnicity religion age_group age language dialect region "
    "origin party disability",
}


@dataclass
class Column:
    """Statistics of a column in the inspected rows. values: counts of values as written; None if there are too many."""

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
            self.words += texts.length(value)
        if self.values is not None:
            self.values[spelled(value)] += 1
            if len(self.values) > 4 * MOST["label"]:
                self.values = None

    @property
    def mean_words(self):
        return self.words / self.texts if self.texts else 0.0


def columns(spec, folder=None):
    """{path: Column} of the first LOOKED_AT rows of a specification's files (`columns` is not required)."""
    seen = {}
    for row in formats.peek(spec, folder, LOOKED_AT):
        for path, value in _leaves(row):
            seen.setdefault(path, Column()).add(value)
    if not seen:
        raise UserError(f"{spec['files']}: has no rows; provide a file with samples")
    return seen


def _leaves(value, path=""):
    """(path, value) of every scalar in a row."""
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
    """Whether a column holds classes: two to `most` values, each occurring at least twice on average."""
    return column.values is not None and 2 <= len(column.values) <= most and column.filled >= 2 * len(column.values)


def resembles(path, role):
    """How well a column's name fits a role: 2 if the name is a word of the role, 1 if it contains one, else 0."""
    words = NAMES[role].split()
    name = path.casefold()
    parts = [part for part in re.split(r"[^a-z]+", name) if part]
    if name in words or "_".join(parts) in words:
        return 2
    return int(any(part in words for part in parts))


def text_column(seen, where, exclude=()):
    """The path of the text column: among columns of several words, the best matching name, then the longest texts."""
    known = [path for path, column in seen.items() if column.mean_words >= FEWEST_WORDS and path not in exclude]
    if not known:
        raise UserError(f"{where}: no column has texts of at least {FEWEST_WORDS} words; name it with --text")
    longest = max(seen[path].mean_words for path in known)
    fitting = [path for path in known if seen[path].mean_words >= longest / 4]
    return max(fitting, key=lambda path: (resembles(path, "text"), seen[path].mean_words))


def class_column(seen, role, where, exclude=()):
    """The path of the label or group column: among class columns, the one with the best matching name.

    Raises UserError if there is no class column, if several match equally well, or if the matching one has a single value.
    """
    for path, column in seen.items():
        if path not in exclude and resembles(path, role) == 2 and column.values and len(column.values) == 1:
            raise UserError(
                f"{where}: only {next(iter(column.values))!r} in column {path}; a study needs two {role}s or more: add "
                f"texts of others, or name another column with --{role}"
            )
    known = [path for path, column in seen.items() if path not in exclude and is_class(column, MOST[role])]
    other = "group" if role == "label" else "label"
    fitting = [path for path in known if resembles(path, role) >= resembles(path, other)]
    known = fitting if fitting or (len(known) == 1 and not exclude) else known  # a single one cannot be both
    if not known:
        raise UserError(
            f"{where}: no column has 2 to {MOST[role]} different {role}s; columns are {', '.join(seen)}: "
            f"name it with --{role}, or join rare {role}s first"
        )
    fit = {path: resembles(path, role) for path in known}
    best = [path for path in known if fit[path] == max(fit.values())]
    if len(best) > 1:
        listed = ", ".join(f"{path} ({len(seen[path].values)} values)" for path in best)
        raise UserError(f"{where}: {listed} could each be the {role}; name one with --{role}")
    return best[0]


def column_of_known(seen, known, exclude=(), every=False):
    """The path of the column with at least SHARE_KNOWN of its values in `known`, or None; ties go to the most complete.

    every: whether it must instead have every value of `known`, whatever others it has.
    """
    written = {spelled(value) for value in known}
    shares = {
        path: sum(count for value, count in column.values.items() if value in written) / column.filled
        for path, column in seen.items()
        if path not in exclude and column.values and column.filled
    }
    fitting = [
        path
        for path, share in shares.items()
        if (written <= seen[path].values.keys() if every else share >= SHARE_KNOWN)
    ]
    return max(fitting, key=lambda path: (seen[path].filled, shares[path]), default=None)


def require(path, seen, spec, folder, where, option):
    """A path given by the user; raises UserError with similar names if no inspected row has a value there."""
    if path not in seen:
        steps = fields.steps_of(path, option)
        rows = formats.peek(spec, folder, LOOKED_AT)
        if all(fields.value_at(row, steps) in (None, []) for row in rows):
            raise UserError(
                f"{where}: no column {path!r}{did_you_mean(path, seen)}; columns are {', '.join(seen)} ({option})"
            )
    return path
