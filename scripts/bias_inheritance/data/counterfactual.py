"""Counterfactual twins by rule: a text's group words, pronouns and names exchanged for those of another group.

A domain's file lists what corresponds, one row for each word:

    swap:
      - {german: german, nigerian: nigerian}
      - {german: mark, nigerian: naira, where: '\\s+notes?'}    # only where this pattern follows the word

Of rows that fit the first one counts. First names are exchanged by their places in the groups' lists.
"""

import json
import re
from functools import cache

from bias_inheritance.data import cues

ARTICLE = r"(?:\b(?P<article>[Aa]n?)(?P<space>\s+))?"


def exchanged(text, domain, first, second):
    """(text with the cues of two groups exchanged, number of cues of `first` that were); case and a/an are kept right.

    domain: its `groups` and `swap`. A text without any cue of `first` comes back with 0: it has no twin.
    """
    described = json.dumps([domain["groups"], domain.get("swap", [])], sort_keys=True)
    words, persons, pattern = _rules(described, first, second)
    if pattern is None:
        return text, 0
    count = 0

    def replace(match):
        nonlocal count
        cue = match["cue"]
        if cue in persons:
            new, of_first = persons[cue]
        else:
            following = text[match.end() :]
            fitting = (place for place in words[cue.lower()] if not place[1] or place[1].match(following))
            new, _, of_first = next(fitting, (cue, None, False))
            new = _in_case_of(cue, new)
        count += of_first
        if not match["article"]:
            return new
        return f"{_article(match['article'], cue, new)}{match['space']}{new}"

    return pattern.sub(replace, text), count


@cache
def _rules(described, first, second):
    """({word: [(its counterpart, pattern of what must follow, whether it is of `first`)]}, {name: (the other one, whether
    it is of `first`)}, pattern of all of them with an article before it, or None where nothing corresponds)."""
    groups, swap = json.loads(described)
    words, persons = {}, {}
    for source, target in ((first, second), (second, first)):
        for row in swap:
            if source in row and target in row:
                where = re.compile(row["where"]) if "where" in row else None
                words.setdefault(row[source].lower(), []).append((row[target], where, source == first))
        for name, other in _counterparts(groups[source], groups[target]).items():
            persons.setdefault(name, (other, source == first))
    listed = sorted({*words, *persons}, key=lambda cue: (-len(cue), cue))
    parts = [re.escape(cue) if cue in persons else f"(?i:{re.escape(cue)})" for cue in listed]
    return words, persons, re.compile(rf"{ARTICLE}\b(?P<cue>{'|'.join(parts)})\b") if parts else None


def twins(samples, domain):
    """(samples with the twins of each in every other group behind it, counts {with_twin, without_twin, exchanged}).

    A twin shares its original's `twin` and label; `exchanged` is how many cues differ. Samples without a cue of their own
    group stay alone: they are compared within strata of their label.
    """
    crossed, counts = [], {"with_twin": 0, "without_twin": 0, "exchanged": 0}
    for sample in samples:
        copies = []
        for group in domain["groups"]:
            if sample["group"] in (None, group):
                continue
            text, count = exchanged(sample["text"], domain, sample["group"], group)
            if count:
                copies.append(
                    {**sample, "id": f"{sample['id']}-as-{group}", "group": group, "text": text, "exchanged": count}
                )
        counts["with_twin" if copies else "without_twin"] += 1
        counts["exchanged"] += sum(twin["exchanged"] for twin in copies)
        crossed += [sample, *copies]
    return crossed, counts


def _counterparts(first, second):
    """{name of one group: the name at its place in the other's list}, lists of resources/names.csv column by column."""
    listed = [(spec or {}).get("names") for spec in (first, second)]
    if any(each is None for each in listed):
        return {}
    if any(isinstance(each, list) for each in listed):
        pairs = [[cues.names(each) for each in listed]]
    else:
        cells = [{"culture": culture, "gender": gender} for culture, gender in cues.first_names()]
        cells = [cell for cell in cells if all(cell[key] == value for key, value in listed[0].items())]
        pairs = [[cues.names(each, **cell) for each in listed] for cell in cells]
    return {
        name: second_names[place % len(second_names)]
        for first_names, second_names in pairs
        if second_names
        for place, name in enumerate(first_names)
    }


def _in_case_of(old, new):
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _article(article, old, new):
    """The article before the new word, where the one before the old word followed its spelling."""
    right = [cues.with_article(word).split()[0] for word in (old, new)]
    if article.lower() != right[0]:
        return article
    return right[1].capitalize() if article[0].isupper() else right[1]
