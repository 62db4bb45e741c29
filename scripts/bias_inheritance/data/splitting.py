"""Splits of a table: by content in given shares, or those of the data, with near-duplicates kept in one part."""

from bias_inheritance.plumbing.seeds import record_seed


def split(table, shares, seed):
    """{part: row numbers} by content: the parts of `shares` ({"test": 0.3, "reserve": 0.2}), and `source`, the rest.

    The share of each part holds within each label × group, up to the size of one cluster of near-duplicates
    (`Table.clusters`); clusters are kept together, in the part of the text with the smallest digest. The part of a
    text depends on its words and the seed, not on its row. The shares, which `schema` checks, leave some for the source.
    """
    import numpy as np

    rank = _mixed(table.keys ^ np.uint64(record_seed("split", seed)))
    order = np.argsort(rank, kind="stable")
    heads, first = np.unique(table.clusters[order], return_index=True)
    leader = np.empty(len(table), dtype=np.int64)
    leader[heads] = order[first]  # each cluster is represented by its row with the smallest rank
    leader = leader[table.clusters]
    sizes = np.bincount(leader, minlength=len(table))
    width = len(table.names["group"]) + 1
    stratum = table.codes["label"].astype(np.int64) * width + table.codes["group"] + 1
    part_of = np.full(len(table), len(shares), dtype=np.int8)
    bounds = np.cumsum([*shares.values()])
    leaders = order[sizes[order] > 0]
    for value in np.unique(stratum):
        members = leaders[stratum[leaders] == value]
        passed = np.cumsum(sizes[members])
        middle = (passed - sizes[members] / 2) / max(1, passed[-1] if len(passed) else 1)
        part_of[members] = np.searchsorted(bounds, middle, side="right")
    part_of = part_of[leader]
    return {part: np.flatnonzero(part_of == place) for place, part in enumerate([*shares, "source"])}


def apart(table, parts):
    """({part: row numbers}, {part: number of dropped rows}) of predefined parts, with near-duplicates across parts removed.

    Near-duplicates (`Table.clusters`) in several parts are kept only in the first of them in `parts`: put `test`
    first, so that no test text is trained on.
    """
    import numpy as np

    cluster = table.clusters
    taken, kept, left_out = np.zeros(len(table), dtype=bool), {}, {}
    for part, rows in parts.items():
        kept[part] = rows[~taken[cluster[rows]]]
        if len(kept[part]) < len(rows):
            left_out[part] = len(rows) - len(kept[part])
        taken[cluster[rows]] = True
    return kept, left_out


def _mixed(values):
    """A 64-bit mixing hash of each value (the finalizer of splitmix64)."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
