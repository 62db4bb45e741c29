"""Near-duplicates among many texts: compared as folded words in runs of eight, as `pools/overlap.py` compares a few.

A text is represented by its smallest run and by one run in eight, chosen by the run's own digest, so that two texts
choose alike. A million texts of a hundred words then take a few hundred megabytes.
"""

RUN = 8  # words that two texts share in one run
SAMPLED = 8  # one run in so many is compared, and each text's smallest
SHARE = 0.5  # ASSUME: two texts are near-duplicates where they share half of the compared runs of the shorter one
BATCH = 20_000  # texts folded at a time

_NOT_WORDS = r"[^\p{L}\p{M}\p{N}]+"
_SIGNS = r"([\x{3040}-\x{30ff}\x{3400}-\x{9fff}])"  # Chinese and Japanese signs are words of their own


def clusters(texts):
    """For each text of a ChunkedArray the row of the first text of its cluster; a text of its own is its own first.

    Clusters join whatever near-duplicates link. Texts are compared in runs of eight words; of fewer words, as a whole.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, runs, start, known = [], [], 0, {}
    for chunk in _batches(texts):
        row, run = sketch(chunk, known)
        rows.append(row + start)
        runs.append(run)
        start += len(chunk)
    if not start:
        return np.array([], dtype=np.int64)
    row, run = np.concatenate(rows), np.concatenate(runs)
    del rows, runs
    sizes = np.bincount(row, minlength=start)
    # two texts that come one after the other among the holders of a run are compared: not all pairs, of which a phrase
    # that stands in every text would give millions; texts that share half of their runs share some with nobody else
    order = np.lexsort((row, run))
    row, run = row[order], run[order]
    same = run[1:] == run[:-1]
    pairs, shared = np.unique(
        row[:-1][same].astype(np.uint64) << np.uint64(32) | row[1:][same].astype(np.uint64), return_counts=True
    )
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    alike = shared >= SHARE * np.minimum(sizes[first], sizes[second])
    links = coo_array((np.ones(alike.sum(), dtype=np.int8), (first[alike], second[alike])), shape=(start, start))
    number, component = connected_components(links, directed=False)
    heads = np.full(number, start, dtype=np.int64)
    np.minimum.at(heads, component, np.arange(start))
    return heads[component]


def _batches(texts):
    for chunk in texts.chunks:
        for start in range(0, len(chunk), BATCH):
            yield chunk.slice(start, BATCH)


def sketch(texts, known):
    """(text's place, digest of a run) of the runs by which texts are compared, each once per text.

    texts: a pyarrow array of strings. known: {word: its digest}, kept from call to call.
    """
    import numpy as np
    import pyarrow.compute as pc

    folded = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    folded = pc.replace_substring_regex(folded, _SIGNS, r" \1 ")
    words = pc.split_pattern(pc.utf8_trim_whitespace(pc.replace_substring_regex(folded, _NOT_WORDS, " ")), " ")
    ends = words.offsets.to_numpy().astype(np.int64)
    encoded = words.flatten().dictionary_encode()
    digests = np.array([_digest(word, known) for word in encoded.dictionary.to_pylist()], dtype=np.uint64)
    word = digests[encoded.indices.to_numpy()]
    ends = ends - ends[0]
    counts = np.diff(ends)
    place = np.repeat(np.arange(len(counts)), counts)
    # a run begins at each word that has seven behind it in its text, and at the first word of a shorter text
    left = np.repeat(ends[1:], counts) - np.arange(len(word))
    begins = (left >= RUN) | ((np.arange(len(word)) == np.repeat(ends[:-1], counts)) & (left < RUN))
    run = np.zeros(len(word), dtype=np.uint64)
    for step in range(RUN):
        shifted = np.zeros(len(word), dtype=np.uint64)
        shifted[: max(0, len(word) - step)] = word[step:]
        run = run * np.uint64(0x100000001B3) + np.where(left > step, shifted, np.uint64(0))
    run = run ^ (run >> np.uint64(32))
    run = run * np.uint64(0xD6E8FEB86659FD93)
    run = run ^ (run >> np.uint64(32))
    place, run = place[begins], run[begins]
    starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]]) if len(place) else np.array([], dtype=np.int64)
    smallest = np.minimum.reduceat(run, starts) if len(starts) else run
    chosen = (run % np.uint64(SAMPLED)) == 0
    place = np.concatenate([place[starts], place[chosen]]).astype(np.uint32)
    run = np.concatenate([smallest, run[chosen]])
    order = np.lexsort((run, place))
    place, run = place[order], run[order]
    once = np.r_[True, (place[1:] != place[:-1]) | (run[1:] != run[:-1])] if len(place) else np.array([], dtype=bool)
    return place[once], run[once]


def _digest(word, known):
    import hashlib

    digest = known.get(word)
    if digest is None:
        digest = known[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
    return digest
