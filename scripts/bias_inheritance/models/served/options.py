"""Options scored from a server's list of the likeliest tokens at each position of its answer."""

import math
import re

DRESSING = " \t\r\n*_`\"'“”‘’([{<#:-"

AMOUNT = re.compile(r"\D*\d{1,3}(?:[,.]\d{3})+\D*")

CHOICE_MASS = 0.5  # ASSUME: minimum total probability of the options for an answer to count as a choice among them
ROUNDING = 1e-6  # of a sum of listed probabilities, which servers compute in float32


def listable(options):
    """Whether options can be scored from listed tokens: words and letters, but not amounts, since an answer may lie between
    two of them."""
    return not any(AMOUNT.fullmatch(option) for option in options)


def listed_logprobs(positions, options):
    """(log-probabilities of the options in nats, number of bounds among them) from a listing (completion.py).

    The answer is followed while it agrees with several options; a listed alternative that begins other options contributes
    its probability to them, and the end of the answer to the option that ends there.
    ASSUME: options that share an alternative's token share its probability equally. An option that is not listed, or listed
    with minus infinity, gets half the probability of the least likely listed token or, if only the answer is listed, half
    of the remaining probability if that is less. Returns ([], 0) if all options together have less than half of the
    probability: such an answer is not a choice, and the listed tokens are beginnings of other words.
    """
    folded = [option.casefold() for option in options]
    mass, bound = [0.0] * len(options), [0.0] * len(options)
    alive, prefix, path = set(range(len(options))), "", 0.0
    for position in positions:
        taken = position["token"]
        tokens = {**dict(position["top"]), taken: position["logprob"]}
        tokens = {token: -math.inf if logprob is None else logprob for token, logprob in tokens.items()}
        finite = [logprob for logprob in tokens.values() if logprob > -math.inf]
        if len(finite) < 2:
            finite.append(math.log(max(1 - math.fsum(map(math.exp, finite)), ROUNDING)))
        limit = min(finite)
        for index in alive:
            bound[index] = path + limit
        for token, logprob in tokens.items():
            begun = (prefix + token).casefold().lstrip(DRESSING)
            # llama.cpp lists the end of the answer as ""
            matching = _meant(folded, alive, begun) if token else _spelled(folded, alive, begun)
            # "a" and "i" are also words: an alternative that begins with one need not be the option
            if token != taken and not (begun in ("a", "i") and all(len(option) > 1 for option in options)):
                for index in matching:
                    mass[index] += math.exp(path + logprob) / len(matching)
        prefix, path = prefix + taken, path + tokens[taken]
        begun = prefix.casefold().lstrip(DRESSING)
        if begun:
            alive = {index for index in alive if _begins(folded[index], begun)}
        if path == -math.inf or not alive or (len(alive) == 1 and begun.startswith(folded[min(alive)])):
            break
    if prefix.strip(DRESSING):
        begun = prefix.casefold().lstrip(DRESSING)
        matching = _spelled(folded, alive, begun) or _meant(folded, alive, begun)
        for index in matching:
            mass[index] += math.exp(path) / len(matching)
    if sum(mass) < CHOICE_MASS:
        return [], 0
    logprobs = [math.log(share) if share else limit - math.log(2) for share, limit in zip(mass, bound, strict=True)]
    return logprobs, mass.count(0.0)


def _spelled(options, alive, answer):
    """The options that are all of an answer."""
    return {index for index in alive if options[index] == answer.rstrip(DRESSING + ".")}


def _meant(options, alive, begun):
    """The options that the beginning of an answer is a prefix of; if it is none, the longest option that it names."""
    matching = [index for index in alive if begun and _begins(options[index], begun)]
    possible = {index for index in matching if options[index].startswith(begun.rstrip())}
    return possible or set(sorted(matching, key=lambda index: len(options[index]))[-1:])


def _begins(option, begun):
    """Whether the beginning of an answer matches the option: a prefix of it, or all of it with no further letter or digit."""
    if option.startswith(begun.rstrip()):
        return True
    return begun.startswith(option) and not begun[len(option)].isalnum()
