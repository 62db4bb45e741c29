"""Reweight samples so that label and group are independent in D (Kamiran & Calders 2012, doi 10.1007/s10115-011-0463-8).

The weight of a sample is P(label) · P(group) / P(label, group) over the rows with a known group; other rows have weight 1.
"""

from collections import Counter

from bias_inheritance.pools import balance


def weights(rows, settings, setting):
    """One weight per row of D, with mean 1 over the rows with a known group.

    Empty combinations of label and group cannot be reweighted; they are recorded (`empty`), together with the largest
    difference between a group's share within a label and its overall share, before and after.
    """
    known = [(row["label"], row["group"]) for row in rows if row["group"] is not None]
    both, labels, groups = Counter(known), *(Counter(pair[index] for pair in known) for index in (0, 1))
    weight = {
        (label, group): labels[label] * groups[group] / (len(known) * count) for (label, group), count in both.items()
    }
    # with empty combinations the other weights do not sum to the number of rows
    scale = len(known) / sum(weight[kind] * count for kind, count in both.items()) if known else 1.0
    row_weights = [weight[row["label"], row["group"]] * scale if row["group"] is not None else 1.0 for row in rows]
    setting.notes["reweight"] = {
        "empty": sorted([label, group] for label in labels for group in groups if not both[label, group]),
        "dependence_before": balance.dependence(both),
        "dependence_after": balance.dependence({kind: count * weight[kind] for kind, count in both.items()}),
    }
    return row_weights
