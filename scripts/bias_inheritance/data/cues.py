"""What shows who a text is about: first names by culture and gender, and the masking of such cues."""

import csv
import re
from functools import cache

from bias_inheritance.plumbing.provenance import ROOT

NAMES = "resources/names.csv"


@cache
def first_names():
    """{(culture, gender): [first names]}."""
    table = {}
    with open(ROOT / NAMES, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            table.setdefault((row["culture"], row["gender"]), []).append(row["name"])
    return table


def drawn_name(culture, gender, stream):
    """One of the first names of a culture and gender, by the slot's own random generator."""
    listed = first_names()[culture, gender]
    return listed[stream.integers(len(listed))]


def with_article(noun):
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def share_of_words(text, words):
    """Share of a text's words that are in a list of words."""
    found = re.findall(r"[a-zà-ÿ]+(?:-[a-zà-ÿ]+)*", text.lower())
    counted = set(words)
    return sum(word in counted for word in found) / max(1, len(found))


def mask(text, words, own_names, token):
    """The text with cue words, all listed first names and `own_names` replaced by `token`; (text, number replaced).

    Names are masked as written (a "Grace" is a name, "grace" is not), cue words in any case.
    """
    exact = {*own_names, *(name for listed in first_names().values() for name in listed)}
    ordered = sorted({*words, *exact}, key=lambda word: (-len(word), word))
    parts = [re.escape(word) if word in exact else f"(?i:{re.escape(word)})" for word in ordered]
    return re.subn(rf"\b(?:{'|'.join(parts)})\b", token, text)
