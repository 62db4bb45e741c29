"""Rule-based counterfactual twins: a text's group words, pronouns and names exchanged for those of another group.

A domain's file lists corresponding words, one row per word:

    swap:
      - {german: german, nigerian: nigerian}
      - {german: mark, nigerian: naira, where: '\\s+notes?'}    # only if this pattern follows the word

The first matching row applies. First names are exchanged by their positions in the groups' lists.
"""

import json
import re
from functools import cache

from bias_inheritance.data import cues

ARTICLE = r"(?:\b(?P<article>[Aa]n?)(?P<space>\s+))?"


def exchanged(text, domain, first, second):
    """(text with the cues of two groups exchanged, number of exchanged cues of `first`); case and a/an are adjusted.

    domain: a mapping with `groups` and `swap`. A count of 0 means that the text has no cue of `first`, and no twin.
    """
    described = json.dumps([domain["groups"], domain.get("swap", [])], sort_keys=True)
    words, persons, pattern = _rules(described, first, second)
    count = 0

    def replace(match):
        nonlocal count
        cue = match["cue"]
        if cues.composed(cue) in persons:
            new, of_first = persons[cues.composed(cue)]
        else:
            following, counterparts = text[match.end() :], words.get(cues.without_case(cue), ())
            fitting = (place for place in counterparts if not place[1] or place[1].match(following))
            new, _, of_first = next(fitting, (cue, None, False))
            new = _in_case_of(cue, new)
        count += of_first
        if not match["article"]:
            return new
        return f"{_article(match['article'], cue, new)}{match['space']}{new}"

    return pattern.sub(replace, text), count


@cache
def _rules(described, first, second):
    """({word: [(counterpart, pattern that must follow, is of `first`)]}, {name: (counterpart, is of `first`)}, pattern of
    all cues with an optional article)."""
    groups, swap = json.loads(described)
    words, persons, written = {}, {}, set()
    for source, target in ((first, second), (second, first)):
        for row in swap:
            if source in row and target in row:
                where = re.compile(row["where"]) if "where" in row else None
                words.setdefault(cues.without_case(row[source]), []).append((row[target], where, source == first))
                written.add(row[source])
        for name, other in _counterparts(groups[source], groups[target]).items():
            persons.setdefault(cues.composed(name), (other, source == first))
    return words, persons, re.compile(rf"{ARTICLE}(?P<cue>{cues.pattern(written, persons)})")


def twins(samples, domain):
    """(samples, each followed by its twins in all other groups; counts {with_twin, without_twin, exchanged}).

    A twin shares its original's `twin` and label; `exchanged` is the number of exchanged cues. Samples without a cue of
    their group have no twin: they are compared within strata of their label.
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
    """{first name of one group: the name at the same position in the other's list}, per culture and gender for names.csv."""
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
    """The article for the new word; unchanged if the old article did not follow the spelling of the old word."""
    right = [cues.with_article(word).split()[0] for word in (old, new)]
    if article.lower() != right[0]:
        return article
    return right[1].capitalize() if article[0].isupper() else right[1]
