"""Misalignment of distributions: distances between D_a of each pool and D_o, before and after each mitigation."""

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


def compare_pools(
    card: Input,
    embedder_card: Input,
    originals: Input,
    pools: Inputs,
    trains: Inputs,
    adapters: Inputs,
    distances: Output,
    points: Output,
    means: Output,
    domain: dict,
    model: dict,
    embedder: dict,
    places: list,
    cells: list,
    permutations: int,
):
    """Write rows of distributions.csv (`distances`) and points of projection.csv of the pools of one model, domain and
    seed, and of cells trained on them; also {pool: {representation: mean vectors}} of the pools of round 1 (`means`, see
    `means_by_group`), from which foresight.csv is computed.

    Metrics are those of `twosample.compare`: on sentence embeddings under their plain names, on the model's mean last
    hidden state with the prefix hidden_ (local models only). A pool's rows compare its texts with the originals, under
    the untuned model. A cell's rows compare its training rows after mitigation, under its tuned model.
    places: wildcards of each pool and its `round`; cells: those of the cells with the mixes `trains` and the adapters
    `adapters`, each trained on the pool of its bias in `pools`.
    """
    import numpy as np

    family = import_module(f"bias_inheritance.data.{domain['family']}")
    sentence_model = base.load_embedder(base.read_card(embedder_card))
    network, described = None, base.read_card(card)
    if described["form"] != "api":
        network, tokenizer = base.load_base(described)
        chat = Chat(tokenizer, model["system"])
    rows, dots, done = [], [], 0

    def embed(texts, pairs, network):
        """{prefix of metrics: vectors} of texts, and of (user, assistant) pairs under a model."""
        vectors = {"": embeddings.embed_texts(*sentence_model, texts, embedder)}
        if network:
            vectors["hidden_"] = embeddings.embed_pairs(network, chat, pairs)
        return vectors

    def embed_samples(samples):
        return embed(
            [sample["text"] for sample in samples], [family.pair(sample, domain, False) for sample in samples], network
        )

    def compare(where, vectors, samples, is_new, grouped):
        """Test the samples that are new against the others; where: the columns that place the rows."""
        strata = [stratum(sample, grouped) for sample in samples]
        for prefix, embedded in vectors.items():
            seed = record_seed("permutations", prefix, *(where[key] for key in sorted(where)))
            tests = twosample.compare(embedded, is_new, strata, permutations, seed)
            rows.extend({**where, **row, "metric": prefix + row["metric"], "group": "all"} for row in tests)

    def advance():
        nonlocal done
        done += 1
        progress.update(done, len(places) + len(cells), "comparisons")

    old = files.read_jsonl(originals)
    # ASSUME: pools with the requested groups of D_o are compared with D_o within label and group, others within label
    several_groups = len({sample["group"] for sample in old}) > 1
    old_vectors, samples_of_pool, grouped, means_of_pool = None, {}, {}, {}
    for place, path in zip(places, pools, strict=True):
        new = files.read_jsonl(path)
        samples = {sample["id"]: sample for sample in old + new}
        by_groups = several_groups and all(sample["requested_group"] for sample in new)
        if place["round"] == 1:
            samples_of_pool[place["bias"]], grouped[place["bias"]] = samples, by_groups
        ids, augmented = list(samples), [False] * len(old) + [True] * len(new)
        kept = independent(samples, ids, augmented)
        chosen, is_new = [samples[ids[i]] for i in kept], [augmented[i] for i in kept]
        # which originals are kept does not depend on the pool
        old_vectors = old_vectors or embed_samples(chosen[: is_new.count(False)])
        new_vectors = embed_samples(chosen[is_new.count(False) :])
        vectors = {prefix: np.concatenate([old_vectors[prefix], new_vectors[prefix]]) for prefix in old_vectors}
        compare(place, vectors, chosen, is_new, by_groups)
        of_kind = {"hidden" if prefix else "sentence": embedded for prefix, embedded in vectors.items()}
        for kind, embedded in of_kind.items():
            dots += projected({**place, "representation": kind}, embedded, chosen, is_new)
        if place["round"] == 1:
            means_of_pool[place["bias"]] = {
                kind: means_by_group(embedded, chosen, is_new) for kind, embedded in of_kind.items()
            }
        advance()
    for cell, train, adapter in zip(cells, trains, adapters, strict=True):
        trained = files.read_jsonl(train)
        # counterfactuals are not in any pool; their twin is their source
        samples = {row["id"]: {**row, "twin": row["cluster"]} for row in trained} | samples_of_pool.get(
            cell["bias"], {}
        )
        ids, augmented = [row["id"] for row in trained], [row["origin"] == "augmented" for row in trained]
        kept = independent(samples, ids, augmented)
        pairs = [(trained[i]["user"], trained[i]["assistant"]) for i in kept]
        tuned = load_adapter(network, adapter) if network else None
        vectors = embed(["\n".join(pair) for pair in pairs], pairs, tuned)
        chosen, is_new = [samples[ids[i]] for i in kept], [augmented[i] for i in kept]
        compare(cell, vectors, chosen, is_new, grouped.get(cell["bias"], False))
        network = tuned.unload() if tuned else None
        advance()
    files.write_json(distances, rows)
    files.write_json(points, dots)
    files.write_json(means, means_of_pool)
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
    """{original, augmented: {group: mean vector}} of the samples whose group is known."""
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
    step.run(compare_pools)
