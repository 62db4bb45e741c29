"""Read YAML files and format their errors: FILE: key.path[2]: what is wrong; how to fix it."""

import os
from pathlib import Path

import yaml

from bias_inheritance.plumbing.errors import UserError, did_you_mean


def read(path, name=None):
    """The content of a YAML file. Raises OSError, or for invalid YAML a UserError with file (as `name`) and line."""
    name = name or os.path.relpath(path)
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise UserError(
            f"{name}, line {line}: not valid YAML ({error.problem}); correct it there or just above"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
    except yaml.reader.ReaderError as error:
        raise UserError(f"{name}: not valid YAML ({error.reason}, character {error.character!r}); remove it") from None
    except RecursionError:
        raise UserError(f"{name}: not valid YAML (nested too deeply); close the brackets") from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """The safe loader, which also rejects duplicate keys (YAML would silently keep the last one) and reports the line of
    invalid values: a date such as 2025-13-45, a number of 5,000 digits."""

    def flatten_mapping(self, node):
        # PyYAML calls this for every mapping before reading it, and again after merging other keys into it (<<)
        if not hasattr(node, "lines"):
            node.lines = {}
            for key, _ in node.value:
                written, line = (key.tag, str(key.value)), key.start_mark.line + 1
                if written in node.lines:
                    problem = f"duplicate key {quoted(key.value)}, first in line {node.lines[written]}"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                node.lines[written] = line
        super().flatten_mapping(node)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def quoted(value):
    """A value as error messages show it, shortened if long."""
    text = f"a number of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 10**50 else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def suggest(word, known):
    """The end of an error message on an unknown word: the most similar known one, otherwise all of them."""
    return did_you_mean(word, known) or (f"; known: {', '.join(map(str, known))}" if known else "")


def line(path, text):
    """An error in one line, preceded by its place: grid.gamma[2]: 1.5 is not below 1."""
    place = ""
    for key in path:
        if isinstance(key, int) and not isinstance(key, bool):
            place += f"[{key}]"
        else:
            shown = key if isinstance(key, str) and key.isprintable() and len(key) <= 60 else quoted(key)
            place += f".{shown}" if place else shown
    return f"{place}{': ' if place else ''}{text}"
