"""Looks planned before a run: levels of the tests, what a look decides, and which cells the next one still needs."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.claims import frames, looks, reading, verdicts
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.stats import sequential, statistics
from bias_inheritance.study import catalog, checks, configuration, grid
from bias_inheritance.study import looks as planning
from bias_inheritance.tools import costs as tools_costs
from bias_inheritance.tools.trace import claim_scores
from null.simulated import manipulation, no_predictions, row

SEEDS = (3, 5, 8, 12)
DESIGN = {"seeds": [3, 5, 8], "spending": "pocock"}


@pytest.mark.parametrize("spending", sequential.SPENDING)
@pytest.mark.parametrize("sides", [1, 2])
def test_each_look_spends_what_its_share_of_the_seeds_allows(spending, sides):
    values = np.random.default_rng(0).standard_normal((SEEDS[-1], 400_000))
    alpha, rejected = 0.05, np.zeros(values.shape[1], dtype=bool)
    for look, seeds in enumerate(SEEDS, start=1):
        r = values[:seeds].sum(0) / np.sqrt((values[:seeds] ** 2).sum(0))
        t = r * np.sqrt((seeds - 1) / (seeds - r**2))
        p = statistics_p(t, seeds, sides)
        rejected |= p < sequential.level(alpha, look, SEEDS, spending, sides)
        spent = sides * sequential.SPENDING[spending](alpha / sides, seeds / SEEDS[-1])
        assert rejected.mean() == pytest.approx(spent, rel=0.03, abs=1.5e-4)


def statistics_p(t, seeds, sides):
    from scipy.special import stdtr

    return 2 * stdtr(seeds - 1, -abs(t)) if sides == 2 else stdtr(seeds - 1, -t)


def test_with_many_seeds_the_levels_are_the_published_ones_of_normal_statistics():
    """Four equal steps, one-sided 0.025: the bounds 4.333, 2.963, 2.359, 2.014 that gsDesign's manual gives for sfLDOF."""
    steps = (15, 30, 45, 60)
    levels = [sequential.level(0.05, look, steps, "obrien-fleming") for look in (1, 2, 3, 4)]
    assert levels == pytest.approx([1.47e-5, 3.05e-3, 1.83e-2, 4.40e-2], rel=0.06)


def test_one_look_is_the_plain_test_and_overall_p_inverts_the_level():
    for alpha in (0.001, 0.05, 0.4):
        assert sequential.level(alpha, 1, (5,), "pocock") == pytest.approx(alpha, rel=1e-3)
        for look in (1, 2, 3, 4):
            level = sequential.level(alpha, look, SEEDS, "pocock")
            assert sequential.overall_p(level, look, SEEDS, "pocock") == pytest.approx(alpha, rel=1e-6)
    assert np.isnan(sequential.overall_p(float("nan"), 1, SEEDS, "pocock"))
    assert sequential.overall_p(0.0, 1, SEEDS, "pocock") == pytest.approx(sequential.SMALLEST)


def test_more_seeds_at_a_large_effect_are_saved():
    few, all_ = (sequential.stopping(2.0, None, seeds, "pocock", studies=2000) for seeds in (SEEDS, SEEDS[-1:]))
    assert few["seeds"] < 7 and all_["seeds"] == 12
    assert few["found"] > 0.98


# ---- a study, look by look -------------------------------------------------------------------------------------------

CELLS = [("original", 0.0, "none", 1), ("contrastive-explicit", 0.5, "none", 1), ("balanced", 0.5, "none", 1)]


def scores(seeds, effect=0.2, tail=0.0, cells=CELLS, noise=0.002):
    """A study in which the type moves label probability of the groups apart: by `effect` in the first three seeds."""
    stream, rows = np.random.default_rng(1), []
    for seed in range(1, seeds + 1):
        for cell in CELLS:
            size = effect if seed <= 3 else tail
            shift = np.array([size, -size]) / 2 * (cell[0] == "contrastive-explicit")
            shift += stream.normal(0, noise, 2)
            if cell not in cells and seed > 3:
                continue
            for metric in ("accuracy", "label_probability"):
                male, female = 0.6 + shift
                values = {"male": male, "female": female, "male-female": male - female, "all": (male + female) / 2}
                rows += [row(cell, seed, group, value, metric=metric) for group, value in values.items()]
    return frames.checked(pd.DataFrame(rows), "simulated")


def declared(look=None):
    grid_ = {"domain": ["gender"], "mitigation": ["none"], "bias": ["contrastive-explicit", "balanced"]}
    study = {"grid": grid_, "rounds": {"count": 1}}
    if look:
        study["looks"] = DESIGN | {"look": look, "decided": []}
    return grid.declared(study)


