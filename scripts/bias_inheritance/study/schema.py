"""Read YAML written by people and validate it against a JSON schema: one clear line per error."""

import difflib
import math
from functools import cache
from pathlib import Path

import yaml

from bias_inheritance.plumbing.errors import UserError

SCHEMAS = Path(__file__).parent / "schemas"  # {bias, claims, config, domain, mitigation, model, task}.schema.yaml


def read(path, name):
    """The content of a YAML file. Raises UserError for invalid YAML; the message calls the file `name`."""
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, _Loader)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        raise UserError(
            f"{name}{f', line {mark.line + 1}' if mark else ''}: not valid YAML ({getattr(fault, 'problem', fault)})"
        ) from None


class _Loader(yaml.SafeLoader):
    """The safe loader, which also rejects duplicate keys: YAML would silently keep the last one."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = next((key for key, _ in node.value if keys.count(key.value) > 1), None)
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"duplicate key {quoted(twice.value)}", twice.start_mark
            )
        return super().construct_mapping(node, deep)


def faults(content, schema):
    """[(path of keys and indices, what is wrong there)] of content under a schema, a file of rules/."""
    errors = list(_unusable_numbers([], content))
    if not errors:
        errors = [(list(fault.absolute_path), _explain(fault)) for fault in _validator(schema).iter_errors(content)]
    return errors


@cache
def _validator(schema):
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # JSON Schema accepts 2.0 as an integer; here an integer is an int, and not a bool
    whole = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    strict = extend(Draft202012Validator, type_checker=whole)
    # libyaml's safe loader, where PyYAML has it, is ten times as fast
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return strict(yaml.load(schema.read_text(encoding="utf-8"), loader))


def _unusable_numbers(path, value):
    """(path, text) of every number that is not finite (.nan, .inf) or larger than any key could mean."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _unusable_numbers([*path, key], part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _unusable_numbers([*path, index], part)
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"{value} is not finite"
    elif isinstance(value, int) and abs(value) > 10**15:
        yield path, f"{quoted(value)} is far too large"


def _explain(fault):
    value, kind, expected = fault.instance, fault.validator, fault.validator_value
    shown = quoted(value)
    if kind == "additionalProperties":
        unknown = [key for key in value if key not in fault.schema.get("properties", {})]
        return "; ".join(
            f"unknown key {key!r}{suggest(str(key), fault.schema.get('properties', {}))}" for key in unknown
        )
    if kind == "required":
        missing = [key for key in expected if key not in value]
        return f"lacks {', '.join(map(repr, missing))}"
    if kind == "dependentRequired":
        missing = [
            f"{key!r}, which {given!r} requires"
            for given in expected
            if given in value
            for key in expected[given]
            if key not in value
        ]
        return f"lacks {', '.join(missing)}"
    if kind == "type":
        names = {
            "integer": "a whole number",
            "number": "a number",
            "string": "text",
            "array": "a list",
            "object": "a mapping",
            "null": "null",
            "boolean": "true or false",
        }
        expected = expected if isinstance(expected, list) else [expected]
        hint = ""
        if isinstance(value, str) and {"number", "integer"} & set(expected):
            hint = _number_hint(value)
        if "array" in expected and not isinstance(value, (list, dict)):
            hint = f"; write [{quoted(value)}]"
        return f"{shown} is {_kind(value)}, not {' or '.join(names[name] for name in expected)}{hint}"
    size = len(value) if isinstance(value, list) else 0
    phrases = {
        "minimum": f"{shown} is below {expected}",
        "maximum": f"{shown} is above {expected}",
        "exclusiveMaximum": f"{shown} is not below {expected}",
        "exclusiveMinimum": f"{shown} is not above {expected}",
        "uniqueItems": f"{shown} contains a duplicate",
        "minItems": f"the list has {size} entries, at least {expected} are needed"
        if size
        else "the list is empty; name at least one",
        "minLength": "the text is empty",
        "maxItems": f"the list has {size} entries, at most {expected} are allowed",
        "oneOf": f"{shown} is not allowed; {fault.schema.get('description', 'see the schema in scripts/bias_inheritance/study/schemas')}",
        "enum": f"{shown} is not one of {', '.join(map(str, expected)) if isinstance(expected, list) else expected}",
        "pattern": f"{shown} is not a valid folder name; use up to 64 letters, digits, '.', '_' and '-'",
    }
    return phrases.get(kind, fault.message)


def _number_hint(text):
    try:
        number = float(text)
    except ValueError:
        return ""
    mantissa, _, exponent = text.partition("e")
    return (
        f"; YAML reads it as a number when written {mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
        if exponent
        else f"; write {number:g} without quotes (in a file: nested values of --config stay text)"
    )


def _kind(value):
    if isinstance(value, bool):
        return "true or false"
    return {
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
        type(None): "null",
    }.get(type(value), type(value).__name__)


def quoted(value):
    """A value as error messages show it, shortened if long."""
    text = f"a number of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 10**50 else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def suggest(word, known):
    """The end of an error on an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(map(str, known))}" if known else ""


def line(path, text):
    """An error in one line, preceded by its place: grid.gamma[2]: 1.5 is not below 1."""
    return f"{_dotted(path)}{': ' if path else ''}{text}"


def _dotted(path):
    text = ""
    for key in path:
        if isinstance(key, int) and not isinstance(key, bool):
            text += f"[{key}]"
        else:
            shown = key if isinstance(key, str) and key.isprintable() and len(key) <= 60 else quoted(key)
            text += f".{shown}" if text else shown
    return text
