"""Relation of misalignment to effects: which cells are counted."""

import pandas as pd
import pytest
from null.simulated import DECLARED, ORIGINAL, manipulation, row
from relate_misalignment import relate_misalignment

TYPES = DECLARED["types"]


def test_controls_failed_types_and_uninformative_runs_are_left_out(tmp_path):
    hiring = {"task": "hiring", "metric": "selected_share"}
    rows, pools = [], []
    for seed in (1, 2):
        for metric in ("label_probability", "selected_share"):
            task = hiring if metric in hiring.values() else {"metric": metric}
            rows.append(row(ORIGINAL, seed, "male-female", 0.0, **task))
        for number, bias in enumerate([*TYPES, "neutral", "planted-100", "shifted"]):
            cell = (bias, 0.5, "none", 1)
            rows.append(row(cell, seed, "male-female", 0.1 * number, metric="label_probability"))
            rows.append(row(cell, seed, "male-female", 0.1 * number, **hiring))
            flag = float((bias, seed) == (TYPES[1], 1))
            rows.append(row(cell, seed, "all", flag, **hiring | {"metric": "uninformative"}))
            place = {"model": "m", "domain": "gender", "bias": bias, "seed": seed, "round": 1}
            pools.append({**place, "gamma": None, "mitigation": None, "metric": "mmd", "value": 0.1 * number})
    pd.DataFrame(rows).to_csv(tmp_path / "scores.csv", index=False)
    pd.DataFrame(pools).to_csv(tmp_path / "distributions.csv", index=False)
    passed = pd.concat([manipulation(*TYPES[1:]), manipulation(TYPES[0], passed=False)])
    passed.assign(domain="gender").to_csv(tmp_path / "manipulation.csv", index=False)
    relate_misalignment(
        tmp_path / "scores.csv",
        tmp_path / "manipulation.csv",
        [tmp_path / "distributions.csv"],
        tmp_path / "together.csv",
        tmp_path / "correlations.csv",
        {name: DECLARED["outcomes"][name] for name in ("harm", "hiring-gap")},
        TYPES,
        DECLARED["comparisons"],
        DECLARED["domains"],
    )
    together = pd.read_csv(tmp_path / "together.csv")
    assert set(together["effect"]) == {"augmentation"}
    assert set(together["bias"]) == set(TYPES[1:])
    judged = together[together["outcome"] == "hiring-gap"]
    assert len(judged[judged["seed"] == 1]) == 4 and len(judged[judged["seed"] == 2]) == 5
    correlations = pd.read_csv(tmp_path / "correlations.csv").set_index(["outcome", "control"])
    assert "p" not in correlations  # a t test over seeds would be sure of a chance order of these few types
    assert correlations.loc[("harm", "original"), ["rho", "n_seeds", "n_cells"]].tolist() == pytest.approx([1, 2, 5])
    assert correlations.loc[("harm", "original"), ["ci_low", "ci_high"]].isna().all()  # both seeds give 1: no variance
