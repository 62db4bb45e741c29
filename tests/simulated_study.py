"""The folder of a simulated study: every table that a report reads, drawn at random around effects that are set here.

Nothing in it was measured. It has the layout of `results/STUDY/`, for any configuration, so that the report can be looked
at with effects in it and at the size of the full grid before anybody has paid for one.
"""

from itertools import product
from pathlib import Path
from unittest import mock

import yaml
from bias_inheritance.claims import frames
from bias_inheritance.claims.verdicts import evaluate
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.stats import inheritance
from bias_inheritance.study import catalog, grid
from foresee import foresee
from measure_inheritance import COLUMNS, POINTS, over_seeds
from relate_misalignment import relate_misalignment

# true change of the accuracy gap at γ = 0.50, by bias type and control
GAP = {
    "contextual-single-explicit": 0.05,
    "contextual-single-implicit": 0.12,
    "contextual-intersectional-explicit": 0.02,
    "contextual-intersectional-implicit": 0.10,
    "contrastive-explicit": 0.18,
    "contrastive-implicit": 0.04,
    "neutral": 0.06,
    "associated-050": 0.05,
    "associated-100": 0.12,
    "planted-050": 0.20,
    "planted-100": 0.40,
}
# true inheritance coefficient, and how strongly the data of a pool associate labels with a group (1: as `neutral`)
BETA = {"neutral": 0.2, "associated-050": 0.15, "associated-100": 0.15, "planted-050": 0.1, "planted-100": 0.1}
STRENGTH = {"neutral": 1.0, "associated-050": 0.7, "associated-100": 1.5, "planted-050": 0.5, "planted-100": 1.0}
LEFT = {"none": 1.0, "token": 0.7, "mask": 0.5, "loss": 0.6}  # share of the effect that a mitigation leaves
GROUPS = ("male", "female")
ASSOCIATION = (1.2, -0.5, -1.6, -0.6, 1.0, 0.5)  # Δx of each label in `neutral`, in nats
CULTURES = ("arabic", "chinese", "portuguese", "spanish")
LABELS = ("architect", "dentist", "nurse", "painter", "professor", "software engineer")


