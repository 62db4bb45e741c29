"""Cues that show which group a text is about (words, pronouns, first names): detection, masking and sampling."""

import csv
import json
import re
from functools import cache

from bias_inheritance.plumbing.provenance import ROOT

NAMES = "resources/names.csv"
WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")  # "he's" and "Mary's" are cut at the apostrophe


@cache
def first_names():
    """{(culture, gender): [first names]}."""
    table = {}
    with open(ROOT / NAMES, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            table.setdefault((row["culture"], row["gender"]), []).append(row["name"])
    return table


def names(listed, **attributes):
    """First names of a group: an explicit list, or a selection from resources/names.csv by a mapping of its columns.

    attributes: values of further columns (culture, gender); `listed` takes precedence.
    """
    if isinstance(listed, list):
        return listed
    filters = {**attributes, **(listed or {})}
    return [
        name
        for (culture, gender), column in first_names().items()
        if filters.get("culture", culture) == culture and filters.get("gender", gender) == gender
        for name in column
    ]


def drawn_name(culture, gender, stream):
    """A random first name of a culture and gender; stream: the random generator of the slot."""
    return drawn(first_names()[culture, gender], stream)


def drawn(listed, stream):
    return listed[stream.integers(len(listed))]


def with_article(noun):
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def share_of_words(text, words):
    """Share of a text's words that are in `words`."""
    words_of_text = re.findall(r"[a-zà-ÿ]+(?:-[a-zà-ÿ]+)*", text.lower())
    counted = set(words)
    return sum(word in counted for word in words_of_text) / max(1, len(words_of_text))


def has_cues(groups):
    """Whether texts can show a group: any group has words, pronouns or names."""
    return any(spec and (spec.keys() & {"words", "pronouns", "names"}) for spec in groups.values())


def shown_group(text, groups, levels=(("pronouns",), ("words",), ("names",))):
    """The group that a text shows: the one whose cues outnumber those of all others two to one; None if unclear.

    groups: {group: {words, pronouns, names}} as in a domain's file. The first of `levels` (kinds of cues) with a match in
    the text decides. Names are case-sensitive, other cues are not; a phrase ("Latin American") is one cue, and its words
    do not count for another group; names shared by several groups are ignored.
    """
    described = json.dumps(groups, sort_keys=True)
    for kinds in levels:
        counts = _mentions(text, _lexicon(described, kinds), groups)
        best = max(counts, key=counts.get)
        others = sum(counts.values()) - counts[best]
        if counts[best] > 2 * others:
            return best
        if others:
            return None
    return None


@cache
def _lexicon(described, kinds):
    """({word: groups}, {name: its only group}, [(pattern of a phrase, group)] longest first); described: groups as JSON."""
    words, persons, phrases = {}, {}, []
    for group, spec in json.loads(described).items():
        for kind in kinds:
            cues = (spec or {}).get(kind, [])
            for cue in names(cues) if kind == "names" and cues else cues:
                holders = (persons if kind == "names" else words).setdefault(
                    cue if kind == "names" else cue.lower(), []
                )
                if group not in holders:
                    holders.append(group)
    for phrase in sorted((cue for cue in words if " " in cue), key=len, reverse=True):
        pattern = re.compile(rf"\b{re.escape(phrase)}\b", re.IGNORECASE)
        phrases += [(pattern, group) for group in words.pop(phrase)]
    return words, {name: holders[0] for name, holders in persons.items() if len(holders) == 1}, phrases


def _mentions(text, lexicon, groups):
    """{group: number of its cues in a text}."""
    words, persons, phrases = lexicon
    counts = dict.fromkeys(groups, 0)
    for pattern, group in phrases:
        text, count = pattern.subn(" ", text)
        counts[group] += count
    for word in WORD.findall(text):
        holders = words.get(word.lower(), ())
        person = persons.get(word)
        for group in {*holders, person} if person else holders:
            counts[group] += 1
    return counts


def words_of(groups):
    """All words and pronouns that show a group."""
    return [cue for spec in groups.values() for kind in ("pronouns", "words") for cue in (spec or {}).get(kind, [])]


def mask(text, words, own_names, token):
    """(text with cue words, all known first names and `own_names` replaced by `token`, number of replacements).

    Names are case-sensitive ("Grace" is a name, "grace" is not), cue words are not.
    """
    persons = {*own_names, *(name for listed in first_names().values() for name in listed)}
    return re.subn(rf"\b(?:{pattern(words, persons)})\b", token, text)


def pattern(words, persons):
    """A regular expression that matches any of the words in any case, or of the names as written; the longest first."""
    ordered = sorted({*words, *persons}, key=lambda cue: (-len(cue), cue))
    return "|".join(re.escape(cue) if cue in persons else f"(?i:{re.escape(cue)})" for cue in ordered)
