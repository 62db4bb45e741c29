"""What an answer to a choice says: by the log-probabilities of its options, or by its text where there are none.

A prediction with `options` holds either `logprobs` (one number per option; an empty list where the server listed none
of the options) or, where the model gives no log-probabilities (None), the `text` that it wrote.
"""

import math
import re

from bias_inheritance.models.served.options import DRESSING

UNREADABLE = ""  # the label chosen by an answer that cannot be read
DENIED = re.compile(r"\b(?:not|never|neither|nor|cannot)\b|n't\b", re.IGNORECASE)


def scoring(predictions):
    """'logprob' or 'parsed': one way for all items of a task, since no claim compares across ways."""
    return "parsed" if all(item["logprobs"] is None for item in predictions) else "logprob"


def choice(item):
    """Index of the option that an answer stands for, or None where it cannot be read."""
    if item["logprobs"] is not None:
        return max(range(len(item["logprobs"])), key=item["logprobs"].__getitem__) if item["logprobs"] else None
    return parse(item["text"] or "", item["options"])


def probability(item, option):
    """Probability of one option among all of an item's options, 0 where the answer cannot be read."""
    if not item["logprobs"]:
        return 0.0
    likeliest = max(item["logprobs"])
    mass = [math.exp(logprob - likeliest) for logprob in item["logprobs"]]
    return mass[item["options"].index(option)] / sum(mass)


def parse(text, options):
    """Index of the one option that a text names, or None: none, several, or in a sentence that denies something.

    An option that stands first, with a punctuation mark after it, is the answer ("No, this is not offensive"), unless
    another one is named before anything is denied ("Nurse, dentist or painter").
    An option counts as a whole word in any case; a single letter only where it stands as an answer ("B", "B.", "(B)",
    "candidate B"), since "A" is also an article. Of options that contain each other the longest counts.
    """
    bare = text.strip().strip(DRESSING + ".,;!?)]}>").strip()
    exact = [index for index, option in enumerate(options) if bare.casefold() == option.casefold()]
    if exact:
        return exact[0]
    if all(len(option) == 1 for option in options):
        letters = "".join(options)
        found = re.findall(
            rf"(?:^|\n)\W*([{letters}])(?=[.):,*]|\s*(?:$|\n))|\b(?i:answer|candidate|option|choice|letter)\W+(?:is\W+)?([{letters}])\b|\(([{letters}])\)",
            text,
        )
        named = [letter for groups in found for letter in groups if letter]
    else:
        longest_first = sorted(options, key=len, reverse=True)
        pattern = "|".join(rf"(?<!\w){re.escape(option)}(?!\w)" for option in longest_first)
        by_name = {option.casefold(): option for option in options}
        named = [by_name[found.casefold()] for found in re.findall(pattern, text, re.IGNORECASE)]
    if not named:
        return None
    denied = DENIED.search(text)
    first = re.match(rf"[{re.escape(DRESSING)}]*{re.escape(named[0])}[*_`\"'”’)]*\s*[.,;:!–—\n]", text, re.IGNORECASE)
    if first:
        until = denied.start() if denied and denied.start() > first.start() else len(text)
        if len(options[0]) > 1:
            named = [by_name[found.casefold()] for found in re.findall(pattern, text[:until], re.IGNORECASE)]
    if len(set(named)) != 1 or (denied and not first):
        return None
    return options.index(named[0])


def option_shares(predictions):
    """One dict per question: {cluster, country, shares, model (option probabilities, mean over rotations), led}.

    led: the share of rotations that agree on the most frequent letter, 1 for a model that chooses by position alone.
    A written answer is one whole choice. `model` is None where fewer than half of the rotations can be read (ASSUME).
    """
    import numpy as np

    asked = {}
    for item in predictions:
        asked.setdefault((item["sample"], item["cluster"]), []).append(item)
    found = []
    for rotations in asked.values():
        by_option, letters = [], []
        for item in rotations:
            letter = choice(item)
            if letter is None:
                continue
            chosen = np.eye(len(item["options"]))[letter]
            if item["logprobs"] is not None:
                logprobs = np.array(item["logprobs"])
                chosen = np.exp(logprobs - np.logaddexp.reduce(logprobs))
            # option c stands at letter (c − rotation) mod the number of options
            by_option.append(np.roll(chosen, item["rotation"]))
            letters.append(letter)
        read = 2 * len(letters) >= len(rotations)
        found.append(
            {
                "cluster": rotations[0]["cluster"],
                "country": rotations[0]["group"],
                "shares": np.array(rotations[0]["shares"]),
                "model": np.mean(by_option, axis=0) if read else None,
                "led": np.bincount(letters).max() / len(letters) if read else float("nan"),
            }
        )
    return found