def configuration(overlay=None, **changes):
    """The default configuration under one of studies/*.yaml and `changes` of its grid."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    if overlay:
        for key, value in yaml.safe_load((ROOT / "studies" / f"{overlay}.yaml").read_text()).items():
            config[key] = {**config[key], **value} if isinstance(value, dict) else value
    config["grid"] |= changes
    return config


def write(folder, config, seed=0, datasets=0, misalignment=False):
    """Write a simulated study below `folder` and return the arguments of `report.report` for it (but for `page`).

    datasets: so many simulated culture datasets beside gender. misalignment: its tables too.
    """
    # thousands of small files that need not survive a power cut
    with mock.patch("os.fsync"):
        return _write(Path(folder), config, seed, datasets, misalignment)


def _write(folder, config, seed, datasets, misalignment):
    import numpy as np
    import pandas as pd

    stream = np.random.default_rng(seed)
    cells = grid.cells(config)
    rounds = config["rounds"]["count"]
    scores = pd.DataFrame(row for cell in cells for row in _scores(cell, stream, datasets))
    scores = scores[scores["task"].isin(config["grid"]["task"]) | scores["task"].str.startswith("simulated-")]
    if rounds > 1:
        scores["arm"] = config["rounds"]["arm"]
    files.write_csv(folder / "scores.csv", scores)
    checked = frames.checked(scores.assign(gamma=scores["gamma"].astype(float)), "simulated scores")
    files.write_csv(folder / "effects.csv", frames.effects(checked, grid.comparisons(config)))
    inherited = _inheritance(folder, cells, config, stream)
    manipulation = pd.DataFrame(_manipulation(config, stream))
    files.write_csv(folder / "manipulation.csv", manipulation)
    tables = []
    if misalignment:
        tables = _misalignment(folder / "misalignment", config, stream)
    of_claims = [frames.read_misalignment(path) for path in tables if path.stem != "projection"]
    if misalignment:
        tables += _together(folder, tables, config)
    of_claims += map(frames.read_inheritance, inherited[:1])
    everything = pd.concat([checked, *of_claims], ignore_index=True)
    verdicts = evaluate(grid.declared(config), everything, manipulation, lambda *cell: None)
    files.write_csv(folder / "claims.csv", verdicts)
    files.write_csv(folder / "pools.csv", pd.DataFrame(_pool_counts(pool, stream) for pool in grid.pools(config)))
    files.write_text(folder / "checks.csv", "check,checked,result\ncells,22 cells,all simulated\n")
    files.write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    trained = [cell for cell in cells if cell["bias"] != "untuned"]
    outputs = []
    for cell in trained:
        place = folder / "cells" / "-".join(map(str, cell.values()))
        for step, seconds, size in (("finetune", 42, 2.0), ("predict", 18, 1.7), ("score", 4, 0.3)):
            outputs += _record(
                folder, config, step, [place / f"{step}.out"], [], cell, seconds * stream.uniform(0.9, 1.2), size
            )
    first = [pool for pool in grid.pools(config) if pool["seed"] == config["grid"]["seed"][0]]
    pools, failures = [], []
    for pool in first:
        place = folder / "pools" / "-".join(map(str, pool.values()))
        samples, failed = _samples(pool, stream)
        pools.append(place / "pool.jsonl")
        failures.append(place / "failures.jsonl")
        files.write_jsonl(pools[-1], samples)
        files.write_jsonl(failures[-1], failed)
        made = [pools[-1], failures[-1]]
        outputs += _record(folder, config, "write_pool", made, [], pool, stream.uniform(60, 90), 1.5)
    _record(folder, config, "gather_scores", [folder / "scores.csv"], outputs, {}, 3.0, 0.3)
    cards = []
    for model in config["grid"]["model"]:
        cards.append(folder / "models" / f"{model}.json")
        files.write_json(
            cards[-1],
            {"model": model, "revision": "simulated", "form": "dequantised", "compute": "float32", "files": {}},
        )
    shown = [
        cell
        for cell in cells
        if cell["seed"] in (0, config["grid"]["seed"][0]) and cell["mitigation"] == "none" and cell["round"] < 2
    ][:4]
    return {
        "scores": folder / "scores.csv",
        "effects": folder / "effects.csv",
        "claims": folder / "claims.csv",
        "manipulation": folder / "manipulation.csv",
        "pools_table": folder / "pools.csv",
        "checked": folder / "checks.csv",
        "resolved": folder / "config.yaml",
        "declared": ROOT / "catalog" / "claims.yaml",
        "foreseen": _foresight(folder, inherited, config),
        "inherited": inherited,
        "quality": _quality(folder, cells, config, stream) if rounds > 1 else [],
        "misalignment": tables,
        "cards": cards,
        "pools": pools,
        "failures": failures,
        "predictions": [_predictions(folder, cell, stream) for cell in shown],
        "answered": shown,
        "settings": {
            model: {domain: grid.finetune_settings(config, model, domain) for domain in config["grid"]["domain"]}
            for model in config["grid"]["model"]
            if grid.tunable(model)
        },
        "comparisons": grid.comparisons(config),
        "looks": grid.declared(config).get("looks"),
        "sampled": first,
        "names": names(config, datasets),
    }


def _foresight(folder, inherited, config):
    outcomes = {name: catalog.claims()["outcomes"][name] for name in ("probability-gap", "congruence")}
    domains = grid.groups_of(config)
    table, points = folder / "foresight.csv", inherited[1:]
    foresee(folder / "scores.csv", points, [], table, [], outcomes, grid.comparisons(config), domains)
    return [table]


def names(config, datasets=0):
    """The catalog leaves that the report prints, as rules/report.smk hands them over."""
    grid = config["grid"]
    leaves = {axis: {name: catalog.load(axis, name) for name in grid[axis]} for axis in catalog.FOLDERS}
    if datasets:
        leaves["domain"]["simulated-culture"] = {"title": "Simulated culture", "originals": {}}
        for relation in ("direct", "indirect"):
            leaves["task"][f"simulated-{relation}"] = {
                "title": f"Simulated {relation} task",
                "kind": "classification",
                "relation": relation,
                "primary": {"metric": "macro_f1"},
            }
    return leaves


def _truth(cell):
    """The true effect of a cell on the accuracy gap: linear in γ, less under a mitigation, growing by a quarter per round."""
    growth = 1 + 0.25 * (max(cell["round"], 1) - 1)
    return GAP.get(cell["bias"], 0.0) * float(cell["gamma"]) / 0.5 * LEFT[cell["mitigation"]] * growth


def _scores(cell, stream, datasets):
    """Rows of scores.csv of one cell, in the layout of the real tasks."""
    effect, tuned = _truth(cell), cell["bias"] != "untuned"
    place = dict(cell)

    def row(task, metric, group, value, width=0.05, n=72, dataset="gender", relation="direct", **other):
        return {
            **place,
            "task": task,
            "dataset": dataset,
            "relation": relation,
            "metric": metric,
            "group": group,
            "scoring": "logprob",
            "value": value,
            "ci_low": value - width,
            "ci_high": value + width,
            "n": n,
            "n_unparsed": 0,
            "n_clusters": n // 2,
        } | other

    centre = (0.75 if tuned else 0.22) + 0.02 * float(cell["gamma"]) + stream.normal(0, 0.015)
    shift = effect + stream.normal(0, 0.02)
    right = {group: centre + shift * (0.5 - place / (len(GROUPS) - 1)) for place, group in enumerate(GROUPS)}
    gaps = {f"{GROUPS[0]}-{group}": right[GROUPS[0]] - right[group] for group in GROUPS[1:]}
    for group in GROUPS:
        yield row("occupation-classification", "accuracy", group, right[group], n=36)
    for group, value in {**gaps, "all": centre}.items():
        yield row("occupation-classification", "accuracy", group, value)
    for group, value in {**right, **gaps, "all": centre}.items():
        yield row("occupation-classification", "label_probability", group, value * 0.9)
    for metric, scale in (("accuracy", 1.0), ("label_probability", 0.9)):
        yield row("occupation-classification", metric, "worst_group", scale * min(right.values()))
        yield row("occupation-classification", metric, "largest_gap", scale * abs(shift))
    for group in ("all", *GROUPS):
        yield row("stereotype-congruence", "congruence", group, 0.6 * effect + stream.normal(0, 0.02), n=96)
    yield row("occupation-classification", "macro_f1", "all", centre - 0.02)
    yield row("occupation-classification", "rms_tpr_gap", "all", abs(shift) / 2)
    for label in LABELS:
        lean = -0.5 * effect if label == "nurse" else 0.1 * effect
        for gap in gaps:
            yield row("occupation-classification", "predicted_share", f"{label}:{gap}", lean + stream.normal(0, 0.01))
    chosen = stream.dirichlet([8 + 4 * effect] * 4 + [8 - 4 * effect] * 4)
    shares = {f"{culture}-male": chosen[i] for i, culture in enumerate(CULTURES)}
    shares |= {f"{culture}-female": chosen[4 + i] for i, culture in enumerate(CULTURES)}
    shares |= {culture: shares[f"{culture}-male"] + shares[f"{culture}-female"] for culture in CULTURES}
    shares |= {group: sum(shares[f"{culture}-{group}"] for culture in CULTURES) for group in ("male", "female")}
    shares["male-female"] = shares["male"] - shares["female"]
    for group, share in shares.items():
        yield row("hiring", "selected_share", group, share, n=12)
    position = stream.uniform(0.4, 0.9)
    yield row("hiring", "position_share", "all", position, n=12)
    yield row("hiring", "uninformative", "all", float(position > 0.75), n=12)
    log_pay = {GROUPS[0]: 11.2 + effect / 4, GROUPS[1]: 11.2 - effect / 4}
    for scoring, stem, unread in (("logprob", "log_amount", 0), ("parsed", "log_amount_written", 7)):
        suffix = "_expected" if scoring == "logprob" else ""
        for group in log_pay:
            value = log_pay[group] + stream.normal(0, 0.01)
            yield row("salary", stem + suffix, group, value, n=24, scoring=scoring, n_unparsed=unread)
        gap = effect / 2 + stream.normal(0, 0.01)
        yield row("salary", f"{stem}_gap", "-".join(log_pay), gap, n=24, scoring=scoring, n_unparsed=2 * unread)
    for number in range(datasets):
        relation = ("direct", "indirect")[number % 2]
        value = 0.6 - (effect if relation == "direct" else -effect / 3) + stream.normal(0, 0.02)
        place |= {"domain": "simulated-culture"}
        yield row(
            f"simulated-{relation}", "macro_f1", "all", value, dataset=f"corpus-{number}", relation=relation, n=500
        )


def _manipulation(config, stream):
    for model in config["grid"]["model"]:
        for bias in config["grid"]["bias"]:
            place = {"model": model, "domain": config["grid"]["domain"][0], "bias": bias}
            content = catalog.load("bias", bias)
            if content["role"] == "bias-type":
                passed = bias != "contextual-intersectional-explicit"
                for group in GROUPS:
                    rate = (0.03 if passed else 0.001) + stream.normal(0, 0.002)
                    ends = {"ci_low": rate - 0.004, "ci_high": rate + 0.004, "n": 48, "passed": passed}
                    yield {**place, "measure": "stereotype_rate", "group": group, "value": rate + 0.004, **ends}
                    yield {**place, "measure": "stereotype_rate_minus_balanced", "group": group, "value": rate, **ends}
                share = stream.uniform(0.85, 1)
                ends = {"ci_low": share - 0.05, "ci_high": share, "n": 96, "passed": passed}
                yield {**place, "measure": "requested_group_share", "group": "all", "value": share, **ends}
                wider = {"ci_low": 0.9 * share - 0.06, "ci_high": 0.9 * share + 0.05}
                everything = {"value": 0.9 * share, **wider, "n": 107, "passed": passed}
                yield {**place, "measure": "requested_group_share_unfiltered", "group": "all", **everything}
            elif "plant" in content:
                facts = {"value": content["plant"], "n": 24, "passed": True}
                yield {**place, "measure": "relabelled_share", "group": GROUPS[1], **facts}
            elif content["source"] == "generated":
                for group, share in ((GROUPS[0], 0.61), (GROUPS[1], 0.30), ("unclear", 0.09)):
                    yield {**place, "measure": "shown_share", "group": group, "value": share, "n": 96, "passed": True}
            else:
                facts = {"value": 96.0, "n": 96, "passed": True}
                yield {**place, "measure": "copied_samples", "group": "all", **facts}


def _pool_counts(pool, stream):
    generated = catalog.load("bias", pool["bias"])["source"] == "generated"
    reasons = {
        name: int(stream.integers(1, 25)) if generated else 0 for name in ("duplicate", "truncated", "wrong-group")
    }
    rejected = reasons["duplicate"] + reasons["wrong-group"]
    return {
        **pool,
        "fixture": False,
        "requested": 96 + sum(reasons.values()),
        "failed": reasons["truncated"],
        "kept": 96,
        "label_words_replaced": 140 if generated else 0,
        "mean_words": 68.5,
        "rejected": rejected,
        "samples_with_label_words": 80 if generated else 0,
        "slots": 96,
        "slots_failed": 0,
        "tokens": 12000 if generated else 0,
        **{f"reason_{name}": number for name, number in reasons.items()},
    }


def _samples(pool, stream):
    """Two kept samples per group and one rejected one; one text contains markup, as generated text may."""
    kept = []
    for number in range(4):
        group = GROUPS[number % 2]
        text = "A simulated biography, written by nobody. " * 4
        kept.append(
            {
                "id": f"{pool['bias']}-{number}",
                "text": text + ("<script>document.title = 'broken'</script>" if number == 0 else ""),
                "label": LABELS[number],
                "prompt": f"Write a biography of a {group} {LABELS[number]} & nothing else.",
                "requested_group": group,
                "group": group,
                "shown_group": group,
                "label_words_replaced": 1,
                "attempt": 0,
                "seed": int(stream.integers(2**31)),
            }
        )
    failed = [
        {**kept[0], "text": None, "raw_text": "Cut in the middle of a", "outcome": "failed", "reason": "truncated"}
    ]
    return kept, failed if catalog.load("bias", pool["bias"])["source"] == "generated" else []


def _record(folder, config, step, made, read, wildcards, seconds, gigabytes):
    """Write the record of a job and return its outputs, [{path, sha256, bytes}]; missing outputs are allowed."""

    def entry(path):
        return {"path": f"results/{config['study']}/{path.relative_to(folder)}", "sha256": "0" * 64, "bytes": 1}

    path = made[0].with_name(f"{step}{provenance.SUFFIX}")
    outputs = [entry(file) for file in made]
    record = {
        "step": step,
        "study": config["study"],
        "record": entry(path)["path"],
        "wildcards": wildcards,
        "parameters": {},
        "inputs": {"read": read},
        "outputs": {"made": outputs},
        "code": {"files": {}, "digest": "0" * 64},
        "git": {"commit": "0" * 40, "clean": True},
        "environment": {
            "python": "3.11.7",
            "packages": {"torch": "2.13.0"},
            "lock_sha256": "1" * 64,
            "container_sha256": None,
        },
        "machine": {"host": "simulated", "cpu": "Simulated CPU", "cores": 2, "gpu": None},
        "started": "2026-01-01T10:00:00.000+00:00",
        "ended": "2026-01-01T10:20:00.000+00:00",
        "seconds": round(seconds, 3),
        "peak_memory_bytes": int(gigabytes * 2**30),
    }
    files.write_json(path, provenance.sealed(record))
    return outputs


def _quality(folder, cells, config, stream):
    """quality.csv of a study with rounds, in which texts grow poorer round by round."""
    import pandas as pd

    rows = []
    for cell in cells:
        poorer = max(0, cell["round"] - 1)
        for metric, value in (
            ("distinct_2", 0.9 - 0.1 * poorer),
            ("mean_words", 70 - 8 * poorer),
            ("perplexity", 12 + 5 * poorer),
            ("duplicate_share", 0.02 + 0.03 * poorer),
        ):
            noise = 1 + stream.normal(0, 0.02)
            rows.append({**cell, "arm": config["rounds"]["arm"], "metric": metric, "value": value * noise, "n": 48})
    files.write_csv(folder / "quality.csv", pd.DataFrame(rows).assign(collapsed=None))
    return [folder / "quality.csv"]


def _misalignment(folder, config, stream):
    """The tables of the three misalignments, in the columns that their steps write."""
    import pandas as pd

    grid, tables = config["grid"], {"values": [], "groups": [], "distributions": [], "projection": []}
    largest = {"gamma": max(grid["gamma"]), "mitigation": "none", "round": 1}
    for model in grid["model"]:
        for seed in [0, *grid["seed"]]:
            place = {"model": model, "domain": grid["domain"][0], "seed": seed}
            start = {"gamma": 0.0, "mitigation": "none", "round": min(seed, 1)}
            tuned = [
                {"bias": bias, **largest, "mitigation": name} for bias in grid["bias"] for name in grid["mitigation"]
            ]
            for condition in [{"bias": "untuned", **start}] if seed == 0 else [{"bias": "original", **start}, *tuned]:
                cell = {**place, **condition}
                for culture in (*CULTURES, "all"):
                    near = (0.55 if culture in ("arabic", "chinese") else 0.65) + stream.normal(0, 0.01)
                    for metric, value in (("similarity", near), ("similarity_uniform", 0.5), ("drift", near - 0.6)):
                        measures = {
                            "dataset": "opinions-fixture",
                            "metric": metric,
                            "group": culture,
                            "value": value,
                            "n": 200,
                        }
                        tables["values"].append({**cell, **measures})
            for bias in grid["bias"] if seed else []:
                pool = {**place, "bias": bias, "gamma": None, "mitigation": None, "round": 1}
                for label in LABELS if catalog.load("bias", bias)["source"] == "generated" else []:
                    value = (0.5 if label == "architect" else 0.8) + stream.normal(0, 0.03)
                    known = 0.13 if label == "nurse" else None
                    share_row = {
                        "metric": f"{GROUPS[0]}_share",
                        "group": label.replace(" ", "-"),
                        "value": value,
                        "n": 16,
                    }
                    ps = dict.fromkeys(("p_even", "p_even_adjusted", "p_labour", "p_labour_adjusted"), 0.0123)
                    share_row |= {"ci_low": value - 0.1, "ci_high": value + 0.1}
                    tables["groups"].append({**pool, **share_row, "labour_share": known, **ps})
                    if seed == grid["seed"][0]:
                        share_row["metric"] = f"{GROUPS[0]}_share_all_seeds"
                        tables["groups"].append({**pool, **share_row, "seed": 0, "labour_share": known, **ps})
                far = 0.05 + 0.3 * (catalog.load("bias", bias)["role"] == "bias-type")
                for metric, value, null in (("mmd", far, 0.0), ("auc", 0.5 + far, 0.5), ("hidden_mmd", far / 2, 0.0)):
                    gap_row = {"metric": metric, "group": "all", "value": value + stream.normal(0, 0.01), "n": 96}
                    gap_row |= (
                        {"ci_low": None, "ci_high": None} if "mmd" in metric else {"ci_low": 0.4, "ci_high": 0.93}
                    )
                    tables["distributions"].append({**pool, **gap_row, "p": 0.01 * seed, "null": null})
                for mitigation in grid["mitigation"][1:]:
                    for metric, value in (("hidden_mmd_change", -0.1 * far), ("hidden_mean_distance_change", -0.2)):
                        change_row = {
                            "metric": metric,
                            "group": "all",
                            "value": value + stream.normal(0, 0.01),
                            "n": 96,
                        }
                        tables["distributions"].append({**pool, **largest, "mitigation": mitigation, **change_row})
                for number in range(40):
                    origin = ("original", "augmented")[number % 2]
                    x, y = stream.normal(3 * far * (origin == "augmented"), 0.5, 2)
                    dot = {"representation": "sentence", "origin": origin, "id": str(number), "x": x, "y": y}
                    tables["projection"].append({**pool, **dot})
    for name, rows in tables.items():
        files.write_csv(folder / f"{name}.csv", pd.DataFrame(rows))
    return [folder / f"{name}.csv" for name in tables]


def _inheritance(folder, cells, config, stream):
    """inheritance.csv and inheritance_points.csv: a given β plus noise."""
    import numpy as np
    import pandas as pd

    leaves = {name: catalog.load("bias", name) for name in config["grid"]["bias"]}
    baseline = grid.real_text(config) or "original"
    contrasts = [f"{GROUPS[0]}-{group}" for group in GROUPS[1:]]
    base = np.tile(np.resize(ASSOCIATION, len(LABELS))[:, None], len(contrasts))
    rows, points = [], []
    for cell in cells:
        bias = cell["bias"]
        if bias in ("untuned", "original", baseline):
            continue
        x = STRENGTH.get(bias, 0.0) * base + stream.normal(0, 0.03, base.shape)
        left = LEFT[cell["mitigation"]]
        y = left * (BETA.get(bias, 0.0) + stream.normal(0, 0.03)) * x + stream.normal(0, 0.05, base.shape)
        for number, contrast in enumerate(contrasts):
            dx, dy = x[:, number] - x[:, number].mean(), y[:, number] - y[:, number].mean()
            for label, of_data, of_model in zip(LABELS, dx, dy, strict=True):
                point = {"contrast": contrast, "label": label, "group": GROUPS[number + 1]}
                points.append({**cell, **point, "data_association": of_data, "model_association": of_model})
        single = {contrast: slice(number, number + 1) for number, contrast in enumerate(contrasts)}
        columns = {**single, "all": slice(None)} if len(contrasts) > 1 else single
        for (kind, direction), (contrast, column_slice) in product(
            inheritance.directions(leaves)[bias], columns.items()
        ):
            along = x if direction == bias else STRENGTH.get(direction, 0.0) * base
            beta, r = inheritance.slope(along[:, column_slice], y[:, column_slice])
            size = {
                "beta": beta,
                "ci_low": beta - 0.08,
                "ci_high": beta + 0.08,
                "r": r,
                "n_pairs": 72,
                "n_unparsed": 0,
                "n_seeds": 1,
            }
            strength = float(inheritance.strength(along[:, column_slice]))
            amounts = {"data_association": strength, "model_association": beta * strength, "unclear": 0.02}
            place = {"contrast": contrast, "kind": kind, "direction": direction, "baseline": baseline}
            rows.append({**cell, **place, **size, **amounts})
    table = pd.DataFrame(rows, columns=COLUMNS)
    files.write_csv(folder / "inheritance.csv", pd.concat([table, over_seeds(table)]) if rows else table)
    files.write_csv(folder / "inheritance_points.csv", pd.DataFrame(points, columns=POINTS))
    return [folder / "inheritance.csv", folder / "inheritance_points.csv"]


def _predictions(folder, cell, stream):
    """predictions/TASK.parquet of a cell: classification items, one of which contains markup, and written answers."""
    import pandas as pd

    place = folder / "cells" / "-".join(map(str, cell.values())) / "predictions"
    place.mkdir(parents=True, exist_ok=True)
    items = []
    for number in range(24):
        label, group = LABELS[number // 2 % len(LABELS)], GROUPS[number % 2]
        prompt = f"A simulated biography of {group} number {number} </script><b>bold</b> & more.\n\nOccupation:"
        items.append(
            {
                "item": f"item-{number:03d}",
                "cluster": f"twin-{number // 2}",
                "group": group,
                "label": label,
                "prompt": prompt,
            }
        )
    logprobs = [[float(value) for value in stream.normal(-3, 1, len(LABELS))] for _ in items]
    scored = [
        {**row, "options": list(LABELS), "logprobs": given, "text": None}
        for row, given in zip(items, logprobs, strict=True)
    ]
    written = [{**row, "logprobs": None, "text": f"About $ {50 + n},000 <i>a year</i>"} for n, row in enumerate(items)]
    pd.DataFrame(scored).to_parquet(place / "occupation-classification.parquet", index=False)
    pd.DataFrame(written).to_parquet(place / "salary.parquet", index=False)
    return place


def _together(folder, tables, config):
    """together.csv and correlations.csv, made as the pipeline makes them."""
    made = [folder / "misalignment" / f"{name}.csv" for name in ("together", "correlations")]
    outcomes = catalog.claims()["outcomes"]
    relate_misalignment(
        folder / "scores.csv",
        folder / "manipulation.csv",
        [path for path in tables if path.stem in ("values", "distributions")],
        *made,
        {name: outcomes[name] for name in ("harm", "salary-gap", "hiring-gap")},
        grid.types_of(config),
        grid.comparisons(config),
        grid.groups_of(config),
    )
    return made
