"""Values of labels, groups and votes: their names, which of them are missing, and how messages show them."""

import json
import math
import re
from collections import Counter
from decimal import Decimal

from bias_inheritance.plumbing.errors import UserError, did_you_mean

FEW_VALUES = 12  # maximum number of values listed in a message
MISSING, UNLISTED, BROKEN = -1, -2, -3
NO_MAJORITY = object()


def spelled(value):
    """The text form of a value: strings unchanged, numbers and booleans as in JSON, 1.0 as 1, dates as in ISO 8601."""
    if isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value):
        value = int(value)
    if value is None or isinstance(value, (bool, int, float, list, dict)):
        return json.dumps(value, default=str)
    return str(value)


def missing(value):
    """Whether a cell is missing: null, NaN, or blank text. Words such as None, NA and null are values."""
    return (
        value is None
        or (isinstance(value, (float, Decimal)) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def broken(text):
    """Whether a text has an unpaired surrogate, which JSON allows but UTF-8 cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def kind_of(value):
    """The type of a value in the words of a message."""
    return {
        bool: "true or false",
        int: "a number",
        float: "a number",
        Decimal: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }.get(type(value), type(value).__name__)


def short(value, length=60):
    """A value on one line, cut to `length` characters, for messages."""
    text = re.sub(r"\s+", " ", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= length else text[: length - 1] + "…"


def folded_value(text):
    """A value without differences of case and space."""
    return " ".join(text.split()).casefold()


class Values:
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
        if code == BROKEN:
            return -1, "broken characters"
        if code == UNLISTED:
            self.unlisted[spelled(value)] += 1
            return -1, f"unlisted {self.column}"
        return code, None

    def _new(self, value, where, number):
        if missing(value):
            return MISSING
        if isinstance(value, (list, dict)):
            raise UserError(
                f"{where} {number}: the {self.column} is {kind_of(value)} ({short(value)}); name a part of it, as in metadata.label"
            )
        text = spelled(value)
        if broken(text):
            return BROKEN
        if self.listed is not None:
            return self.names.index(self.listed[text]) if text in self.listed else UNLISTED
        other = self.places.setdefault(text, (kind_of(value), where, number))
        if other[0] != kind_of(value):
            raise UserError(
                f"{where} {number}: the {self.column} {json.dumps(value, default=str)} is {kind_of(value)}, and at {other[1]} {other[2]} the same is written as another type; list it under {self.where} to make both one {self.column} ({text}: {text}), or rename one"
            )
        if text not in self.names:
            self.names.append(text)
        return self.names.index(text)

    def check(self, all_listed):
        """Raise UserError for values that differ only in case or space, and for listed ones without rows (with a list, both
        only if `all_listed`)."""
        if self.listed is not None:
            if not all_listed:
                return
            seen = {spelled(value) for (_, value), code in self.codes.items() if code >= 0}
            folded = {folded_value(value): value for value in self.listed}
            for value in self.unlisted:
                other = folded.get(folded_value(value))
                if other in seen:
                    raise UserError(
                        f"{self.where}: {self.unlisted[value]:,} rows have the {self.column} {value!r}, which differs from {other!r} only in case or space; list it too, with the same name"
                    )
            for value in self.listed:
                if value not in seen and self.codes:
                    others = ", ".join(repr(each) for each, _ in self.unlisted.most_common(FEW_VALUES))
                    raise UserError(
                        f"{self.where}: no row has the {self.column} {value!r}{did_you_mean(value, self.unlisted)}; {f'unlisted values are {others}' if others else 'remove it from the list'}"
                    )
            return
        folded = {}
        for text in self.names:
            other = folded.setdefault(folded_value(text), text)
            if other != text:
                raise UserError(
                    f"{self.where}: the {self.column}s {other!r} and {text!r} differ only in case or space; list both under {self.where} with the names that they are to have"
                )


def voted(votes, cells):
    """The label of a row by its votes: 1 or 0 for `at_least`, the raters' class for `majority`; None if votes are missing.

    A cell is one vote or a list of them. Raises ValueError for a vote that is no number of votes if votes are summed.
    """
    listed = {spelled(value): meaning for value, meaning in votes.get("values", {}).items()}
    given = [
        (column, None if missing(vote) else listed.get(spelled(vote), vote))
        for column, cell in zip(votes["columns"], cells, strict=True)
        for vote in (cell if isinstance(cell, list) else [cell])
    ]
    if votes.get("majority"):
        counts = Counter(spelled(vote) for _, vote in given if vote is not None)
        if not counts:
            return None
        value, count = counts.most_common(1)[0]
        return value if 2 * count > counts.total() else NO_MAJORITY
    total = 0
    for column, vote in given:
        if vote is None:
            return None
        try:
            number = float(vote)
        except (TypeError, ValueError):
            number = -1
        if not 0 <= number < math.inf:
            raise ValueError(
                f"{vote!r} in column {column!r} is not a number of votes; give its number under votes.values"
            )
        total += number
    return int(total >= votes["at_least"])
