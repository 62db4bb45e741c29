"""Prefix-balanced orderings: every prefix is balanced, evenly over all attributes or in given proportions."""

import math
from collections import Counter
from fractions import Fraction

from bias_inheritance.plumbing.seeds import record_seed

LARGEST_SEARCH = 600  # longest period (slots) that is searched; the cost is quadratic in the number of slots
TRIES = 100  # random draws of one attribute over one period before one balance constraint is dropped


def even(sizes, count, *key):
    """`count` tuples with one index per attribute (the first two: label, group), balanced in every prefix.

    sizes: number of values of each attribute. In every prefix, value counts differ by at most one for each attribute over
    all slots, for groups within a label, and for each further attribute within a label × group. If a search (periods of at
    most LARGEST_SEARCH slots) finds a solution, the same holds for each further attribute within a label and within a
    group. The tuple at position n depends on `sizes`, `key` and n only, not on `count`.

    Slot n has label n mod L and group n mod G, shifted by one after every lcm(L, G) slots, so that each pair occurs
    once in every L·G slots. At the end of a period all tables are balanced, and labels and groups are permuted again.
    """
    import numpy as np

    labels, groups, *others = sizes
    period = labels * groups * math.lcm(1, *others)
    order = []
    while len(order) < count:
        stream = np.random.default_rng(record_seed(*key, "period", len(order) // period))
        label = _renamed([place % labels for place in range(period)], labels, stream)
        group = [_moved_on(place % (labels * groups), labels, groups) for place in range(period)]
        group = _renamed(group, groups, stream)
        columns = [label, group]
        for size in others:
            part = labels * groups * size  # all tables are balanced at its end
            starts = range(0, period, part)
            columns.append(
                [
                    value
                    for start in starts
                    for value in _spread(label[start : start + part], group[start : start + part], size, stream)
                ]
            )
        order += zip(*columns, strict=True)
    return order[:count]


def _moved_on(place, together, size):
    return (place + place // math.lcm(together, size)) % size


def _renamed(values, size, stream):
    names = [int(name) for name in stream.permutation(size)]
    return [names[value] for value in values]


def _spread(label, group, size, stream):
    """Values of a further attribute, one per slot: the most balanced of the draws that meet the guarantees of `even`."""
    all_slots, pairs_per_slot = [None] * len(label), list(zip(label, group, strict=True))
    required, balanced_if_possible = [all_slots, pairs_per_slot], [label, group]
    for extra in (balanced_if_possible, [label], [group], []) if len(label) <= LARGEST_SEARCH else ():
        draws = []
        for _ in range(TRIES):
            values = _coloured(required + extra, size, stream)
            if values:
                draws.append(([largest_difference(table, values, size) for table in balanced_if_possible], values))
                if max(draws[-1][0]) <= (1 if extra is balanced_if_possible else 2):
                    return values
        if draws:
            return min(draws)[1]
    # fallback: the shifted construction used for groups meets the guarantees for all sizes
    pair_count = len(set(pairs_per_slot))
    return _renamed([_moved_on(place, pair_count, size) for place in range(len(label))], size, stream)


def largest_difference(classes, values, size):
    """The largest difference between the counts of two of `size` values, over all prefixes and classes."""
    counts, largest = {}, 0
    for kind, value in zip(classes, values, strict=True):
        row = counts.setdefault(kind, [0] * size)
        row[value] += 1
        largest = max(largest, max(row) - min(row))
    return largest


def _coloured(tables, size, stream):
    """A value below `size` for each slot such that, in each class of each table, every `size` consecutive slots cover all
    values; None at a dead end.

    tables: the class of each slot, one list per table. Slots with the fewest remaining values are filled first. A solution
    always exists for the two required tables (König's edge-colouring theorem for bipartite graphs), but not for four.
    """
    blocks, blocks_of, slots_of = {}, [[] for _ in tables[0]], {}
    for number, table in enumerate(tables):
        met = {}
        for slot, kind in enumerate(table):
            met[kind] = met.get(kind, -1) + 1
            block = blocks.setdefault((number, kind, met[kind] // size), len(blocks))
            blocks_of[slot].append(block)
            slots_of.setdefault(block, []).append(slot)
    values = [None] * len(blocks_of)
    left = [set(range(size)) for _ in blocks_of]
    unset = set(range(len(blocks_of)))
    while unset:
        slot = min(unset, key=lambda number: (len(left[number]), number))
        if not left[slot]:
            return None
        values[slot] = sorted(left[slot])[stream.integers(len(left[slot]))]
        unset.remove(slot)
        for block in blocks_of[slot]:
            for other in slots_of[block]:
                left[other].discard(values[slot])
    return values


def along(shares, preferred):
    """(label, group) pairs in given proportions, one for each pair of `preferred`, whose order breaks ties.

    shares: {label: {group: weight}}, weights as integers or fractions. In every prefix the count of each label is within
    one of its share of the slots, and that of each group within one of its share of its label's slots (Tijdeman's
    chairman assignment). With equal shares and a balanced `preferred`, the result is `preferred`.
    """
    labels = in_proportion(
        {label: sum(groups.values()) for label, groups in shares.items()}, [label for label, _ in preferred]
    )
    wishes = {}
    for label, (_, group) in zip(labels, preferred, strict=True):
        wishes.setdefault(label, []).append(group)
    turns = {label: iter(in_proportion(shares[label], groups)) for label, groups in wishes.items()}
    return [(label, next(turns[label])) for label in labels]


def in_proportion(weights, preferred):
    """Values of `weights`, ordered such that in every prefix of length n the count of each is within one of n × its share.

    The k-th occurrence of a value with share s may be placed from n = ⌊(k − 1) / s⌋ + 1 to ⌈k / s⌉; the earliest deadline
    goes first, ties go to the value in `preferred` (one per position), then to the first in `weights`.
    """
    total = sum(weights.values())
    shares = {value: Fraction(weight) / total for value, weight in weights.items() if weight}
    times = dict.fromkeys(shares, 0)
    order = []
    for place, wish in enumerate(preferred, start=1):
        due = [value for value, share in shares.items() if times[value] < place * share]
        value = min(due, key=lambda value: (math.ceil((times[value] + 1) / shares[value]), value != wish))
        times[value] += 1
        order.append(value)
    return order


def chosen(kinds, share):
    """Select `share` of a sequence of samples, overall and within each kind, in every prefix; one bool per sample.

    kinds: the kind of each sample. Each decision minimises the two deficits, overall and within the sample's kind.
    Measured with up to ten kinds: a share of one half is met within one sample in every prefix, others within two.
    """
    share, owed, picks = Fraction(str(share)), Counter(), []
    for kind in kinds:
        owed.update({None: share, (kind,): share})
        picks.append(owed[None] + owed[(kind,)] > 1)
        if picks[-1]:
            owed.subtract({None: 1, (kind,): 1})
    return picks


def dependence(masses):
    """Largest difference, over labels and groups, between a group's share within a label and its overall share.

    masses: {(label, group): count or weight}.
    """
    total, labels, groups = sum(masses.values()), {}, {}
    for (label, group), mass in masses.items():
        labels[label] = labels.get(label, 0) + mass
        groups[group] = groups.get(group, 0) + mass
    return max(
        (
            abs(masses.get((label, group), 0) / labels[label] - groups[group] / total)
            for label in labels
            for group in groups
        ),
        default=0.0,
    )
