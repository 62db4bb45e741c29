"""Supplementary tests, reported with a deciding test (verdict `beside`) but without influence on verdicts."""

from bias_inheritance.claims.contrasts import select, selectors_of
from bias_inheritance.claims.testing import RANK_OVER_SEEDS, RANK_TEST, SEED_TEST
from bias_inheritance.data.contrasts import contrast_name
from bias_inheritance.stats import statistics
from bias_inheritance.study.declarations import ROUNDS_NEEDED


def beside(test, predictions):
    """Rows of the supplementary tests: t over seeds of a correlation; mixed model or binomial test, GEE, McNemar."""
    if test["test"] not in (SEED_TEST, RANK_TEST) or test["lacks"]:
        return []
    if test["test"] == RANK_TEST:
        rows = correlation_interval(test)
    else:
        rows = binomial_rows(test) if "against" in test["spec"] else mixed_model_rows(test)
        rows += item_level(test, predictions)
    return [row | {"claim": test["claim"], "metric": test["metric"], "verdict": "beside"} for row in rows]


def correlation_interval(test):
    """The t interval of a correlation over seeds: its stability for these bias types."""
    result = statistics.seed_test(test["data"]["values"].to_numpy(), test["declared"]["alpha"])
    reason = "Supplementary: stability of the order of these bias types; not evidence about other types."
    size = {"n_seeds": test["n_seeds"], "n_items": test["n_items"]}
    return [result | size | {"contrast": test["contrast"], "test": RANK_OVER_SEEDS, "reason": reason}]


def mixed_model_rows(test):
    """The mixed model over all runs of this outcome, fitted once for all contrasts of a study with the same seeds."""
    runs, seeds, fits = test["data"]["runs"], test["data"]["values"].index, test["study"]["fits"]
    key = (test["metric"], tuple(sorted(runs["round"].unique())), tuple(seeds))
    if key not in fits:
        fits[key] = statistics.mixed_model(runs[runs["seed"].isin(seeds)])
    estimate = statistics.cell_contrast(fits[key], test["data"]["weights"])
    reason = "Supplementary: seed and seed x bias components over the whole grid; anticonservative with few seeds."
    size = {"n_seeds": test["n_seeds"], "n_items": test["n_items"]}
    return (
        [estimate | size | {"contrast": test["contrast"], "test": "mixed model", "reason": reason}] if estimate else []
    )


def binomial_rows(test):
    """Exact binomial test of each seed's share against the declared one; the items are the pool's samples."""
    rows, share = [], test["spec"]["against"]
    runs = test["data"]["runs"]
    for _, run in runs[runs["cell"].isin(list(test["data"]["weights"]))].iterrows():
        result = statistics.binomial_share(round(run["value"] * run["read"]), int(run["read"]), share)
        shifted = {key: result[key] - share for key in ("estimate", "ci_low", "ci_high")}
        reason = "Supplementary: applies to the samples of this pool only."
        row = {
            "contrast": f"{test['contrast']}: seed {run['seed']}",
            "test": "exact binomial",
            "n_seeds": 1,
            "n_items": result["n"],
            "reason": reason,
        }
        rows.append(row | shifted | {"p": result["p"]})
    return rows


def item_level(test, predictions):
    """GEE over items (from 20 seeds on), and an exact McNemar test per seed between two pools, one group, largest γ."""
    spec, study, weights = test["spec"], test["study"], test["data"]["weights"]
    selectors = selectors_of(spec["outcome"], spec, test["declared"])
    if "minus" in spec or len(selectors) > 1 or selectors[0]["metric"] != "accuracy" or len(selectors[0]["group"]) > 1:
        return []
    scored = select(study["scores"], selectors[0])
    if len(scored[["domain", "task"]].drop_duplicates()) > 1:
        return []
    rows, group, domain, task = [], selectors[0]["group"][0], scored["domain"].iloc[0], scored["task"].iloc[0]
    pairs = {
        contrast_name(*pair): tuple(pair) for pair in test["declared"]["domains"].get(domain, {}).get("contrasts", [])
    }
    sides = pairs.get(group)

    def items_of(cell, seed):
        bias, gamma, mitigation, number = cell
        return predictions(study["model"], domain, bias, gamma, mitigation, seed, number, task)

    if test["n_seeds"] >= statistics.SEEDS_FOR_GEE:
        rows += gee_rows(test, items_of, sides or (group,))
    largest = {cell[0]: cell for cell in sorted(weights, key=lambda cell: cell[1])}  # each pool's cell of the largest γ
    if not sides and len(largest) == 2 and spec["over"] not in ROUNDS_NEEDED:
        pair = sorted(largest.values(), key=lambda cell: -weights[cell])
        name = f"{pair[0][0]} minus {pair[1][0]} at gamma {max(cell[1] for cell in pair):.2f}"
        for seed in test["data"]["values"].index:
            both = [items_of(side, seed) for side in pair]
            if any(items is None for items in both):
                continue
            first, second = (items[items["group"] == group].set_index("item")["correct"].astype(bool) for items in both)
            shared = first.index.intersection(second.index)
            result = statistics.mcnemar_exact(first[shared], second[shared])
            contrast = f"{test['contrast']}: {name}, seed {seed}"
            reason = "Supplementary: applies to the items of this run only."
            size = {"n_seeds": 1, "n_items": result.pop("n")}
            rows.append(result | size | {"contrast": contrast, "test": "exact McNemar", "reason": reason})
    return rows


def gee_rows(test, items_of, sides):
    """The GEE row of a contrast of accuracies, [] if predictions of a run are missing. sides: one group, or the reference
    and the compared group."""
    import pandas as pd

    signs = dict(zip(sides, (1.0, -1.0)[: len(sides)], strict=True))
    runs, weights = [], {}
    for cell, weight in test["data"]["weights"].items():
        for seed in test["data"]["values"].index:
            items = items_of(cell, seed)
            if items is None:
                return []
            items = items[items["group"].isin(signs)] if sides != ("all",) else items.assign(group="all")
            named = [(*cell, name) for name in items["group"]]
            runs.append(pd.DataFrame({"seed": seed, "cell": named, "correct": items["correct"].astype(bool)}))
        weights |= {(*cell, name): weight * sign for name, sign in signs.items()}
    estimate = statistics.cell_contrast(statistics.gee(pd.concat(runs, ignore_index=True)), weights)
    reason = "Supplementary: all items, robust to correlation within a seed."
    size = {"n_seeds": test["n_seeds"], "n_items": test["n_items"]}
    return [estimate | size | {"contrast": test["contrast"], "test": "GEE", "reason": reason}] if estimate else []
