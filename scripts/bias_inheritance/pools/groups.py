"""Shares of the groups that a pool's texts show, per label, with exact binomial tests."""

import csv

from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.stats import statistics


def known_shares(table, group, groups, labels):
    """{label: real-world share of a group} for the labels listed in a table of percentages; {} without a table.

    table: {file, label (name of the label column), percent: {group: column}}, as in a domain's file. A single group
    without a column gets the remainder to 100%. The file is tab-separated.
    """
    if not table or (group not in table["percent"] and len(groups) - len(table["percent"]) > 1):
        return {}
    columns, shares = table["percent"], {}
    with open(ROOT / table["file"], encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if group in columns:
                shares[row[table["label"]]] = float(row[columns[group]]) / 100
            else:
                shares[row[table["label"]]] = 1 - sum(float(row[column]) for column in columns.values()) / 100
    return {label: shares[label] for label in labels if label in shares}


def shares(samples, labels, group, groups, known):
    """One dict per label, `all` last: the share of a group among samples with a clear group, with tests.

    samples: dicts with label and shown_group (None: unclear). groups: all groups of the domain. known: {label: real-world
    share of the group}. p values against an even split (1/G) and against `known` are exact binomial, Holm-adjusted over
    labels.
    """
    rows = []
    for label in [*labels, "all"]:
        of_label = [sample for sample in samples if label in (sample["label"], "all")]
        hits = sum(sample["shown_group"] == group for sample in of_label)
        clear = sum(sample["shown_group"] in groups for sample in of_label)
        even = statistics.binomial_share(hits, clear, 1 / len(groups))
        share = known.get(label)
        worked = statistics.binomial_share(hits, clear, share)["p"] if share is not None else float("nan")
        rows.append(
            {
                "label": label,
                "value": even["estimate"],
                "ci_low": even["ci_low"],
                "ci_high": even["ci_high"],
                "n": clear,
                "n_unclear": len(of_label) - clear,
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
        # `all` is a separate test, outside the family of labels
        rows[-1][f"{source}_adjusted"] = rows[-1][source]
    return rows


def asked_share(samples, labels):
    """One dict per label, `all` last: the share of samples with a clear group that show the requested group, with its
    Clopper-Pearson interval."""
    rows = []
    for label in [*labels, "all"]:
        of_label = [sample for sample in samples if label in (sample["label"], "all")]
        clear = [sample for sample in of_label if sample["shown_group"]]
        hits = sum(sample["shown_group"] == sample["requested_group"] for sample in clear)
        share = statistics.binomial_share(hits, len(clear), 0.5)
        rows.append(
            {
                "label": label,
                "value": share["estimate"],
                "ci_low": share["ci_low"],
                "ci_high": share["ci_high"],
                "n": len(clear),
                "n_unclear": len(of_label) - len(clear),
            }
        )
    return rows
