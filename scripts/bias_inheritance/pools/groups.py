"""Which groups a pool's texts show, per label, and exact tests of it."""

import csv

from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.stats import statistics


def labour_shares(labels):
    """{label: share of men among US workers, 2015/16} for the labels that the labour statistics list.

    Source: Bureau of Labor Statistics, as in Rudinger et al. (2018); see resources/occupations/LICENSE.
    """
    with open(ROOT / "resources/occupations/occupations-stats.tsv", encoding="utf-8", newline="") as file:
        listed = {row["occupation"]: float(row["bls_pct_female"]) for row in csv.DictReader(file, delimiter="\t")}
    return {label: 1 - listed[label] / 100 for label in labels if label in listed}


def shares(samples, labels, reference, compared, labour):
    """One dict per label, `all` last: the share of the reference group among samples whose group is clear, and tests.

    samples: dicts with label and shown_group (None: unclear). labour: {label: share of the reference group among
    workers}. p against an even split and against labour are exact binomial, Holm-adjusted over labels.
    """
    rows = []
    for label in [*labels, "all"]:
        own = [sample for sample in samples if label in (sample["label"], "all")]
        hits = sum(sample["shown_group"] == reference for sample in own)
        clear = hits + sum(sample["shown_group"] == compared for sample in own)
        even = statistics.binomial_share(hits, clear, 0.5)
        share = labour.get(label)
        worked = statistics.binomial_share(hits, clear, share)["p"] if share is not None else float("nan")
        rows.append(
            {
                "label": label,
                "value": even["estimate"],
                "ci_low": even["ci_low"],
                "ci_high": even["ci_high"],
                "n": clear,
                "n_unclear": len(own) - clear,
                "p_even": even["p"],
                "labour_share": share,
                "p_labour": worked,
            }
        )
    of_labels = rows[:-1]
    for source in ("p_even", "p_labour"):
        adjusted = statistics.holm([row[source] for row in of_labels])
        for row, value in zip(of_labels, adjusted, strict=True):
            row[f"{source}_adjusted"] = float(value)
        # `all` is one test of its own, outside the family of labels
        rows[-1][f"{source}_adjusted"] = rows[-1][source]
    return rows


def asked_share(samples, labels):
    """One dict per label, `all` last: the share of samples with a clear group that show the one asked for, exact interval."""
    rows = []
    for label in [*labels, "all"]:
        own = [sample for sample in samples if label in (sample["label"], "all")]
        clear = [sample for sample in own if sample["shown_group"]]
        hits = sum(sample["shown_group"] == sample["asked_group"] for sample in clear)
        found = statistics.binomial_share(hits, len(clear), 0.5)
        rows.append(
            {
                "label": label,
                "value": found["estimate"],
                "ci_low": found["ci_low"],
                "ci_high": found["ci_high"],
                "n": len(clear),
                "n_unclear": len(own) - len(clear),
            }
        )
    return rows
