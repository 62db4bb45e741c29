"""Pools from files written by another program: reading, checks against the domain and its real texts, ordering.

A bias type's file names them as its source (docs/formats.md):

    source: {files: synthetic.jsonl, columns: {text: generation, label: label, group: nationality}}

The composition of the file is preserved: every prefix matches, within one sample, each label's share of the file and each
group's share of its label, so that mixes of different γ have the same composition.
"""

import hashlib
from collections import Counter

from bias_inheritance.data import contrasts, formats, tables, texts
from bias_inheritance.data.values import spelled
from bias_inheritance.plumbing import provenance
from bias_inheritance.plumbing.errors import UserError, did_you_mean
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import balance, overlap

COPY = 0.5  # ASSUME: a file of which half the samples repeat test texts is a copy of the test set
FAILED = {
    "empty text",
    "missing label",
    "broken characters",
}  # rows without a usable sample, as opposed to rejected ones


def is_file(bias):
    """Whether a bias type's samples come from files."""
    return isinstance(bias["source"], dict)


def files_read(bias):
    """The files of a bias type; [] if its samples do not come from files."""
    return formats.files_read(bias["source"]) if is_file(bias) else []


def check(bias, domain, needed):
    """Raise UserError for unreadable files, unknown labels or groups, or fewer samples than `needed`.

    Checks that need the originals (repeats, overlap with the test set) are made by `pool`. Large files are left to it too.
    """
    if formats.is_large(bias["source"]):
        return
    usable = len(read(bias, domain)[0])
    if usable < needed:
        raise UserError(too_few(bias, domain, needed, usable))


def _source(bias):
    return f"catalog/biases/{bias['name']}.yaml: source"


def labels_of(domain):
    """{value: name} of a domain's labels: the names themselves, and the values in the data if the domain renames them."""
    listed = domain["labels"]
    renamed = {spelled(value): name for value, name in listed.items()} if isinstance(listed, dict) else {}
    return renamed | {name: name for name in contrasts.labels(domain)}


def groups_of(domain):
    """{value: name} of a domain's groups, including the values used in the data (`value`)."""
    renamed = {spelled(value): name for value, name in contrasts.group_values(domain).items()}
    return renamed | {name: name for name in domain["groups"]}


def read(bias, domain):
    """(table, dropped rows [(reason, place, text)]) of a bias type's files, labels and groups mapped to the domain's names.

    Raises UserError for a label or group that the domain does not have, unless the source maps it.
    """
    source, name, dropped = bias["source"], _source(bias), []
    table = tables.read(source, required=("text", "label"), name=name, dropped=dropped)
    for column, known in (("label", labels_of(domain)), ("group", groups_of(domain))):
        unknown = [value for value in table.names[column] if value not in known]
        if unknown:
            count = table.counts[f"{column}s"][unknown[0]]
            raise UserError(
                f"{name}: {count} samples have the {column} {unknown[0]!r}{f', and {len(unknown) - 1} more {column}s are unknown' if unknown[1:] else ''}{did_you_mean(unknown[0], known)}; the domain {domain['name']} has {', '.join(dict.fromkeys(known.values()))}: write {column}s: {{{unknown[0]}: NAME}} under source, or list only those to use (--{column}s of add-pool)"
            )
        names = list(dict.fromkeys(known.values()))
        place = [names.index(known[value]) for value in table.names[column]]
        table.codes[column] = _renumbered(table.codes[column], place)
        table.names[column] = names
    return table, dropped


def _renumbered(codes, place):
    import numpy as np

    return np.array([*place, -1], dtype=np.int32)[codes]


def too_few(bias, domain, needed, usable):
    """The error message for files with fewer usable samples than the largest γ needs."""
    return f"{_source(bias)}: the largest γ needs {needed} samples in {domain['name']}, the files have {usable} usable ones; add samples, lower the largest γ, or lower originals"


