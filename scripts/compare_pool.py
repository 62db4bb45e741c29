"""Misalignment of distributions of one pool: distance between D_a and D_o, before and after each mitigation."""

from importlib import import_module

from bias_inheritance.models import base, embeddings
from bias_inheritance.models.adapters import load_adapter
from bias_inheritance.models.chat import Chat
from bias_inheritance.plumbing import files, progress, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.stats import twosample

MOST = 1000  # ASSUME: samples per origin in a test; more would add cost but little power
POINTS = 200  # samples per origin in the projection


def compare_pool(
    card: Input,
    embedder_card: Input,
    originals: Input,
    pool: Input,
    trains: Inputs,
    adapters: Inputs,
    found_rows: Output,
    points: Output,
    means: Output,
    domain: dict,
    model: dict,
    embedder: dict,
    place: dict,
    cells: list,
    permutations: int,
):
    """Write rows of distributions.csv (`found_rows`) and points of projection.csv of one pool and the cells trained on it, and
    the mean vectors of its texts and of the originals by group (`means`), from which foresight.csv is made.

    Metrics are those of `twosample.compare`: on sentence embeddings under their plain names, on the model's mean last
    hidden state with the prefix hidden_ (local models only). The pool's rows compare its texts with the originals, under
    the untuned model. A cell's rows compare its training rows after mitigation, under its tuned model.
    place: wildcards of the pool; cells: those of the cells with the mixes `trains` and the adapters `adapters`.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    sentence_model = base.load_embedder(base.read_card(embedder_card))
    network, described = None, base.read_card(card)
    if described["form"] != "api":
        network, tokenizer = base.load_base(described)
        chat = Chat(tokenizer, model["system"])
    old, new = files.read_jsonl(originals), files.read_jsonl(pool)
    samples = {sample["id"]: sample for sample in old + new}
    # ASSUME: pools with the requested groups of D_o are compared with D_o within label and group, others within label
    grouped = all(sample["asked_group"] for sample in new) and len({sample["group"] for sample in old}) > 1
    rows, dots = [], []

    def compare(where, ids, augmented, texts, pairs, network):
        kept = independent(samples, ids, augmented)
        chosen = [samples[ids[i]] for i in kept]
        vectors = {"": embeddings.embed_texts(*sentence_model, [texts[i] for i in kept], embedder)}
        if network:
            vectors["hidden_"] = embeddings.embed_pairs(network, chat, [pairs[i] for i in kept])
        new, strata = [augmented[i] for i in kept], [stratum(sample, grouped) for sample in chosen]
        for prefix, embedded in vectors.items():
            seed = record_seed("permutations", prefix, *where.values())
            tests = twosample.compare(embedded, new, strata, permutations, seed)
            rows.extend({**where, **row, "metric": prefix + row["metric"], "group": "all"} for row in tests)
        return vectors, chosen, new

    texts = [sample["text"] for sample in samples.values()]
    pairs = [family.pair(sample, domain, False) for sample in samples.values()]
    augmented = [False] * len(old) + [True] * len(new)
    vectors, chosen, is_new = compare(place, list(samples), augmented, texts, pairs, network)
    means_of_kind = {}
    for prefix, embedded in vectors.items():
        kind = "hidden" if prefix else "sentence"
        dots += projected({**place, "representation": kind}, embedded, chosen, is_new)
        means_of_kind[kind] = means_by_group(embedded, chosen, is_new)
    for number, (cell, train, adapter) in enumerate(zip(cells, trains, adapters, strict=True), start=1):
        trained = files.read_jsonl(train)
        # counterfactuals are not in any pool; their twin is their source
        samples |= {row["id"]: {**row, "twin": row["cluster"]} for row in trained if row["id"] not in samples}
        pairs = [(row["user"], row["assistant"]) for row in trained]
        texts = ["\n".join(pair) for pair in pairs]
        augmented = [row["origin"] == "augmented" for row in trained]
        tuned = load_adapter(network, adapter) if network else None
        compare(cell, [row["id"] for row in trained], augmented, texts, pairs, tuned)
        network = tuned.unload() if tuned else None
        progress.update(number, len(cells), "cells")
    files.write_json(found_rows, rows)
    files.write_json(points, dots)
    files.write_json(means, means_of_kind)
    step.note(device=base.device())


def independent(samples, ids, augmented):
    """Indices of at most MOST samples per origin, one per cluster of twins, which are not independent observations."""
    kept, seen, left = [], set(), {True: MOST, False: MOST}
    for index in sorted(range(len(ids)), key=lambda index: record_seed("independent", ids[index])):
        source = (augmented[index], samples[ids[index]].get("twin", ids[index]))
        if source not in seen and left[augmented[index]]:
            kept.append(index)
            seen.add(source)
            left[augmented[index]] -= 1
    return sorted(kept)


def stratum(sample, grouped):
    """The permutation stratum of a sample: its true label (not a planted one), and its group if one was requested."""
    label = sample.get("true_label", sample["label"])
    return f"{label}/{sample['group']}" if grouped else label


def means_by_group(vectors, samples, augmented):
    """{original, augmented: {group: mean vector}} of the samples whose group is clear."""
    members = {}
    for place, (sample, new) in enumerate(zip(samples, augmented, strict=True)):
        if sample["group"] is not None:
            members.setdefault("augmented" if new else "original", {}).setdefault(sample["group"], []).append(place)
    return {
        origin: {group: vectors[places].mean(0).tolist() for group, places in of_group.items()}
        for origin, of_group in members.items()
    }


def projected(place, vectors, samples, augmented):
    """Points of projection.csv: the principal components of all samples, for at most POINTS per origin."""
    counts, rows = {True: 0, False: 0}, []
    for sample, new, (x, y) in zip(samples, augmented, twosample.projection(vectors), strict=True):
        counts[new] += 1
        if counts[new] <= POINTS:
            about = {
                "origin": "augmented" if new else "original",
                **{key: sample[key] for key in ("id", "label", "group")},
            }
            rows.append({**place, **about, "x": float(x), "y": float(y)})
    return rows


if __name__ == "__main__":
    step.run(compare_pool)
