"""Near-duplicate detection at scale, by 8-grams of normalised words, as in `pools/overlap.py` for small sets.

Words are those of `texts.WORD`, but accents count, and what spaces do not separate is one word.

A text is sketched by its smallest 8-gram digest and by one 8-gram in eight, selected by digest, so that all texts select
the same 8-grams. Texts whose sketches have an 8-gram in common are compared by all of theirs: a sketch alone would take
texts with a common signature for near-duplicates. A million texts of a hundred words need a few hundred megabytes.
"""

import hashlib
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from bias_inheritance.data.texts import SPACELESS, WORD

RUN = 8  # words per n-gram ("run")
SAMPLED = 8  # one run in SAMPLED is in a sketch, plus the smallest of each text
SHARE = 0.5  # ASSUME: texts are near-duplicates if they share half of the runs of the shorter one
BATCH = 20_000  # texts normalised at a time, and pairs compared at a time
PAIR_AT = 49  # bits of a run's digest in a number that also holds the pair, below 2^15
FACTOR = 0x9E3779B97F4A7C15  # odd, hence invertible: every word of a run affects its digest

_SPACELESS_LETTER = rf"([{SPACELESS}]\pM*)"  # counts as a word


def clusters(texts):
    """For each text of a ChunkedArray, the row of the first text of its cluster (its own row if it has no duplicates).

    Clusters are connected components of near-duplicate pairs. Texts of fewer than eight words are compared as a whole.
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
    # only consecutive texts among those with a run are compared: a phrase that occurs in every text would give millions
    # of pairs, whereas texts that share half of their runs also share some that no other text has
    order = np.lexsort((row, run))
    row, run = row[order].astype(np.uint64), run[order]
    same = run[1:] == run[:-1]
    pairs = np.unique(row[:-1][same] << np.uint64(32) | row[1:][same])
    del order, row, run, same
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    alike = np.zeros(len(pairs), dtype=bool)
    for begin in range(0, len(pairs), BATCH):
        part = slice(begin, begin + BATCH)
        alike[part] = near(texts, first[part], second[part], known)
    links = coo_array((np.ones(alike.sum(), dtype=np.int8), (first[alike], second[alike])), shape=(start, start))
    number, component = connected_components(links, directed=False)
    heads = np.full(number, start, dtype=np.int64)
    np.minimum.at(heads, component, np.arange(start))
    return heads[component]


def near(texts, first, second, known):
    """Whether the texts at two row numbers are near-duplicates, for each of at most BATCH pairs; known: as in `sketch`."""
    import numpy as np
    import pyarrow as pa

    compared = np.zeros(len(texts), dtype=bool)
    compared[first] = compared[second] = True
    row, run = sketch(pa.concat_arrays(texts.filter(pa.array(compared)).chunks), known, sampled=1)
    sizes = np.bincount(row, minlength=compared.sum())
    starts, place, keys = np.cumsum(sizes) - sizes, np.cumsum(compared) - 1, []
    for side in (place[first], place[second]):
        counts = sizes[side]
        pair = np.repeat(np.arange(len(side), dtype=np.uint64), counts)
        of_pair = run[np.arange(counts.sum()) + np.repeat(starts[side] - np.cumsum(counts) + counts, counts)]
        keys.append(pair << np.uint64(PAIR_AT) | of_pair >> np.uint64(64 - PAIR_AT))
    keys = np.sort(np.concatenate(keys))
    shared = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(PAIR_AT)
    shared = np.bincount(shared.astype(np.int64), minlength=len(first))
    return shared >= SHARE * np.minimum(sizes[place[first]], sizes[place[second]])


def _batches(texts):
    for chunk in texts.chunks:
        for start in range(0, len(chunk), BATCH):
            yield chunk.slice(start, BATCH)


def sketch(texts, known, sampled=SAMPLED):
    """(text index, run digest), two arrays with the sketch of each text, sorted, without repeats.

    texts: a pyarrow array of strings. known: {word: digest}, a cache shared between calls. sampled: one run in so many is
    selected.
    """
    import numpy as np
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(texts, _SPACELESS_LETTER)).as_py():
        texts = pc.replace_substring_regex(texts, _SPACELESS_LETTER, r" \1 ")
    tokens = pc.utf8_split_whitespace(texts)
    counts = np.diff(tokens.offsets.to_numpy().astype(np.int64))
    encoded = tokens.flatten().dictionary_encode()
    digests = np.array([_digest(token, known) for token in encoded.dictionary.to_pylist()], dtype=np.uint64)
    word = digests[encoded.indices.to_numpy()]
    place = np.repeat(np.arange(len(counts)), counts)[word != 0]
    word = word[word != 0]
    counts = np.bincount(place, minlength=len(counts))
    # pad each text with RUN − 1 zeros: runs do not extend into the next text, and a shorter text is one run
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
    chosen = run % np.uint64(sampled) == 0
    place, run = np.concatenate([place[starts], place[chosen]]), np.concatenate([smallest, run[chosen]])
    order = np.lexsort((run, place))
    place, run = place[order], run[order]
    once = np.ones(len(place), dtype=bool)
    once[1:] = (place[1:] != place[:-1]) | (run[1:] != run[:-1])
    return place[once], run[once]


def _mixed(values):
    """A 64-bit mixing hash of each value."""
    import numpy as np

    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return values ^ (values >> np.uint64(32))


def _digest(token, known):
    """A digest of a word, ignoring case and punctuation; 0 if nothing remains."""
    digest = known.get(token)
    if digest is None:
        word = "".join(WORD.findall(unicodedata.normalize("NFKC", token).casefold()))
        digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") | 1 if word else 0
        known[token] = digest
    return digest