def pool(family, bias, domain, originals, tests, size, seed, planned=None, others=()):
    """(samples, failures, counts) of a pool of `size` samples from a bias type's files.

    originals, tests: real samples that no pool text may repeat, exactly after folding (`texts.fold`) or in half of the
    8-grams of one of them. others: further real samples of the domain, of which only exact repeats are rejected. planned:
    {file: sha256} of the files when the run was planned. A sample's group is that of its column, or else the group that its
    text shows. counts: requested = kept + rejected + failed, `unused` usable samples beyond `size`, and `unclear` kept samples
    without a group. Raises UserError if the files have changed, are a copy of the test set or of the originals, or contain
    too few usable samples.
    """
    import numpy as np

    before = provenance.digests(files_read(bias))
    if planned is not None:
        provenance.refuse_unplanned(before, planned)
    table, dropped = read(bias, domain)
    if provenance.digests(files_read(bias)) != before:
        raise UserError(f"{min(before)}: changed while it was read; wait until it is written, then run again")
    judged = _Judge(originals, tests, others)
    strata, refused = {}, []
    order = np.random.default_rng(record_seed("file", bias["name"], seed)).permutation(len(table))
    repeats, groups = 0, {}
    for number, sample in enumerate(_samples(table)):
        reason = judged.reason(sample)
        repeats += reason == "in test"
        if reason:
            refused.append((reason, sample["place"], sample["text"]))
            continue
        shown = family.shown_group(sample["text"], domain)
        groups[number] = (sample["group"] or shown, shown)
        strata.setdefault((sample["label"], groups[number][0]), []).append(number)
    if repeats >= COPY * len(table):
        raise UserError(
            f"{_source(bias)}: {repeats} of {len(table)} samples repeat texts of the test set, first {next(place for reason, place, _ in refused if reason == 'in test')}; training on the test set invalidates the scores: remove them from the files"
        )
    usable = len(groups)
    real = sum(reason in ("in test", "in originals", "contradicts originals") for reason, _, _ in refused)
    if not usable and real:
        raise UserError(
            f"{_source(bias)}: no sample is left{_why([*dropped, *refused])}; the texts are real ones of the domain {domain['name']}: give samples that were written for it"
        )
    if usable < size:
        raise UserError(too_few(bias, domain, size, usable) + _why([*dropped, *refused]))
    place_of = np.empty(len(table), dtype=np.int64)
    place_of[order] = np.arange(len(table))
    shares = {}
    for (label, group), rows in strata.items():
        rows.sort(key=lambda row: place_of[row])
        shares.setdefault(label, {})[group] = len(rows)
    preferred = [(label, group) for label, group in _kinds(order, strata)][:size]
    turns = {kind: iter(rows) for kind, rows in strata.items()}
    chosen = [next(turns[kind]) for kind in balance.along(shares, preferred)]
    taken = table.take(chosen)
    samples = [
        {
            "id": f"{bias['name']}-s{seed}-{slot:05d}",
            "slot": slot,
            "label": sample["label"],
            "group": groups[row][0],
            "requested_group": sample["group"],
            "shown_group": groups[row][1],
            "text": sample["text"],
            "place": sample["place"],
        }
        for slot, (row, sample) in enumerate(zip(chosen, taken, strict=True))
    ]
    failures = [
        {"place": place, "outcome": "failed" if reason in FAILED else "rejected", "reason": reason, "raw_text": text}
        for reason, place, text in [*dropped, *refused]
    ]
    outcomes = Counter(failure["outcome"] for failure in failures)
    counts = {
        "requested": len(samples) + len(failures),
        "kept": len(samples),
        "rejected": outcomes["rejected"],
        "failed": outcomes["failed"],
        "reasons": dict(sorted(Counter(failure["reason"] for failure in failures).items())),
        "source_rows": table.counts["rows"],
        "unused": usable - len(samples),
        "unclear": sum(sample["group"] is None for sample in samples),
        "files": before,
    }
    return samples, failures, counts


def _samples(table):
    """The samples of a table in order, read in batches."""
    for start in range(0, len(table), formats.BATCH):
        yield from table.take(range(start, min(start + formats.BATCH, len(table))))


def _kinds(order, strata):
    """(label, group) of the usable rows in a seeded random order."""
    kind_of = {row: kind for kind, rows in strata.items() for row in rows}
    return [kind_of[row] for row in order.tolist() if row in kind_of]


def _why(listed):
    reasons = Counter(reason for reason, _, _ in listed)
    return (
        f" (not usable: {', '.join(f'{reason} {count}' for reason, count in reasons.most_common())})" if reasons else ""
    )


class _Judge:
    """Detects texts of a file that repeat a real text or an earlier text of the file."""

    def __init__(self, originals, tests, others):
        self.labels = {}  # folded real text → reason if a text repeats it, its label
        for reason, samples in (("in originals", [*others, *originals]), ("in test", tests)):
            self.labels |= {texts.fold(sample["text"]): (reason, sample["label"]) for sample in samples}
        self.indexes = [
            (overlap.Texts(dict(enumerate(sample["text"] for sample in samples))), samples, reason)
            for reason, samples in (("in test", tests), ("in originals", originals))
        ]
        self.seen = set()

    def reason(self, sample):
        """Reject reason: in test, in originals, contradicts originals (the text with another label), duplicate, or None.

        Texts are compared ignoring case, whitespace and punctuation.
        """
        folded = texts.fold(sample["text"])
        reason, label = self.labels.get(folded) or self._repeated(sample["text"])
        if reason:
            return "contradicts originals" if reason == "in originals" and label != sample["label"] else reason
        digest = hashlib.blake2b(folded.encode(), digest_size=8).digest()
        if digest in self.seen:
            return "duplicate"
        self.seen.add(digest)
        return None

    def _repeated(self, text):
        """(reason, label of the real text) if half of a real text's 8-grams are in `text`, else (None, None)."""
        for index, samples, reason in self.indexes:
            number = index.repeated_by(text)
            if number is not None:
                return reason, samples[number]["label"]
        return None, None
