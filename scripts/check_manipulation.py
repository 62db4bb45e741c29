"""The manipulation check: does each pool have the bias that its type declares? Types that fail get no verdict."""

from collections import Counter
from importlib import import_module

from bias_inheritance.data import contrasts, cues
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Inputs, Output
from bias_inheritance.pools.slots import associated_groups, associated_shares
from bias_inheritance.tasks import metrics

# ASSUME: default for domains without `manipulation`: minimum share of samples that show the requested group
MANIPULATION = {"requested_group_share": 0.7}
COLUMNS = [
    "model",
    "domain",
    "fixture",
    "bias",
    "measure",
    "group",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "passed",
]


def check_manipulation(
    pools: Inputs,
    counts: Inputs,
    manipulation: Output,
    table: Output,
    cells: list,
    domains: dict,
    biases: dict,
    replicates: int,
):
    """Write manipulation.csv (per model, domain, bias type: measure, group, value, interval, n, passed) and pools.csv.

    Pools whose prompts name no group: `shown_share`, the share of samples of each group. Bias types: `stereotype_rate` by
    requested group, its difference from the baseline that names groups in the same way (same requested group, same words),
    and the share of samples that show the requested group, among those kept and among all readable ones; the difference
    and the latter share decide. Without its baseline in the grid `passed` is empty (not checked), unless the share is too
    low. For baselines only the share decides. In a domain without cues no text shows a group: there is a row `no_cues`,
    and the share does not decide. `associated-…`: the share of samples in their label's group; `planted-…`: the share of
    relabelled samples.
    cells: wildcards of each pool, in order. Bootstrap over samples within label.
    """
    import pandas as pd

    samples, rejected, contents = {}, {}, [files.read_json(count) for count in counts]
    for cell, path, content in zip(cells, pools, contents, strict=True):
        place = (cell["model"], cell["domain"], cell["bias"])
        samples.setdefault(place, []).extend(files.read_jsonl(path))
        rejected[place] = rejected.get(place, 0) + content["reasons"].get("wrong-group", 0)
    rows = []
    for (model, domain_name, name), pool in samples.items():
        domain, bias = domains[domain_name], biases[name]
        named = {other for other in biases if biases[other]["role"] == "baseline"}
        named = {other for other in named if biases[other]["names_groups"] == bias.get("names_groups")}
        baseline = [sample for other in sorted(named) for sample in samples.get((model, domain_name, other), [])]
        measures = measure(pool, rejected[model, domain_name, name], baseline, bias, domain, replicates)
        rows += [
            {"model": model, "domain": domain_name, "fixture": domain["fixture"], "bias": name, **row}
            for row in measures
        ]
    files.write_csv(
        manipulation,
        pd.DataFrame(rows, columns=COLUMNS),
    )
    records = []
    for cell, content in zip(cells, contents, strict=True):
        counters = [
            (f"{kind}_{name}", count)
            for kind, counts in (("reason", content.pop("reasons")), ("cut", content.pop("cuts")))
            for name, count in sorted(counts.items())
        ]
        place = {**cell, "fixture": domains[cell["domain"]]["fixture"]}
        records.append({**place, **content, **dict(counters)})
    files.write_csv(table, pd.DataFrame(records))