def evaluate(look, seeds, earlier=None, **given):
    plan, checked = declared(look), manipulation("contrastive-explicit")
    return verdicts.evaluate(plan, scores(seeds, **given), checked, no_predictions, earlier)


def closed(look, table, tmp_path):
    """The file of a look as a later one reads it."""
    table.to_csv(tmp_path / "claims.csv", index=False)
    table = pd.read_csv(tmp_path / "claims.csv")
    joined = reading.joined_with_declarations(table, declared(look))
    return json.loads(json.dumps(looks.closed(declared(look), joined, "0"), allow_nan=False))


def test_what_a_look_decided_stays_decided_row_by_row(tmp_path):
    first = evaluate(1, 3)
    decided = first[first["verdict"].isin(looks.DECIDED)]
    assert len(decided) and (decided["look"] == 1).all()
    assert (decided["p"] < decided["boundary"]).sum() or (decided["tost_overall"] < 0.05).all()
    file = closed(1, first, tmp_path)

    # the effect is gone in the later seeds, and the cells of the type no longer run
    second = evaluate(2, 5, file, tail=0.0, cells=CELLS[::2])
    key = ["claim", "contrast", "test"]
    before, after = (table[table["verdict"] != "beside"].set_index(key) for table in (first, second))
    kept = after[after["look"] == 1]
    assert set(kept.index) >= set(decided.set_index(key).index)
    parts = kept.index[kept.index.get_level_values("test") != "all parts"]
    pd.testing.assert_frame_equal(kept.loc[parts], before.loc[parts], check_dtype=False)


def noisy(look, seeds, earlier=None, changed=(), passed=True, **values):
    """claims.csv of a look at a study without a clear effect; `changed` seeds have other `values` in rows of the type's
    label probability."""
    table, checked = scores(seeds, noise=0.2), manipulation("contrastive-explicit").assign(passed=passed)
    of_type = (table["bias"] == "contrastive-explicit") & (table["metric"] == "label_probability")
    table.loc[of_type & table["seed"].isin(changed), list(values)] = list(values.values())
    return verdicts.evaluate(declared(look), table, checked, no_predictions, earlier)


def test_a_row_that_cannot_be_tested_with_further_seeds_either_is_closed_with_its_reason(tmp_path):
    first = noisy(1, 3, changed=[2], n_unparsed=30)
    rows = first[first["reason"].str.contains("answers are unreadable") & (first["test"] != "all parts")]
    assert len(rows) and (rows["look"] == 1).all() and (rows["verdict"] == "not tested").all()
    assert first[first["verdict"] == "inconclusive"]["look"].isna().all()

    file = closed(1, first, tmp_path)
    decided = {(claim, name) for claim, name, _ in file["decided"]}
    assert ("C1", "slant widens the label probability gap {contrast}") in decided
    # the study has a single bias type, so this contrast has no row
    assert ("C1", "slant widens the label probability gap {contrast}: {biases}") in decided
    assert ("C1", "accuracy gap {contrast} widens with gamma") not in decided

    unchecked = noisy(1, 3, passed=None)
    assert (unchecked[unchecked["reason"].str.startswith("Manipulation not checked")]["look"] == 1).any()

    # the row is kept even if its scores were readable at the next look
    second, key = noisy(2, 5, file), ["claim", "contrast", "test"]
    kept = second.set_index(key).loc[rows.set_index(key).index]
    pd.testing.assert_frame_equal(kept, rows.set_index(key), check_dtype=False)


def test_a_decision_stands_although_a_type_fails_its_manipulation_check_at_a_later_look(tmp_path):
    """Rows over types name the type if only one of them passes, and other rows fall out with it."""
    first = evaluate(1, 3)
    decided = first[(first["look"] == 1) & (first["test"] == "paired t over seeds")]
    assert decided["contrast"].str.endswith(" (contrastive-explicit)").any()
    failed = manipulation("contrastive-explicit", passed=False)
    second = verdicts.evaluate(declared(2), scores(5), failed, no_predictions, closed(1, first, tmp_path))
    key = ["claim", "contrast", "test"]
    kept = second.set_index(key).loc[decided.set_index(key).index]
    pd.testing.assert_frame_equal(kept, decided.set_index(key), check_dtype=False)
    assert not second[second["verdict"] != "beside"].duplicated(["claim", "contrast"]).any()


@pytest.mark.parametrize(
    ("study", "reason"),
    [({"changed": [1, 2, 3], "value": np.nan}, "No seed has all"), ({"passed": False}, "Manipulation failed")],
)
def test_a_row_that_further_seeds_may_test_stays_open(study, reason):
    table = noisy(1, 3, **study)
    rows = table[table["reason"].str.contains(reason) & (table["test"] != "all parts")]
    assert len(rows) and rows["look"].isna().all() and (rows["verdict"] == "not tested").all()


