"""Cues that show which group a text is about (words, pronouns, first names): detection, masking and sampling."""

import csv
import json
import re
import unicodedata
from functools import cache, lru_cache

from bias_inheritance.data.texts import LETTERS, SPACELESS, SPACELESS_MARKS
from bias_inheritance.plumbing.provenance import ROOT

NAMES = "resources/names.csv"
# A cue has no letter, digit or mark next to it, except where one of the two is of a script without spaces.
_BEGINS, _ENDS = rf"(?<![{LETTERS}\d])", rf"(?![{LETTERS}\d])"
_SIGN = f"[{SPACELESS}]"
_WORD = re.compile(rf"{_SIGN}[{SPACELESS_MARKS}]*|[{LETTERS}]+(?:-[{LETTERS}]+)*")
_DOTTED = "iI\u0130\u0131"  # with and without a dot, as in Turkish: equal for `re` in any case
# letters of Indian scripts and Hebrew that NFC takes apart
_WHOLE = {
    unicodedata.normalize("NFC", letter): letter
    for letter in map(chr, [*range(0x900, 0x1000), *range(0xFB1D, 0xFB50)])
    if not unicodedata.is_normalized("NFC", letter)
}
_APART = re.compile("|".join(sorted(_WHOLE, key=len, reverse=True)))


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
    return len(compiled(frozenset(words)).findall(text)) / max(1, len(_WORD.findall(text)))


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
        counts = _mentions(text, *_lexicon(described, kinds), groups)
        best = max(counts, key=counts.get)
        others = sum(counts.values()) - counts[best]
        if counts[best] > 2 * others:
            return best
        if others:
            return None
    return None


@cache
def _lexicon(described, kinds):
    """(pattern of all cues, {word: groups}, {name: its only group}); described: groups as JSON."""
    words, persons, written = {}, {}, set()
    for group, spec in json.loads(described).items():
        for kind in kinds:
            cues = (spec or {}).get(kind, [])
            if kind == "names":
                for name in names(cues):
                    persons.setdefault(composed(name), set()).add(group)
            else:
                written |= {*cues}
                for word in cues:
                    words.setdefault(without_case(word), set()).add(group)
    return compiled(frozenset(written), frozenset(persons)), words, persons


def _mentions(text, pattern, words, persons, groups):
    """{group: number of its cues in a text}."""
    counts = dict.fromkeys(groups, 0)
    for match in pattern.finditer(text):
        holders = words.get(without_case(match[0]), set())
        named = persons.get(composed(match[0]), set())
        # "Jun-ho" is another name than "Jun"
        if len(named) == 1 and "-" not in text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]:
            holders = holders | named
        for group in holders:
            counts[group] += 1
    return counts


def words_of(groups):
    """All words and pronouns that show a group."""
    return [cue for spec in groups.values() for kind in ("pronouns", "words") for cue in (spec or {}).get(kind, [])]


def mask(text, words, own_names, token):
    """(text with cue words, all known first names and `own_names` replaced by `token`, number of replacements).

    Names are case-sensitive ("Grace" is a name, "grace" is not), cue words are not.
    """
    text, unlisted = compiled(frozenset(), frozenset(own_names) - _all_first_names()).subn(token, text)
    text, listed = compiled(frozenset(words), _all_first_names()).subn(token, text)
    return text, unlisted + listed


@cache
def _all_first_names():
    return frozenset(name for listed in first_names().values() for name in listed)


@lru_cache(512)
def compiled(words, persons=frozenset()):
    """The compiled `pattern`; words, persons: frozen sets."""
    return re.compile(pattern(words, persons))


def pattern(words, persons=frozenset()):
    """A regular expression that matches any of the words in any case, or of the names as written; the longest first.

    Cues match as whole words, also as parts of hyphenated ones, in all spellings that Unicode considers equal.
    """
    by_limits = {}
    for cue in sorted({*words, *persons}, key=lambda cue: (-len(cue), cue)):
        limits = (
            "" if re.match(_SIGN, cue) else _BEGINS,
            f"(?![{SPACELESS_MARKS}])" if re.match(_SIGN, cue[::-1]) else _ENDS,
        )
        by_limits.setdefault(limits, []).append(cue)
    parts = [f"{begins}(?:{_alternatives(cues, words)}){ends}" for (begins, ends), cues in by_limits.items()]
    return f"(?:{'|'.join(parts) or '(?!)'})"


def _alternatives(cues, words):
    """The alternatives of a pattern, grouped by their first letter, by which `re` skips them quickly."""
    by_initial = {}
    for cue in cues:
        for spelling in _spellings(cue):
            initial, rest = spelling[0], re.escape(spelling[1:]).replace(r"\ ", r"\s+")
            initials, rests = by_initial.setdefault(without_case(initial), (set(), []))
            initials |= _in_any_case(initial) if cue in words else {initial}
            rests.append(f"(?i:{rest})" if cue in words else f"(?<={re.escape(initial)}){rest}")
    return "|".join(
        f"[{re.escape(''.join(sorted(initials)))}](?:{'|'.join(rests)})" for initials, rests in by_initial.values()
    )


def _spellings(cue):
    """The spellings of a cue that Unicode considers equal: composed, decomposed, and with all letters in one piece."""
    normal = composed(cue)
    whole = _APART.sub(lambda letter: _WHOLE[letter[0]], normal)
    return dict.fromkeys((normal, unicodedata.normalize("NFD", normal), whole))


def _in_any_case(letter):
    forms = {letter, letter.lower(), letter.upper(), letter.title()} | ({*_DOTTED} if letter in _DOTTED else set())
    return {form for form in forms if len(form) == 1}


def composed(cue):
    """A cue in the form in which matches are looked up (NFC, single spaces)."""
    return unicodedata.normalize("NFC", " ".join(cue.split()))


def without_case(cue):
    """A composed cue without case, such that all strings that a pattern matches in any case are equal."""
    return re.sub(f"[{_DOTTED}]", "i", composed(cue)).casefold()
