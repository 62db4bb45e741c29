"""Reading multiple-choice answers: by the log-probabilities of the options, or else by parsing the generated text.

A prediction with `options` has either `logprobs` (one number per option; an empty list if the server listed none of the
options) or, if the model provides no log-probabilities (None), the generated `text`.
"""

import math
import re

from bias_inheritance.data import cues
from bias_inheritance.models.served.options import DRESSING

UNREADABLE = ""  # the label of an unparseable answer
DENIED = re.compile(r"\b(?:not|never|neither|nor|cannot)\b|n't\b", re.IGNORECASE)


def scoring(predictions):
    """'logprob' or 'parsed': the scoring method, the same for all items of a task, since claims never mix methods."""
    return "parsed" if all(item["logprobs"] is None for item in predictions) else "logprob"


def choice(item):
    """Index of the chosen option, or None if the answer cannot be parsed."""
    if item["logprobs"] is not None:
        return max(range(len(item["logprobs"])), key=item["logprobs"].__getitem__) if item["logprobs"] else None
    return parse(item["text"] or "", item["options"])


def labels(item):
    """What the options of an item stand for, in their order: its `labels`, or the options themselves."""
    return item["options"] if item.get("labels") is None else item["labels"]


def label(item):
    """The label that the chosen option stands for, or UNREADABLE."""
    index = choice(item)
    return UNREADABLE if index is None else labels(item)[index]


def probability(item, option):
    """Probability of one option, normalised over all options of the item; 0 if the answer cannot be parsed."""
    if not item["logprobs"]:
        return 0.0
    likeliest = max(item["logprobs"])
    mass = [math.exp(logprob - likeliest) for logprob in item["logprobs"]]
    return mass[item["options"].index(option)] / sum(mass)


def parse(text, options):
    """Index of the one option that a text names, or None if it names none or several, or contains a negation.

    An option at the start, followed by a punctuation mark, is the answer ("No, this is not offensive"), unless
    another option is named before the first negation ("Nurse, dentist or painter").
    Options match as whole words in any case; a single letter only in the position of an answer ("B", "B.", "(B)",
    "candidate B"), since "A" is also an article. If options contain each other, the longest match counts.
    """
    bare = text.strip().strip(DRESSING + ".,;!?)]}>").strip()
    exact = [index for index, option in enumerate(options) if bare.casefold() == option.casefold()]
    if exact:
        return exact[0]
    if all(len(option) == 1 for option in options):
        letter = f"([{''.join(options)}])"
        matches = re.findall(
            rf"(?:^|\n)\W*{letter}(?=[.):,*]|\s*(?:$|\n))"
            rf"|\b(?i:answer|candidate|option|choice|letter)\W+(?:is\W+)?{letter}\b(?:\s*(?:or\b|/)\s*{letter}\b)?"
            rf"|\({letter}\)",
            text,
        )
        named = [each for groups in matches for each in groups if each]
    else:
        pattern = cues.compiled(frozenset(options))
        by_name = {cues.without_case(option): option for option in options}
        named = [by_name[cues.without_case(match)] for match in pattern.findall(text)]
    if not named:
        return None
    denied = DENIED.search(text)
    first = re.match(rf"[{re.escape(DRESSING)}]*{re.escape(named[0])}[*_`\"'”’)]*\s*[.,;:!–—\n]", text, re.IGNORECASE)
    if first:
        until = denied.start() if denied and denied.start() > first.start() else len(text)
        if len(options[0]) > 1:
            named = [by_name[cues.without_case(match)] for match in pattern.findall(text[:until])]
    if len(set(named)) != 1 or (denied and not first):
        return None
    return options.index(named[0])


def option_shares(predictions):
    """One dict per question: {cluster, country, shares, model (option probabilities, mean over rotations), led}.

    led: position bias, the share of rotations with the most frequent letter; 1 for a model that chooses by position only.
    A parsed text counts as probability 1 for its option. ASSUME: `model` is None if fewer than half of the rotations can
    be parsed.
    """
    import numpy as np

    by_question = {}
    for item in predictions:
        by_question.setdefault((item["sample"], item["cluster"]), []).append(item)
    rows = []
    for rotations in by_question.values():
        by_option, letters = [], []
        for item in rotations:
            letter = choice(item)
            if letter is None:
                continue
            chosen = np.eye(len(item["options"]))[letter]
            if item["logprobs"] is not None:
                logprobs = np.array(item["logprobs"])
                chosen = np.exp(logprobs - np.logaddexp.reduce(logprobs))
            # option c is shown at letter (c − rotation) mod the number of options
            by_option.append(np.roll(chosen, item["rotation"]))
            letters.append(letter)
        readable = 2 * len(letters) >= len(rotations)
        rows.append(
            {
                "cluster": rotations[0]["cluster"],
                "country": rotations[0]["group"],
                "shares": np.array(rotations[0]["shares"]),
                "model": np.mean(by_option, axis=0) if readable else None,
                "led": np.bincount(letters).max() / len(letters) if readable else float("nan"),
            }
        )
    return rows
