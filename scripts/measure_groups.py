"""Misalignment of groups: which groups the generated texts are about, per label."""

from importlib import import_module

from bias_inheritance.data import contrasts, texts
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Inputs, Output
from bias_inheritance.pools import gate, groups

PLACE = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]
COLUMNS = [*PLACE, "metric", "group", "value", "ci_low", "ci_high", "n", "n_unclear"]
COLUMNS += ["p_even", "p_even_adjusted", "labour_share", "p_labour", "p_labour_adjusted"]


def measure_groups(written: Inputs, failures: Inputs, table: Output, places: list, domains: dict):
    """Write groups.csv: per generated pool and label (group; blanks as hyphens, `all` for all labels).

    - GROUP_share, such as nigerian_share: the share of a group among kept texts whose group is clear; of two groups that of
      the reference, which says all.
    - asked_share, of bias types that ask for a group: the share that shows it, among kept texts and those rejected for
      showing another.
    - …_all_seeds (seed 0): the same over the pools of all seeds of round 1, which one untuned model wrote.
    written: the pools; failures: what was rejected; places: their wildcards, in the same order.
    """
    import pandas as pd

    rows, over_seeds = [], {}
    for place, path, lost in zip(places, written, failures, strict=True):
        domain = domains[place["domain"]]
        kept, wrong = files.read_jsonl(path), wrong_groups(files.read_jsonl(lost), domain)
        rows += measured(place, kept, wrong, domain, "")
        if place["round"] == 1:
            both = over_seeds.setdefault((place["model"], place["domain"], place["bias"]), ([], []))
            both[0].extend(kept)
            both[1].extend(wrong)
    for (model, name, bias), (kept, wrong) in over_seeds.items():
        place = {"model": model, "domain": name, "bias": bias, "seed": 0, "round": 1}
        rows += measured(place, kept, wrong, domains[name], "_all_seeds")
    files.write_csv(table, pd.DataFrame(rows, columns=COLUMNS))


def wrong_groups(failures, domain):
    """The rejected texts that show another group than the one asked for, with the group that they show."""
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    found = []
    for record in failures:
        if record["reason"] == "wrong-group":
            text = texts.whole_sentences(gate.passed(record["raw_text"]).text, True)
            found.append({**record, "shown_group": family.shown_group(text, domain)})
    return found


def measured(place, kept, wrong, domain, suffix):
    """Rows of one pool, or of the pools of all seeds."""
    labels, all_groups = contrasts.labels(domain), list(domain["groups"])
    tables = {}
    # a step gets its parameters sorted: which of two groups is meant is told by the contrast and not by their order
    if len(all_groups) == 2:
        measured_groups = [next(side for side in contrasts.contrasts(domain)[0] if side in all_groups)]
    else:
        measured_groups = all_groups
    for group in measured_groups:
        known = groups.known_shares(domain.get("world"), group, all_groups, labels)
        tables[f"{group}_share"] = groups.shares(kept, labels, group, all_groups, known)
    if any(sample["asked_group"] for sample in kept + wrong):
        tables["asked_share"] = groups.asked_share(kept + wrong, labels)
    return [
        {**place, "metric": metric + suffix, "group": row.pop("label").replace(" ", "-"), **row}
        for metric, shares in tables.items()
        for row in shares
    ]


if __name__ == "__main__":
    step.run(measure_groups)
