"""Orders of which every prefix is balanced: evenly over all attributes, or along given shares."""

import math
from collections import Counter
from fractions import Fraction

from bias_inheritance.plumbing.seeds import record_seed

LARGEST_SEARCH = 600  # slots of a period that a search goes over; its cost grows with their square
TRIES = 100  # random draws of one attribute over one period, before a table less is asked to be even


def even(sizes, count, *key):
    """`count` tuples of one index per attribute (the first two: label, group) in an order even in every prefix.

    sizes: how many values each attribute has. In every prefix the counts of two values differ by at most one: over all
    slots (each attribute), over the groups of a label, and over each further attribute within a label × group. Where a
    search finds it (it is not made over more than LARGEST_SEARCH slots), also over each further attribute within a label, and within a group. The tuple at place n follows
    from `sizes`, `key` and n, not from `count`.

    Slot n has label n mod L; its group is n mod G, moved on by one after each lcm(L, G) slots, so that every pair comes
    once in each L·G slots. At the end of a period all tables are even, and labels and groups are permuted anew.
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
            part = labels * groups * size  # all tables are even at its end
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
    """A further attribute's value for each slot: of the draws that keep what `even` promises, the most even one."""
    everything, both = [None] * len(label), list(zip(label, group, strict=True))
    needed, wished = [everything, both], [label, group]
    for more in (wished, [label], [group], []) if len(label) <= LARGEST_SEARCH else ():
        found = []
        for _ in range(TRIES):
            values = _coloured(needed + more, size, stream)
            if values:
                found.append(([largest_difference(table, values, size) for table in wished], values))
                if max(found[-1][0]) <= (1 if more is wished else 2):
                    return values
        if found:
            return min(found)[1]
    # the construction of the groups keeps the promise for all sizes
    pairs = len(set(both))
    return _renamed([_moved_on(place, pairs, size) for place in range(len(label))], size, stream)


def largest_difference(classes, values, size):
    """The largest difference, over all prefixes and classes, between how often two of `size` values came."""
    counts, largest = {}, 0
    for kind, value in zip(classes, values, strict=True):
        row = counts.setdefault(kind, [0] * size)
        row[value] += 1
        largest = max(largest, max(row) - min(row))
    return largest


def _coloured(tables, size, stream):
    """A value below `size` for each slot, so that in each class of each table every `size` slots in turn have all values.

    tables: the class of each slot, one list per table. The slot with the fewest values left goes first; None at a dead
    end. (For the two tables of `needed` there always is a solution: König's theorem on the edge colouring of bipartite
    graphs. For four there need not be one.)
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
    """(label, group) pairs along given shares: one for each pair of `preferred`, whose order decides between equals.

    shares: {label: {group: weight}}, weights as integers or fractions. In every prefix each label lies within one of its share of
    the slots, and each group within one of its share of its label's slots (Tijdeman's chairman assignment). Even shares
    give `preferred` itself where that is even.
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
    """Values of `weights` in an order of which every prefix of n holds each less than one off n times its share.

    The k-th time of a value of share s is due from n = ⌊(k − 1) / s⌋ + 1 to ⌈k / s⌉; the one whose time runs out first
    comes first, among equals the one of `preferred` (one wish per place), then the first in `weights`.
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
    """Whether each of a row of samples is chosen, so that `share` of them is, of all and of each kind, in every prefix.

    kinds: the kind of each sample. Each choice is the one that leaves the two debts, of all and of its own kind, smallest.
    Measured over slots of up to ten kinds: one half comes within one sample of both in every prefix, others within two.
    """
    share, owed, picks = Fraction(str(share)), Counter(), []
    for kind in kinds:
        owed.update({None: share, (kind,): share})
        picks.append(owed[None] + owed[(kind,)] > 1)
        if picks[-1]:
            owed.subtract({None: 1, (kind,): 1})
    return picks
