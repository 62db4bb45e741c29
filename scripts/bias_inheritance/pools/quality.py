"""Content-independent quality of a pool's texts: diversity, length, rejection rates; rows {metric, value, n}."""

from collections import Counter

from bias_inheritance.data.texts import words as words_of

SAMPLE = (
    500  # n-grams; ASSUME: diversity is compared at this sample size, since distinct-n falls with the size of a pool
)


def of_texts(texts):
    """Rows of distinct_1 … distinct_3 (n: n-grams in the texts) and mean_words (n: texts)."""
    words = [words_of(text) for text in texts]
    rows = []
    for size in (1, 2, 3):
        grams = Counter(gram for text in words for gram in zip(*(text[start:] for start in range(size)), strict=False))
        rows.append({"metric": f"distinct_{size}", "value": distinct(grams), "n": sum(grams.values())})
    mean = sum(map(len, words)) / len(words) if words else None
    return [*rows, {"metric": "mean_words", "value": mean, "n": len(words)}]


def distinct(grams, sample=SAMPLE):
    """Expected share of distinct n-grams among `sample` drawn without replacement (rarefaction; Hurlbert, 1971).

    grams: Counter of n-grams. None if there are fewer than `sample`, since the share would not be comparable.
    """
    import numpy as np
    from scipy.special import gammaln

    total = sum(grams.values())
    if total < sample:
        return None
    counts = np.array(list(grams.values()), dtype=float)
    rest = total - counts
    # probability that an n-gram is not drawn: C(total - count, sample) / C(total, sample)
    drawable = rest >= sample
    log_missed = gammaln(rest[drawable] + 1) - gammaln(rest[drawable] - sample + 1)
    log_missed -= gammaln(total + 1) - gammaln(total - sample + 1)
    return min(1.0, float((len(counts) - np.exp(log_missed).sum()) / sample))


def of_counts(counts):
    """Rows with the shares of rejected, failed and duplicate attempts (n: attempts) and of unfilled slots (n: slots)."""
    attempts, slots = counts["requested"], counts["slots"]
    shares = {
        "rejected_share": counts["rejected"],
        "failed_share": counts["failed"],
        "duplicate_share": counts["reasons"].get("duplicate", 0),
    }
    rows = [
        {"metric": name, "value": count / attempts if attempts else None, "n": attempts}
        for name, count in shares.items()
    ]
    open_share = counts["slots_failed"] / slots if attempts else None
    return [*rows, {"metric": "open_slots_share", "value": open_share, "n": slots if attempts else 0}]


def of_mix(mix):
    """Rows with the number of training samples and the realised γ of a cell's mix (n: samples); no value if collapsed."""
    size = mix["originals"] + mix["augmented"]
    values = {"training_samples": None if mix["collapsed"] else size, "realised_gamma": mix["gamma"]}
    return [{"metric": name, "value": value, "n": size} for name, value in values.items()]


def of_scores(scores):
    """Rows with the perplexity of held-out originals; a single row without a value for a collapsed cell."""
    perplexities = [row for row in scores if row["metric"] == "perplexity" and row["group"] == "all"]
    return [{"metric": "perplexity", "value": row["value"], "n": row["n"]} for row in perplexities] or [
        {"metric": "perplexity", "value": None, "n": 0}
    ]