class Lineage(dict):
    """Makers of a study's files: every score file has one."""

    def __contains__(self, name):
        return True


def test_a_row_decided_at_an_earlier_look_is_traced_to_the_seeds_of_that_look(tmp_path):
    first = evaluate(1, 3)
    evaluate(2, 5, closed(1, first, tmp_path)).to_csv(tmp_path / "claims.csv", index=False)
    scores(5).to_csv(tmp_path / "scores.csv", index=False)
    manipulation("contrastive-explicit").to_csv(tmp_path / "manipulation.csv", index=False)
    record = {
        "parameters": {"declared": declared(2), "cells": [{"bias": "original", "seed": seed} for seed in range(1, 6)]},
        "inputs": {kind: [{"path": f"{kind}.csv"}] for kind in ("scores", "manipulation")},
    }
    study = SimpleNamespace(name="results/s", makers=Lineage(claims=record), path=lambda name: tmp_path / name)
    rows = pd.read_csv(tmp_path / "claims.csv", dtype={"look": str}, keep_default_na=False).to_dict("records")
    decided = next(row for row in rows if row["look"] == "1" and row["test"] == "paired t over seeds")
    seeds = [
        {name.split("/seed-")[1].split("/")[0] for name in claim_scores(study, "claims", row)[0]}
        for row in (decided, decided | {"look": "2"})
    ]
    assert seeds == [set("123"), set("12345")]


def test_an_open_row_keeps_its_lowest_overall_p_and_says_which_look_it_is(tmp_path):
    first = evaluate(1, 3, effect=0.02, noise=0.02)
    second = evaluate(2, 5, closed(1, first, tmp_path), effect=0.02, tail=0.02, noise=0.02)
    key = ["claim", "contrast", "test"]
    first, second = (table[table["p_overall"].notna()].set_index(key) for table in (first, second))
    open_ = first.index[first["verdict"] == "inconclusive"]
    assert len(open_)
    assert (second["p_overall"][open_] <= first["p_overall"][open_]).all()
    assert second["reason"][open_].str.contains("Look 2 of 3: p .* against a boundary of").all()
    assert first["look"][open_].isna().all()


def test_the_interval_at_a_look_is_wider_than_without_looks():
    key = ["claim", "contrast"]
    plain, look = (
        table[table["test"] == "paired t over seeds"].set_index(key)
        for table in (
            verdicts.evaluate(declared(), scores(3), manipulation("contrastive-explicit"), no_predictions),
            evaluate(1, 3),
        )
    )
    assert "look" not in plain and list(plain.columns) == [name for name in verdicts.COLUMNS if name not in key]
    assert (plain["p"].dropna() == look["p"].dropna()).all()
    plain, look = (table.dropna(subset=["p"]) for table in (plain, look))
    assert (look["ci_high"] - look["ci_low"] > plain["ci_high"] - plain["ci_low"]).all()


# ---- the plan --------------------------------------------------------------------------------------------------------


def study(**changes):
    config, _ = configuration.read()
    config["grid"] |= {"seed": [11, 12, 13, 14, 15, 16, 17, 18]} | changes
    return config | {"looks": DESIGN}


def close(results, look, decided, **design):
    (results / "looks").mkdir(parents=True, exist_ok=True)
    content = {"look": look, "decided": decided, "planned": planning.planned_digest(study(), look)}
    content = DESIGN | content | design
    (results / "looks" / f"{look}.json").write_text(json.dumps(content))


def every_contrast(look):
    return [[*key, look] for key in grid.contrast_readings(study())]


def seeds_of(config, bias):
    return sorted({cell["seed"] for cell in grid.cells(config) if cell["bias"] == bias})


def test_a_closed_look_gives_way_to_the_next_until_the_last(tmp_path):
    seen = []
    for look in (1, 2, 3, 4):
        config = planning.narrowed(study(), tmp_path)
        seen.append((config["looks"]["look"], len(config["grid"]["seed"])))
        close(tmp_path, min(look, 3), [])
    assert seen == [(1, 3), (2, 5), (3, 8), (3, 8)]


