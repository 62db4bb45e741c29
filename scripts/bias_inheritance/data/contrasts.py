"""The labels and groups of a domain, the contrasts between its groups, and the names of contrasts in tables.

A domain's file declares both:

    groups: {german: {}, indian: {}, nigerian: {}}
    contrasts: {reference: german, compared: [indian, nigerian]}

`compared` is one group, a list, `all` (each group except the reference) or `rest` (all other groups pooled); `reference`
is a group or `rest`, which compares each compared group with all others. A contrast is always the reference minus the
compared group.
"""

import re

MOST_GROUPS, MOST_LABELS = 20, 50
REST = "rest"  # all groups except the opposite side of the contrast, pooled
EVERYONE = "all"  # value of `compared`: each group except the reference
# names that tables use for rows other than those of a group; claims would average these with its scores
RESERVED = {REST, EVERYONE, "worst_group", "largest_gap", "congruent", "incongruent", "unclear"}
RESERVED |= {"ambiguous", "disambiguated", "pro", "anti"}  # of BBQ and WinoBias


def labels(domain):
    """The labels of a domain in the order of its file, which lists them or maps values of the data to them."""
    declared = domain["labels"]
    return list(dict.fromkeys(declared.values() if isinstance(declared, dict) else declared))


def group_values(domain):
    """{value in the data: group}: a group's `value` (one or a list), else its name."""
    values = {}
    for group in domain["groups"]:
        written = described(domain, group).get("value", group)
        values |= dict.fromkeys(written if isinstance(written, list) else [written], group)
    return values


def described(domain, group):
    """The properties of a group in the domain's file; {} if only its name is given."""
    return domain["groups"][group] or {}


def contrasts(domain):
    """[(reference, compared)] in the order of the file; either side may be `rest`.

    domain: a mapping with `contrasts` and, if these use `all` or `rest`, `groups`: a domain, or a task with its own groups.
    """
    reference, compared = domain["contrasts"]["reference"], domain["contrasts"]["compared"]
    if compared == EVERYONE:
        compared = [group for group in domain["groups"] if group != reference]
    return [(reference, group) for group in ([compared] if isinstance(compared, str) else compared)]


def contrast_name(reference, compared):
    """The name of a contrast in scores.csv (column `group`) and inheritance.csv (column `contrast`): german-nigerian.

    Never split such a name, since group names may contain hyphens: look it up with `by_name`.
    """
    return f"{reference}-{compared}"


def compared_groups(domain):
    """The groups that are compared with a reference in any contrast, in the order of the file."""
    compared = set()
    for reference, group in contrasts(domain):
        compared |= {name for name in domain["groups"] if name != reference} if group == REST else {group}
    return [group for group in domain["groups"] if group in compared]


def opposed(group, domain, stream):
    """The group that a contrastive prompt opposes to `group`: one with a contrast to it, drawn from `stream`.

    For a group that is only compared with `rest`, any other group is drawn.
    """
    others = [
        second
        for pair in contrasts(domain)
        for first, second in (pair, pair[::-1])
        if first == group and second != REST
    ]
    others = others or [name for name in domain["groups"] if name != group]
    return others[0] if len(others) == 1 else others[stream.integers(len(others))]


def by_name(domain):
    """{name of contrast: (reference, compared)} of a domain."""
    return {contrast_name(*contrast): contrast for contrast in contrasts(domain)}


def sides(groups, domain):
    """Bool [contrasts × 2 × items]: membership of items in each contrast's reference and compared group.

    groups: the group of each item; items with group None (unknown) are on neither side.
    """
    import numpy as np

    groups = np.asarray(groups, dtype=object)
    known = np.array([group is not None for group in groups], dtype=bool)

    def members(side, other):
        return known & (groups != other if side == REST else groups == side)

    pairs = [(members(first, second), members(second, first)) for first, second in contrasts(domain)]
    return np.array(pairs, dtype=bool)


def faults(domain):
    """(path of keys, message) for every error in a domain's groups, labels, contrasts, and the entries that refer to them."""
    groups, declared = list(domain["groups"]), domain["contrasts"]
    for group in groups:
        if group in RESERVED:
            yield ["groups", group], f"tables use {group!r} for other rows; choose another name"
    yield from _number(["groups"], groups, MOST_GROUPS)
    known, compared = [*groups, REST], declared["compared"]
    if declared["reference"] not in known:
        yield ["contrasts", "reference"], f"{declared['reference']!r} is not one of {', '.join(known)}"
    if compared != EVERYONE:
        for group in [compared] if isinstance(compared, str) else compared:
            if group not in known:
                yield ["contrasts", "compared"], f"{group!r} is not one of {', '.join(known)}"
            elif group == declared["reference"]:
                yield ["contrasts", "compared"], f"{group!r} is the reference; compare it with another group"
    names = [contrast_name(*contrast) for contrast in contrasts(domain)]
    for name in sorted({name for name in names if names.count(name) > 1 or name in groups}):
        yield ["groups"], f"{name!r} is the name of a contrast and of another contrast or group; rename a group"
    for place, row in enumerate(domain.get("swap", [])):
        for group in row.keys() - {*groups, "neutral", "where"}:
            yield ["swap", place], f"{group!r} is not one of {', '.join(groups)}"
        for group in groups:
            if not row.get(group, group).strip():
                yield ["swap", place, group], "is empty; write a word, or leave the group out of this row"
        try:
            re.compile(row.get("where", ""))
        except re.error as fault:
            yield ["swap", place, "where"], f"{row['where']!r} is not a valid pattern ({fault})"
    if "labels" in domain:
        yield from _faults_by_label(domain, groups)


def _faults_by_label(domain, groups):
    listed = labels(domain)
    for label in listed:
        if not isinstance(label, str):
            yield ["labels"], f"{label!r} is not a string; write it in quotes, as in the data"
    yield from _number(["labels"], listed, MOST_LABELS)
    associated = domain.get("associated_groups")
    if associated is not None:
        for label in {*listed} ^ associated.keys():
            yield (
                ["associated_groups", label],
                f"must name a group for each of {', '.join(map(str, listed))}, and nothing else",
            )
        for label, group in associated.items():
            if group not in groups:
                yield ["associated_groups", label], f"{group!r} is not one of {', '.join(groups)}"
    if domain.get("planted_label", listed[0]) not in listed:
        yield ["planted_label"], f"{domain['planted_label']!r} is not one of {', '.join(map(str, listed))}"
    for label, by_group in domain.get("stereotypes", {}).items():
        if label not in listed:
            yield ["stereotypes", label], f"is not one of {', '.join(map(str, listed))}"
        for group in by_group.keys() - {*groups}:
            yield ["stereotypes", label, group], f"is not one of {', '.join(groups)}"


def _number(path, names, most):
    if not 2 <= len(names) <= most:
        yield path, f"there {'is' if len(names) == 1 else 'are'} {len(names)}; from 2 to {most} are supported"
