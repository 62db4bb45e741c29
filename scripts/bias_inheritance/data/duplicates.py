"""Near-duplicates among many texts: compared as folded words in runs of eight, as `pools/overlap.py` compares a few.

A text is represented by its smallest run and by one run in eight, chosen by the run's own digest, so that two texts
choose alike. A million texts of a hundred words then take a few hundred megabytes.
"""

import hashlib
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

RUN = 8  # words that two texts share in one run
SAMPLED = 8  # one run in so many is compared, and each text's smallest
SHARE = 0.5  # ASSUME: two texts are near-duplicates where they share half of the compared runs of the shorter one
BATCH = 20_000  # texts folded at a time
FACTOR = 0x9E3779B97F4A7C15  # odd, so that no word of a run is lost

_WORD = re.compile(r"[^\W_]+")
_SIGNS = r"([\x{3040}-\x{30ff}\x{3400}-\x{9fff}])"  # Chinese and Japanese signs are words of their own


def clusters(texts):
    """For each text of a ChunkedArray the row of the first text of its cluster; a text of its own is its own first.

    Clusters join whatever near-duplicates link. Texts are compared in runs of eight words; of fewer words, as a whole.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, runs, start, known = [], [], 0, {}
    with ThreadPoolExecutor(2) as threads:  # Arrow and numpy compute without the interpreter's lock
        for chunk, (row, run) in zip(
            _batches(texts), threads.map(lambda each: sketch(each, known), _batches(texts)), strict=True
        ):
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

    if pc.any(pc.match_substring_regex(texts, _SIGNS)).as_py():
        texts = pc.replace_substring_regex(texts, _SIGNS, r" \1 ")
    tokens = pc.utf8_split_whitespace(texts)
    counts = np.diff(tokens.offsets.to_numpy().astype(np.int64))
    encoded = tokens.flatten().dictionary_encode()
    digests = np.array([_digest(token, known) for token in encoded.dictionary.to_pylist()], dtype=np.uint64)
    word = digests[encoded.indices.to_numpy()]
    place = np.repeat(np.arange(len(counts)), counts)[word != 0]
    word = word[word != 0]
    counts = np.bincount(place, minlength=len(counts))
    # RUN − 1 zeros behind each text: no run reaches into the next one, and a shorter text is one run
    position = np.arange(len(word)) + (RUN - 1) * place
    run = np.zeros(len(word) + (RUN - 1) * (len(counts) + 1), dtype=np.uint64)
    run[position] = word
    for step in (1, 2, 4):  # runs of 2, 4 and 8 words
        run[:-step] = run[:-step] * np.uint64(pow(FACTOR, step, 1 << 64)) + run[step:]
    offset = np.arange(len(word)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = (offset == 0) | (offset <= np.repeat(counts, counts) - RUN)
    place, run = place[begins].astype(np.uint32), _mixed(run[position[begins]])
    starts = np.flatnonzero(np.diff(place, prepend=np.uint32(0xFFFFFFFF)))
    smallest = np.minimum.reduceat(run, starts) if len(starts) else run
    chosen = run % np.uint64(SAMPLED) == 0
    place, run = np.concatenate([place[starts], place[chosen]]), np.concatenate([smallest, run[chosen]])
    order = np.lexsort((run, place))
    place, run = place[order], run[order]
    once = np.ones(len(place), dtype=bool)
    once[1:] = (place[1:] != place[:-1]) | (run[1:] != run[:-1])
    return place[once], run[once]


def _mixed(values):
    """Well-mixed 64 bits of each value."""
    import numpy as np

    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return values ^ (values >> np.uint64(32))


def _digest(token, known):
    """A digest of a word without case and punctuation, 0 where nothing is left of it."""
    digest = known.get(token)
    if digest is None:
        word = "".join(_WORD.findall(unicodedata.normalize("NFKC", token).casefold()))
        digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") | 1 if word else 0
        known[token] = digest
    return digest
