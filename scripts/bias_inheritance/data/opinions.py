"""Opinion questions with a country's answer distribution: readers for both file formats, items, similarity.

A question is a dict {country, sample, question, options (texts), shares (floats)}: `sample` is the country as named in the
file ("Brazil (Non-national sample)"), `country` the name without the suffix, which is used in prompts.
"""

import ast
import hashlib
import json
import math
import re
import string

from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed

FIXTURE = "opinions-fixture"  # the shipped questions, whose shares are invented


def load(path):
    """All (question, country) pairs of a file: the CSV from the Hub, or a JSON list of {country, question, options,
    distribution}. Raises UserError with the row number for an unreadable row.
    """
    read = _hub_rows if path.suffix == ".csv" else _flat_rows
    questions = []
    for number, (question, options, shares_of) in read(path):
        texts = [f"{option:g}" if isinstance(option, float) else str(option) for option in options]
        for sample, shares in shares_of.items():
            if not all(isinstance(share, (int, float)) or share is None for share in shares):
                raise UserError(f"{path}, row {number}: the shares of {sample} are not all numbers; correct the file")
            country = re.sub(r"\s*\([^)]*sample\)$", "", sample)
            questions.append(
                {"country": country, "sample": sample, "question": question, "options": texts, "shares": shares}
            )
    return questions


def _hub_rows(path):
    """(row number, (question, options, {country: shares})) of the file from the Hub, whose fields are Python literals."""
    import csv

    csv.field_size_limit(2**27)
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            for column in ("question", "selections", "options"):
                if row.get(column) is None:
                    raise UserError(
                        f"{path}, row {number}: no column {column!r}; required: question, selections, options"
                    )
            yield number, (row["question"], _literal(path, number, row["options"]), _selections(path, number, row))


def _selections(path, number, row):
    """{country: shares} of a string such as "defaultdict(<class 'list'>, {'Peru': [0.4, 0.6]})", parsed without eval."""
    text = row["selections"]
    braces = text[text.find("{") : text.rfind("}") + 1]
    # nan becomes None, and the question is counted as unusable
    return _literal(path, number, re.sub(r"(?<=[\[,\s])nan(?=[,\]\s])", "None", braces))


def _literal(path, number, text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise UserError(f"{path}, row {number}: {text[:60]!r} is not a Python literal; fetch the file again") from None


def _flat_rows(path):
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise UserError(f"{path}: not readable as JSON ({fault}); fetch the file again") from None
    for number, row in enumerate(rows, start=1):
        missing = {"country", "question", "options", "distribution"} - set(row)
        if missing:
            raise UserError(f"{path}, row {number}: lacks {', '.join(sorted(missing))}; correct the file")
        yield number, (row["question"], row["options"], {row["country"]: row["distribution"]})


def usable(question, no_answer):
    """(question restricted to substantive answers, with shares that sum to 1; None), or (None, reason).

    no_answer: pattern of non-answers (survey codes). Reasons: lengths (numbers of options and shares differ), no-number,
    all-zero, one-option (fewer than two substantive answers), too-many-options (more options than letters).
    """
    options, shares = question["options"], question["shares"]
    if len(options) != len(shares):
        return None, "lengths"
    if any(share is None or not math.isfinite(share) or share < 0 for share in shares):
        return None, "no-number"
    if not sum(shares) > 0:
        return None, "all-zero"
    kept = [
        (option, share)
        for option, share in zip(options, shares, strict=True)
        if not re.search(no_answer, option.strip(), re.IGNORECASE)
    ]
    total = sum(share for _, share in kept)
    if len(kept) < 2 or not total > 0:
        return None, "one-option"
    if len(kept) > len(string.ascii_uppercase):
        return None, "too-many-options"
    options, shares = zip(*kept, strict=True)
    return {**question, "options": list(options), "shares": [share / total for share in shares]}, None


def chosen(questions, cultures, sides, count, no_answer):
    """(questions, unusable): at most `count` usable questions for each country of `cultures`, and {country: {reason: n}}.

    Questions that were posed to some country of each side (`shared`) come first, then the others, in the same seeded order
    for all countries: the sides have as many in common as the file and `count` allow, and selections of different `count`
    are nested. sides: {side: cultures}. unusable covers all countries of the file with an unusable question.
    """
    by_country = {country: [] for listed in cultures.values() for country in listed}
    unusable = {country: {} for country in by_country}
    for question in questions:
        usable_question, reason = usable(question, no_answer)
        if reason:
            reasons = unusable.setdefault(question["country"], {})
            reasons[reason] = reasons.get(reason, 0) + 1
        elif question["country"] in by_country:
            by_country[question["country"]].append(usable_question)
    common = shared(
        [question for of_country in by_country.values() for question in of_country], countries(cultures, sides)
    )
    kept = []
    for of_country in by_country.values():
        of_country.sort(
            key=lambda question: (
                question["question"] not in common,
                record_seed("opinion", question["question"]),
                question["sample"],
            )
        )
        kept += of_country[:count]
    return kept, unusable


def countries(cultures, sides):
    """{side: countries of its cultures}."""
    return {side: [country for name in names for country in cultures[name]] for side, names in sides.items()}


def shared(questions, sides):
    """The texts of the questions that were posed to some country of each side; sides: {side: countries}."""
    return set.intersection(
        *(
            {question["question"] for question in questions if question["country"] in members}
            for members in sides.values()
        )
    )


def items(questions, prompt):
    """Items: each question in all rotations of its options, so that each option has every letter once.

    The cluster is the question with its options: waves of a survey repeat a wording with another scale.
    """
    for question in questions:
        options = question["options"]
        cluster = hashlib.sha256("\n".join([question["question"], *options]).encode()).hexdigest()[:12]
        for rotation in range(len(options)):
            shown = options[rotation:] + options[:rotation]
            letters = string.ascii_uppercase[: len(shown)]
            listed = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, shown, strict=True))
            yield {
                "item": f"{question['sample']}/{cluster}/{rotation}",
                "cluster": cluster,
                "group": question["country"],
                "sample": question["sample"],
                "rotation": rotation,
                "shares": question["shares"],
                "prompt": prompt.format(country=question["country"], question=question["question"], options=listed),
                "options": list(letters),
            }


def similarity(first, second):
    """1 − Jensen–Shannon distance (base 2) of two lists of weights: 1 for equal distributions, 0 for disjoint ones.

    Not scipy's: for equal distributions its divergence can be slightly negative by rounding, and the distance NaN.
    """
    import numpy as np
    from scipy.special import rel_entr

    first, second = (np.asarray(weights, dtype=float) / np.sum(weights) for weights in (first, second))
    middle = (first + second) / 2
    divergence = (rel_entr(first, middle).sum() + rel_entr(second, middle).sum()) / (2 * np.log(2))
    return float(1 - np.sqrt(np.clip(divergence, 0, 1)))
