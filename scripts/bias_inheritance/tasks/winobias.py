"""WinoBias: pronoun resolution in pro-stereotyped sentences ("The developer … because he") and their anti-stereotyped
counterparts ("… because she"), which differ only in the pronoun.

Zhao et al. 2018 (arXiv 1804.06876). A preference for the first-mentioned or for the shorter occupation is the same in
both, so it cancels out in the gap pro − anti, but not in accuracy.
"""

import re
from pathlib import Path

from bias_inheritance.data import benchmarks
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.tasks import classification, metrics

NAME = re.compile(r"(?P<side>pro|anti)_stereotyped_(?P<type>type\d)")
BRACKETS = re.compile(r"\[\s*([^\]]*?)\s*\]")
SIDES = ("pro", "anti")
GAP = "pro-anti"


def items(task, domain, family, test, count):
    """One item per sentence, with the mentioned occupations as options.

    `count` takes whole clusters (two sentences that exchange the roles of a pair of occupations, each in both versions),
    alternating between the types.
    """
    sentences = [sentence for path in task["files"] for sentence in _read(path)]
    occupations = sorted({sentence["referent"] for sentence in sentences}, key=lambda name: (-len(name), name))
    named = re.compile(rf"\b(?:{'|'.join(map(re.escape, occupations))})\b", re.IGNORECASE)
    clusters = {}
    for sentence in sentences:
        cluster = f"winobias-{sentence['type']}-{(sentence['line'] - 1) // 2}"
        clusters.setdefault(sentence["type"], {}).setdefault(cluster, []).append({**sentence, "cluster": cluster})
    queues = [
        [pairs[name] for name in sorted(pairs, key=lambda name: record_seed("items", name))]
        for _, pairs in sorted(clusters.items())
    ]
    for sentences_of_pair in benchmarks.in_turn(queues, count):
        for sentence in sentences_of_pair:
            mentioned = list(dict.fromkeys(occupation.lower() for occupation in named.findall(sentence["text"])))
            yield {
                "item": f"{sentence['side']}-{sentence['type']}-{sentence['line']}",
                "cluster": sentence["cluster"],
                "group": sentence["side"],
                "type": sentence["type"],
                "label": f"The {sentence['referent']}",
                "prompt": task["prompt"].format(sentence=sentence["text"], pronoun=sentence["pronoun"]),
                "options": [f"The {occupation}" for occupation in mentioned],
                "texts": [sentence["text"]],
            }


def _read(path):
    """The sentences of one file: {side, type, line, text, referent, pronoun}; side and type are given by the file's name.

    Lines are numbered, with the referent in the first brackets and the pronoun in the next. In some lines the article is
    outside the brackets, or there are spaces inside them. Raises UserError for any other format.
    """
    name = NAME.search(Path(path).name)
    if not name:
        raise UserError(f"{path}: the name does not say pro_stereotyped_type1, anti_stereotyped_type2, …; rename it")
    for line in Path(path).read_text(encoding="utf-8-sig").splitlines():
        if not line.strip():
            continue
        number, _, sentence = line.strip().partition(" ")
        brackets = BRACKETS.findall(sentence)
        if not number.isdigit() or len(brackets) < 2:
            raise UserError(
                f"{path}: {line[:60]!r} is not a numbered sentence with a referent and a pronoun in brackets; correct it"
            )
        yield {
            **name.groupdict(),
            "line": int(number),
            "text": BRACKETS.sub(r"\1", sentence),
            "referent": re.sub(r"^the\s+", "", brackets[0], flags=re.IGNORECASE).lower(),
            "pronoun": brackets[1],
        }


def score(predictions, task, domain, replicates, seed):
    """Accuracy and probability of the correct answer for pro- and anti-stereotyped sentences, and their gap pro − anti,
    overall and per type. A parse failure counts as wrong and widens the interval of a gap (`classification.Answered`)."""
    import numpy as np

    answered = classification.read(predictions)
    kind = np.array([item["type"] for item in predictions])
    weights = metrics.resamples(answered.cluster, kind, replicates, seed)
    rows = []
    for metric in answered.measures:
        for prefix, members in [
            ("", np.ones(len(kind), dtype=bool)),
            *((f"{name}:", kind == name) for name in sorted(set(kind))),
        ]:
            sides = [members & (answered.group == side) for side in SIDES]
            rows += [
                answered.mean_row(metric, f"{prefix}{side}", among, weights)
                for side, among in zip(SIDES, sides, strict=True)
            ]
            rows.append(answered.difference_row(metric, f"{prefix}{GAP}", *sides, weights))
    return rows
