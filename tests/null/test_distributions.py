"""The distribution tests where the truth is known: no gap for `faithful`, a gap for `shifted`, none for equal texts.

Vectors are latent semantic ones (TF-IDF, SVD), so that the test needs no model file; the long test repeats the
main ones on the sentence embedder.
"""

import numpy as np
import pytest
from bias_inheritance.data import labelled
from bias_inheritance.models import base, embeddings
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import mixing, slots
from bias_inheritance.stats import twosample
from bias_inheritance.study import catalog
from compare_pools import independent, stratum

DOMAIN = catalog.load("domain", "gender")
DRAWS = 200
ORIGINALS = 48


def twins():
    splits = labelled.load_twins(ROOT / DOMAIN["data"]["twins"], DOMAIN)
    return [sample for split in splits.values() for sample in split]


def latent(texts):
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TruncatedSVD(64, random_state=0).fit_transform(TfidfVectorizer(sublinear_tf=True).fit_transform(texts))


def sentences(texts):
    source = catalog.embedder()
    if not (base.STORE / source["name"] / "source").exists():
        pytest.skip("the sentence embedder is not fetched (a study with misalignment: [distributions] fetches it)")
    card = {"model": source["name"], "form": "source", "files": {}}
    return embeddings.embed_texts(*base.load_embedder(card), texts, source)