def measure(pool, rejected, baseline, bias, domain, replicates):
    """Rows {measure, group, value, ci_low, ci_high, n, passed} of one bias type; `passed` is the type's verdict.

    rejected: number of readable texts that were rejected for showing a group other than the requested one.
    """
    if bias["source"] in ("originals", "reserve"):
        return _copied(pool, bias, domain)
    from statsmodels.stats.proportion import proportion_confint

    family = import_module(f"bias_inheritance.data.{domain['family']}")
    if "names_groups" not in bias:
        # `group` is the group that a generated text shows, or that a file's column gives
        shares = Counter("unclear" if sample["group"] is None else sample["group"] for sample in pool)
        return [
            {
                "measure": "shown_share",
                "group": group,
                "value": shares[group] / max(1, len(pool)),
                "n": len(pool),
                "passed": True,
            }
            for group in [*domain["groups"], "unclear"]
        ]
    # without its baseline, slant cannot be separated from words that occur in any text about the group: not checked
    slanted = bias["role"] == "bias-type"
    rows, shown = [], True if baseline or not slanted else None
    for group in domain["groups"]:
        requested, of_baseline = (
            [sample for sample in side if sample["requested_group"] == group] for side in (pool, baseline)
        )
        rates = _rates(requested, group, domain, family)
        rows.append({"measure": "stereotype_rate", "group": group, **_mean(rates, requested, replicates)})
        if baseline and slanted:
            difference = _difference(
                rates, requested, _rates(of_baseline, group, domain, family), of_baseline, replicates
            )
            rows.append({"measure": "stereotype_rate_minus_balanced", "group": group, **difference})
            shown = shown and difference["ci_low"] is not None and difference["ci_low"] > 0
    if not cues.has_cues(domain["groups"]):
        rows.append({"measure": "no_cues", "group": "all", "value": float(len(pool)), "n": len(pool)})
        return [{**row, "passed": shown} for row in rows]
    agree = [float(sample["shown_group"] == sample["requested_group"]) for sample in pool]
    rows.append({"measure": "requested_group_share", "group": "all", **_mean(agree, pool, replicates)})
    # include texts rejected for their group; otherwise the filter would make the check pass
    requested = len(pool) + rejected
    unfiltered = sum(agree) / requested if requested else 0.0
    low, high = proportion_confint(sum(agree), requested, method="wilson") if requested else (None, None)
    measured = {"value": unfiltered, "ci_low": low, "ci_high": high, "n": requested}
    rows.append({"measure": "requested_group_share_unfiltered", "group": "all", **measured})
    passed = shown if unfiltered >= domain.get("manipulation", MANIPULATION)["requested_group_share"] else False
    return [{**row, "passed": passed} for row in rows]


def _copied(pool, bias, domain):
    # one pool per seed; each deviates from the group shares by less than one sample, from the relabelled share by less
    # than two
    pools = len({sample["id"].rpartition("-")[0] for sample in pool})
    if "associate" in bias:
        return [_associated(pool, pools, bias, domain)]
    if "plant" in bias:
        return [_relabelled(pool, pools, group, bias) for group in contrasts.compared_groups(domain)]
    return [
        {"measure": "copied_samples", "group": "all", "value": float(len(pool)), "n": len(pool), "passed": bool(pool)}
    ]


def _relabelled(pool, pools, group, bias):
    compared = [sample for sample in pool if sample["group"] == group]
    planted = sum("true_label" in sample for sample in compared)
    return {
        "measure": "relabelled_share",
        "group": group,
        "value": planted / max(1, len(compared)),
        "n": len(compared),
        "passed": abs(planted - bias["plant"] * len(compared)) < 2 * pools,
    }


def _associated(pool, pools, bias, domain):
    """The share of samples in their label's associated group; passed if it matches the declared share for every label."""
    shares = associated_shares(bias, domain)
    kinds = Counter((sample["label"], sample["group"]) for sample in pool)
    of_label = Counter(sample["label"] for sample in pool)
    return {
        "measure": "associated_share",
        "group": "all",
        "value": sum(kinds[label, group] for label, group in associated_groups(domain).items()) / max(1, len(pool)),
        "n": len(pool),
        "passed": bool(pool)
        and all(
            abs(kinds[label, group] - share * of_label[label]) < pools
            for label, given in shares.items()
            for group, share in given.items()
        ),
    }


def _rates(samples, group, domain, family):
    """Stereotype words about `group` per word of each sample."""
    return [family.slant(sample, group, domain) for sample in samples]


def _mean(values, samples, replicates):
    import numpy as np

    if not samples:
        return {"value": None, "ci_low": None, "ci_high": None, "n": 0}
    values = np.array(values)
    low, high = metrics.interval(_draws(values, samples, replicates))
    return {"value": values.mean(), "ci_low": low, "ci_high": high, "n": len(values)}


def _difference(values, samples, other, baseline, replicates):
    import numpy as np

    if not samples or not baseline:
        return {"value": None, "ci_low": None, "ci_high": None, "n": len(samples)}
    low, high = metrics.interval(
        _draws(np.array(values), samples, replicates) - _draws(np.array(other), baseline, replicates, "baseline")
    )
    return {"value": np.mean(values) - np.mean(other), "ci_low": low, "ci_high": high, "n": len(samples)}


def _draws(values, samples, replicates, part="own"):
    import numpy as np

    weights = metrics.resamples(
        [sample["id"] for sample in samples],
        [sample["label"] for sample in samples],
        replicates,
        record_seed("manipulation", part),
    )
    return metrics.weighted_mean(values, weights, np.ones(len(values), dtype=bool))


if __name__ == "__main__":
    step.run(check_manipulation)
