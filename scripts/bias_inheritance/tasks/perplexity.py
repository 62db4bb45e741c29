"""Perplexity of held-out original texts: can a tuned model still write?

The text is scored as the answer to the domain's neutral instruction, including the end-of-turn token.
"""

from bias_inheritance.tasks import metrics
from bias_inheritance.tasks.classification import balanced


def items(task, domain, family, test, count):
    """One item per test sample, with its text as the only option."""
    for sample in balanced(test, count):
        user, text = family.pair(sample, domain, instruct=True)
        yield {
            "item": sample["id"],
            "cluster": sample["twin"],
            "group": sample["group"],
            "label": sample["label"],
            "prompt": user,
            "options": [text],
        }


def score(predictions, task, domain, replicates, seed):
    """exp(− log-probability per token), overall and per group, and its logarithm overall (nats per token), whose changes are
    comparable across levels; the interval resamples clusters of twins."""
    import numpy as np

    logprobs = np.array([item["logprobs"][0] for item in predictions])
    tokens = np.array([item["tokens"][0] for item in predictions], dtype=float)
    group = np.array([item["group"] for item in predictions])
    cluster = np.array([item["cluster"] for item in predictions])
    weights = metrics.resamples(
        cluster, metrics.strata([item["label"] for item in predictions], group, cluster), replicates, seed
    )
    rows = []
    for name in ("all", *domain["groups"]):
        chosen = np.ones(len(group), dtype=bool) if name == "all" else group == name
        with np.errstate(invalid="ignore"):
            draws = np.exp(-(weights[:, chosen] @ logprobs[chosen]) / (weights[:, chosen] @ tokens[chosen]))
        value = np.exp(-logprobs[chosen].sum() / tokens[chosen].sum()) if chosen.any() else None
        counts = {"n": chosen.sum(), "n_clusters": len(set(cluster[chosen]))}
        rows.append(metrics.row("perplexity", name, value, metrics.interval(draws), **counts))
        if name == "all":
            rows.append(metrics.row("log_perplexity", name, np.log(value), metrics.interval(np.log(draws)), **counts))
    return rows