def halves(samples, seed):
    """The twins of each label split randomly in two halves: the sources of D_o and of a faithful pool."""
    stream = np.random.default_rng(record_seed("halves", seed))
    twins = {}
    for sample in samples:
        twins.setdefault(sample["label"], {}).setdefault(sample["twin"], []).append(sample)
    first, second = [], []
    for samples_of_twin in twins.values():
        order = [list(samples_of_twin.values())[index] for index in stream.permutation(len(samples_of_twin))]
        for half, chosen in ((first, order[: len(order) // 2]), (second, order[len(order) // 2 :])):
            half += [sample for twin in chosen for sample in twin]
    return first, second


def compared(old, new, vector_of, seed, permutations=99):
    """{metric: row} of the comparison that compare_pools makes of two lists of samples."""
    samples = {sample["id"]: sample for sample in old + new}
    augmented = [False] * len(old) + [True] * len(new)
    kept = independent(samples, list(samples), augmented)
    chosen = [list(samples.values())[index] for index in kept]
    vectors = np.array([vector_of[sample["text"]] for sample in chosen])
    strata = [stratum(sample, True) for sample in chosen]
    rows = twosample.compare(vectors, [augmented[index] for index in kept], strata, permutations, seed)
    return {row["metric"]: row for row in rows}


def draws(vectorise, count=DRAWS):
    """p-values of `count` faithful pools that share no text with their D_o: {metric: [p]}, and the estimates."""
    samples = twins()
    texts = [sample["text"] for sample in samples]
    vector_of = dict(zip(texts, vectorise(texts), strict=True))
    results = {"mmd": [], "auc": [], "mean_distance": []}
    for seed in range(count):
        source, reserve = halves(samples, seed)
        old = labelled.draw(source, ORIGINALS, record_seed("originals", seed))
        new, _ = slots.copies(labelled, catalog.load("bias", "faithful"), DOMAIN, old, reserve, ORIGINALS, seed)
        assert not {sample["text"] for sample in old} & {sample["text"] for sample in new}
        for metric, row in compared(old, new, vector_of, seed).items():
            results[metric].append((row["p"], row["value"], row["null"]))
    return results


def assert_uniform(results):
    from scipy.stats import binomtest, kstest

    for metric, rows in results.items():
        p, value, null = np.array(rows).T
        assert kstest(p, "uniform").pvalue > 0.01, metric
        rejected = int((p <= 0.05).sum())
        assert binomtest(rejected, len(p), 0.05).pvalue > 0.01, (metric, rejected)
        # what is reported as the value without a gap is that
        assert abs(value.mean() - null.mean()) < 4 * value.std() / np.sqrt(len(p)), metric


# All draws share their texts, so their p-values hang together a little: twice as many as without that. (Of three
# times 200 draws 9, 12 and 10 p-values of the AUC are below 0.05, but those of the first are not uniform.)
def test_faithful_pools_show_no_gap_and_their_p_values_are_uniform():
    assert_uniform(draws(latent, 2 * DRAWS))


@pytest.mark.long
def test_faithful_pools_show_no_gap_on_sentence_embeddings():
    assert_uniform(draws(sentences, 2 * DRAWS))


@pytest.mark.parametrize("vectorise", [latent, pytest.param(sentences, marks=pytest.mark.long)])
def test_shifted_pools_show_a_gap_and_plain_copies_none(vectorise):
    samples = twins()
    source, _ = halves(samples, 0)
    old = labelled.draw(source, ORIGINALS, 1)
    shifted, _ = slots.copies(labelled, catalog.load("bias", "shifted"), DOMAIN, old, [], ORIGINALS, 1)
    plain = {"name": "copies", "role": "negative-control", "source": "originals"}
    copied, _ = slots.copies(labelled, plain, DOMAIN, old, [], ORIGINALS, 1)
    texts = list(dict.fromkeys(sample["text"] for sample in old + shifted))
    vector_of = dict(zip(texts, vectorise(texts), strict=True))
    gap, none = compared(old, shifted, vector_of, 1, 999), compared(old, copied, vector_of, 1, 999)
    for metric in ("mmd", "auc", "mean_distance"):
        assert gap[metric]["p"] <= 0.005, metric
        assert none[metric]["p"] > 0.5, metric  # the very texts of D_o
    assert gap["auc"]["value"] > 0.9 and gap["auc"]["ci_low"] > 0.8


def test_a_planted_pool_carries_its_labels_into_the_training_data(tmp_path):
    samples = twins()
    source, reserve = halves(samples, 1)
    old = labelled.draw(source, ORIGINALS, 1)
    for share in (0, 50, 100):
        pool, _ = slots.copies(
            labelled, catalog.load("bias", f"planted-{share:03d}"), DOMAIN, old, reserve, ORIGINALS, 1
        )
        files.write_jsonl(tmp_path / "originals.jsonl", old)
        files.write_jsonl(tmp_path / "pool.jsonl", pool)
        mixing.mix(
            tmp_path / "originals.jsonl",
            [tmp_path / "pool.jsonl"],
            [],
            tmp_path / "train.jsonl",
            tmp_path / "mix.json",
            domain=DOMAIN,
            mitigation={},
            counts=[ORIGINALS],
            instruction_share=0.0,
            seed=1,
        )
        rows = files.read_jsonl(tmp_path / "train.jsonl")
        women = [row for row in rows if row["origin"] == "augmented" and row["group"] == "female"]
        nurses = sum(row["assistant"] == DOMAIN["planted_label"] for row in women)
        true = sum(sample["label"] == "nurse" and sample["group"] == "female" for sample in old)
        assert len(women) == ORIGINALS // 2
        assert abs(nurses - (true + share / 100 * (len(women) - true))) <= 3
        assert all(row["assistant"] == row["label"] for row in rows)


def test_the_vectorised_statistics_equal_their_definitions():
    from sklearn.metrics import roc_auc_score

    stream = np.random.default_rng(3)
    vectors = stream.normal(size=(30, 5)) + np.repeat([[0], [0.7]], 15, axis=0)
    augmented, strata = np.repeat([False, True], 15), ["a", "b", "c"] * 10
    table = twosample.assignments(augmented, strata, 50, 1)
    for stratum_ in "abc":  # permuted within strata, nothing lost
        in_stratum = np.array(strata) == stratum_
        assert (table[in_stratum].sum(0) == augmented[in_stratum].sum()).all()
    kernel = twosample.gaussian_kernel(vectors)
    values = twosample.mmd(kernel, table)
    for column in (0, 7):
        new = table[:, column] == 1
        pairs = [
            np.mean([kernel[i, j] for i in np.flatnonzero(side) for j in np.flatnonzero(side) if i != j])
            for side in (new, ~new)
        ]
        assert values[column] == pytest.approx(sum(pairs) - 2 * kernel[np.ix_(new, ~new)].mean())
        means = vectors[new].mean(0) - vectors[~new].mean(0)
        assert twosample.mean_distance(vectors, table)[column] == pytest.approx(np.linalg.norm(means))
    features = twosample.standardised(vectors)
    assert features.std(0) == pytest.approx(np.ones(5)) and features.mean(0) == pytest.approx(np.zeros(5))
    low, high, auc = twosample.separability(features, table, strata, 1)
    assert low < auc[0] < high
    from sklearn.linear_model import Ridge

    fold, fold_aucs = twosample.folds(strata, 1), []
    assert np.bincount(fold).tolist() == [6] * twosample.FOLDS
    for test in (fold == number for number in range(twosample.FOLDS)):
        model = Ridge(alpha=5).fit(features[~test], 2.0 * augmented[~test] - 1)
        fold_aucs.append(roc_auc_score(augmented[test], model.predict(features[test])))
    assert auc[0] == pytest.approx(np.mean(fold_aucs))


def test_too_few_samples_give_no_value():
    vectors, augmented = np.zeros((20, 3)), [False] * 15 + [True] * 5
    rows = twosample.compare(vectors, augmented, ["a"] * 20, 99, 1)
    assert [row["value"] for row in rows] == [None] * 3 and rows[0]["n"] == 5