def test_cells_of_new_seeds_are_left_out_once_all_contrasts_that_use_them_are_decided(tmp_path):
    """The type and its baseline are decided at look 1; β's pools are not."""
    of_beta = [entry for entry in every_contrast(1) if entry[0] in ("C9", "control-positive", "control-null")]
    rest = [entry for entry in every_contrast(1) if entry not in of_beta]
    close(tmp_path, 1, [entry for entry in rest if not uses(entry, "neutral")])
    config = planning.narrowed(study(), tmp_path)
    assert config["looks"]["look"] == 2
    assert seeds_of(config, "neutral") == [11, 12, 13, 14, 15]
    assert seeds_of(config, "contrastive-explicit") == [11, 12, 13]
    assert {pool["seed"] for pool in grid.pools(config) if pool["bias"] == "contrastive-explicit"} == {11, 12, 13}
    assert {pool["seed"] for pool in grid.pools(config) if pool["bias"] == "neutral"} == {11, 12, 13, 14, 15}


def uses(entry, bias):
    return any(answer[2] == bias for answer in grid.contrast_readings(study())[tuple(entry[:2])]["answers"])


@pytest.mark.parametrize("bias", [["subliminal-000", "subliminal-100"], ["subliminal-100"]])
def test_the_cell_whose_model_writes_an_open_probe_runs_for_new_seeds_too(tmp_path, bias):
    """In the second study no claim reads the probe, so nothing decides it."""
    bias = ["faithful", "associated-000", "associated-100", *bias]
    config = study(bias=bias, model=["smollm2-135m-instruct", "random-135m"], writer=["smollm2-135m-instruct"])
    contrasts = [[*key, 1] for key in grid.contrast_readings(config) if key[0] not in ("C12", "control-faithful")]
    (tmp_path / "looks").mkdir()
    content = DESIGN | {"look": 1, "decided": contrasts, "planned": planning.planned_digest(config, 1)}
    (tmp_path / "looks" / "1.json").write_text(json.dumps(content))
    config = planning.narrowed(config, tmp_path)
    cells, pools = (grid.once(list_(config)) for list_ in (grid.cells, grid.pools))
    written = [pool for pool in pools if pool["bias"] in bias[3:] and pool["seed"] == 14]
    assert {pool["bias"] for pool in written} == set(bias[3:])
    for pool in written:
        writer = grid.cell_of_writer(config, pool)
        assert writer in cells
        assert {key: writer[key] for key in pool} in pools


def test_a_study_ends_at_the_look_that_leaves_no_claim_open(tmp_path):
    close(tmp_path, 1, every_contrast(1))
    config = planning.narrowed(study(), tmp_path)
    assert (config["looks"]["look"], config["looks"]["decided"]) == (1, [])
    assert seeds_of(config, "neutral") == [11, 12, 13]


def test_looks_are_declared_before_a_run(tmp_path):
    close(tmp_path, 1, [], seeds=[3, 8])
    with pytest.raises(UserError, match=r"looks: null, but .*1\.json closed a look"):
        planning.narrowed(study() | {"looks": None}, tmp_path)
    with pytest.raises(UserError, match=r"looks: .*1\.json was planned as .*\[3, 8\].*declared before a run"):
        planning.narrowed(study(), tmp_path)
    close(tmp_path, 1, [])
    with pytest.raises(UserError, match=r"the claims or the seeds of the study have changed since .*1\.json"):
        planning.narrowed(study(seed=[12, 11, 13, 14, 15, 16, 17, 18]), tmp_path)
    with pytest.raises(UserError, match="the claims or the seeds of the study have changed"):
        planning.narrowed(study(mitigation=["none", "mask", "token"]), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "claims.csv").write_text(",".join(verdicts.COLUMNS) + "\n")
    with pytest.raises(UserError, match=r"claims\.csv was tested without looks"):
        planning.narrowed(study(), other)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"seeds": [3, 5]}, "looks.seeds: ends at 5 seeds, but grid.seed lists 8"),
        ({"seeds": [5, 3, 8]}, "looks.seeds: 3 does not follow 5"),
        ({"spending": "obf"}, "looks.spending"),
    ],
)
def test_looks_that_do_not_fit_the_study_are_one_line(wrong, said):
    config = study() | {"looks": DESIGN | wrong}
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        checks.check(config, [])


def test_contrasts_of_a_claim_have_names_of_their_own():
    """By which a closed look knows them."""
    for claim, entry in catalog.claims()["claims"].items():
        names = [contrast["name"] for contrast in entry["contrasts"]]
        assert len(set(names)) == len(names), claim
    assert catalog.claims()["alpha"] == statistics.ALPHA


def test_costs_are_those_of_all_looks_and_of_the_first():
    every, first, *_ = tools_costs.rows_of(study())
    assert (every["name"], first["name"]) == ("demo, all 3 looks", "first look, 3 seeds")
    assert first["trainings"] * 8 == every["trainings"] * 3
    assert [row["name"] for row in tools_costs.rows_of(study() | {"looks": None}) if row["part"] == "study"] == ["demo"]
