"""What an answer to a choice says: by the log-probabilities of its options, or by its text where there are none.

A prediction with `options` holds either `logprobs` (one number per option; an empty list where the server listed none
of the options) or, where the model gives no log-probabilities (None), the `text` that it wrote.
"""

import math
import re

UNREADABLE = ""  # the label chosen by an answer that cannot be read
CHOICE_MASS = 0.5  # ASSUME: what all options must have together for an answer to be a choice among them
AMOUNT = re.compile(r"\D*\d{1,3}(?:[,.]\d{3})+\D*")
DENIED = re.compile(r"\b(?:not|never|neither|nor|cannot)\b|n't\b", re.IGNORECASE)
DRESSING = " \t\r\n*_`\"'“”‘’([{<#:-"


def scoring(predictions):
    """'logprob' or 'parsed': one way for all items of a task, since no claim compares across ways."""
    return "parsed" if all(item["logprobs"] is None for item in predictions) else "logprob"


def listable(options):
    """Whether a listing of likely tokens can score options: words and letters, but not amounts, since an answer may
    lie between two of them."""
    return not any(AMOUNT.fullmatch(option) for option in options)


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


def listed_logprobs(positions, options):
    """Log-probabilities of options (nats) from a server's listing of the likeliest tokens at each place of its answer.

    positions: per token of the answer {token, logprob, top: [[token, logprob], …]}. The answer itself is followed as
    long as it agrees with several options; a listed alternative that begins other options gives them its probability.
    ASSUME: options that share an alternative's token share its probability evenly, and an option that is not listed
    has half the probability of the least likely listed token. Returns [] where all options together have less than
    half of the probability: such an answer is no choice, and what is listed would be the beginnings of other words.
    """
    wanted = [option.casefold() for option in options]
    mass, bound = [0.0] * len(options), [0.0] * len(options)
    alive, prefix, path = set(range(len(options))), "", 0.0
    for position in positions:
        tokens = dict(position["top"])
        taken = position["token"]
        tokens[taken] = position["logprob"]
        for index in alive:
            bound[index] = path + min(tokens.values())
        for token, logprob in tokens.items():
            begun = (prefix + token).casefold().lstrip(DRESSING)
            # "a" and "i" are words of their own: an alternative that begins so need not be the option
            matching = {index for index in alive if begun and _begins(wanted[index], begun)}
            if token != taken and not (begun in ("a", "i") and all(len(option) > 1 for option in options)):
                for index in matching:
                    mass[index] += math.exp(path + logprob) / len(matching)
        prefix, path = prefix + taken, path + position["logprob"]
        begun = prefix.casefold().lstrip(DRESSING)
        if begun:
            alive = {index for index in alive if _begins(wanted[index], begun)}
        if not alive or (len(alive) == 1 and begun.startswith(wanted[min(alive)])):
            break
    if prefix.strip(DRESSING):
        spelled = {index for index in alive if prefix.casefold().strip(DRESSING + ".") == wanted[index]} or alive
        for index in spelled:
            mass[index] += math.exp(path) / len(spelled)
    if sum(mass) < CHOICE_MASS:
        return []
    return [math.log(share) if share else limit - math.log(2) for share, limit in zip(mass, bound, strict=True)]


def _begins(option, begun):
    """Whether an answer that begins so may be the option: a part of it, or it and then no further letter or digit."""
    if option.startswith(begun.rstrip()):
        return True
    return begun.startswith(option) and not begun[len(option)].isalnum()
