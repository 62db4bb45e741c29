"""Fields of a row chosen by name or dotted path: one record per sample, and nested values as in messages[-1].content."""

import re
from itertools import chain

from bias_inheritance.data import formats
from bias_inheritance.data.values import FEW_VALUES
from bias_inheritance.plumbing.errors import UserError, did_you_mean

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d*)\]")
EACH = object()


def records(spec, folder, paths, name):
    """Yield (split, file, row or line number, {column: value}) of every sample of a specification.

    paths: {column: name or dotted path of its values}. Other columns are None.
    """
    steps = {column: steps_of(path, name) for column, path in paths.items()}
    spreads = any(EACH in listed for listed in steps.values())
    empty = dict.fromkeys(("text", "label", "group", "id", "split"))
    for split, kind, place in formats.sources(spec, folder, name):

        def check_names(names, place=place):
            for column, path in paths.items():
                if path not in names and steps[column][0] not in names:
                    listed = ", ".join(repr(each) for each in list(names)[:FEW_VALUES])
                    raise UserError(
                        f"{formats.shown(place)}: no column {path!r}{did_you_mean(path, names)}; it has {listed}{', …' if len(names) > FEW_VALUES else ''}; fix it in {name}.{'votes' if column.startswith('vote ') else f'columns.{column}'}"
                    )

        lines = formats.reader(kind)
        where, number, filled = f"{formats.shown(place)}, {'row' if lines is formats.arrow else 'line'}", None, set()
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
            raise UserError(f"{formats.shown(place)}: has no rows; give a file with samples")
        for column, path in paths.items():
            if column not in filled and len(steps[column]) > 1:
                raise UserError(
                    f"{formats.shown(place)}: no row has a value at {path!r}, which {name}.columns.{column} names"
                )


class _Each(list):
    """The values of a path with [], one sample each."""


def steps_of(path, name="columns"):
    """The steps of a dotted path.

    'messages[-1].content' → ['messages', -1, 'content'], 'pairs[].answer' → ['pairs', EACH, 'answer']. List
    elements are selected by position. Raises UserError for an invalid path.
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
