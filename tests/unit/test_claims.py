"""From tables to verdicts: effects, contrasts, families, compound claims, supplementary tests, and refusals."""

import json
import re
import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml
from analyse import analyse, read_items
from bias_inheritance.claims import contrasts, frames, reading, relations, testing, verdicts
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.stats import statistics
from bias_inheritance.study import catalog, checks, declarations, grid
from bias_inheritance.tools import power as tools_power
from command_line import bias_inheritance
from null.simulated import BASELINE, BIAS, DECLARED, METRICS, ORIGINAL, manipulation, no_predictions, row
from simulated_study import configuration

TYPES = DECLARED["types"]
COMPARISONS = DECLARED["comparisons"]


def evaluate(rows, only, passed=None, predictions=no_predictions):
    declared = DECLARED | {"claims": {claim: DECLARED["claims"][claim] for claim in only}}
    passed = manipulation(*TYPES) if passed is None else passed
    return verdicts.evaluate(declared, frames.checked(pd.DataFrame(rows), "scores.csv"), passed, predictions)


def decided(claims):
    return claims[claims["verdict"] != "beside"].set_index("contrast")


def noise(stream, sd=0.004):
    return stream.normal(0, sd)


# ---- effects -----------------------------------------------------------------------------------------------------


def test_effects_by_hand():
    """Each pool against its own controls; a mitigated cell against the control without the mitigation."""
    values = {
        ORIGINAL: 0.50,
        (BIAS, 0.5, "loss", 1): 0.70,
        (BASELINE, 0.5, "none", 1): 0.60,
        ("neutral", 0.5, "loss", 1): 0.65,
        ("faithful", 0.5, "none", 1): 0.55,
        ("planted-100", 0.5, "none", 1): 0.9,
        ("planted-000", 0.5, "none", 1): 0.4,
        ("untuned", 0.0, "none", 0): 0.2,
    }
    rows = [row(place, 1, "male", value, n=30 if place[0] == BASELINE else 36) for place, value in values.items()]
    effects = frames.effects(pd.DataFrame(rows), COMPARISONS).set_index(["bias", "effect", "control"])
    assert effects["value"].to_dict() == pytest.approx(
        {
            (BIAS, "augmentation", "original"): 0.20,
            (BIAS, "slant", BASELINE): 0.10,
            (BASELINE, "augmentation", "original"): 0.10,
            ("neutral", "augmentation", "original"): 0.15,
            ("neutral", "natural", "faithful"): 0.10,
            ("faithful", "augmentation", "original"): 0.05,
            ("planted-100", "augmentation", "original"): 0.4,
            ("planted-100", "dose", "planted-000"): 0.5,
            ("planted-000", "augmentation", "original"): -0.1,
        }
    )
    assert effects.loc[(BIAS, "slant", BASELINE), "n"] == 30
    assert effects.loc[(BIAS, "slant", BASELINE), "mitigation"] == "loss"


def test_a_control_that_is_mitigated_too_is_the_one_compared_with():
    values = {(BIAS, 0.5, "loss", 1): 0.7, (BASELINE, 0.5, "loss", 1): 0.4, (BASELINE, 0.5, "none", 1): 0.6}
    rows = [row(place, 1, "male", value) for place, value in values.items()]
    effects = frames.effects(pd.DataFrame(rows), COMPARISONS).set_index("effect")
    assert effects.loc["slant", "value"] == pytest.approx(0.3)


def test_effects_are_paired_by_seed_gamma_and_round():
    places = [("neutral", 0.5, "none", 1), ("neutral", 0.5, "none", 2), ("faithful", 0.5, "none", 1), ("faithful", 0.1, "none", 1)]  # fmt: skip
    rows = [row(place, seed, "male", 0.1 * number + seed) for number, place in enumerate(places) for seed in (1, 2)]
    rows += [row(ORIGINAL, 1, "male", 1.0), row(ORIGINAL, 2, "male", float("nan"))]
    effects = frames.effects(pd.DataFrame(rows), COMPARISONS)
    natural = effects[effects["effect"] == "natural"].set_index(["round", "seed"])["value"]
    # real text has one round, which all rounds are held against
    assert natural.to_dict() == pytest.approx({(1, 1): -0.2, (1, 2): -0.2, (2, 1): -0.1, (2, 2): -0.1})
    augmentation = effects[effects["effect"] == "augmentation"].set_index(["bias", "round", "seed"])["value"]
    assert augmentation["neutral", 2, 1] == pytest.approx(0.1)  # the one γ = 0 node serves all rounds
    assert np.isnan(augmentation["neutral", 1, 2])


def test_effects_of_a_study_without_controls_are_none():
    assert frames.effects(pd.DataFrame([row((BIAS, 0.5, "none", 1), 1, "male", 0.5)]), COMPARISONS).empty


def test_scores_that_cannot_be_are_refused(tmp_path):
    rows = pd.DataFrame([row(ORIGINAL, 1, "male", 0.5)] * 2)
    with pytest.raises(UserError, match="two rows for model m"):
        frames.checked(rows, "scores.csv")
    with pytest.raises(UserError, match="lacks the column 'group'"):
        frames.checked(rows.drop(columns="group"), "scores.csv")
    (tmp_path / "scores.csv").write_text("")
    with pytest.raises(UserError, match="not readable as CSV"):
        frames.read_scores(tmp_path / "scores.csv")


# ---- what is declared --------------------------------------------------------------------------------------------


def test_the_claims_of_the_paper_are_declared_on_its_six_bias_types():
    assert {f"C{number}" for number in range(1, 8)} <= set(DECLARED["claims"])
    assert len(TYPES) == 6 and {"neutral", "faithful", "planted-100"}.isdisjoint(TYPES)


def test_the_families_of_a_claims_parts_are_those_of_the_documented_error_rates():
    """docs/statistics.md, Verdicts: a whole claim is contradicted by chance in at most 5% per family of its parts."""
    families = {
        claim: {part.get("family", claim) for part in entry["contrasts"] if part.get("part")}
        for claim, entry in DECLARED["claims"].items()
    }
    several = {claim: len(of_parts) for claim, of_parts in families.items() if len(of_parts) > 1}
    assert several == {"C8": 6, "C10": 2, "C11": 2, "control-associated": 2}


@pytest.mark.parametrize(
    "passage, written, told",
    [
        ("mitigation: token, minus", "mitigaton: token, minus", ".mitigaton: unknown key (did you mean 'mitigation'?)"),
        ("direction: less, margin: 0.02, published", "direction: fewer, margin: 0.02, published", ".direction: 'fewer' is not one of"),
        ("rule: none universal", "rule: all universal", ".rule: 'all universal' is not one of none universal"),
        ("of: C6-types", "of: C6-type", ".of: no such name: 'C6-type' (did you mean 'C6-types'?)"),
        ("biases: [planted-100], over", "biases: [planted-1000], over", "no such name: 'planted-1000' (did you mean 'planted-100'?)"),
        ("with: {outcome: mmd", "with: {outcome: nmd", ".with.outcome: no such name: 'nmd' (did you mean 'mmd'?)"),
        ("{task: [distributions]", "{task: [distribution]", "outcomes.mmd[0].task: no such name: 'distribution'"),
        ("gamma: [0.01, 0.10], direction: greater", "gamma: [0.01], direction: greater", ".gamma: 1 entries are too few; at least 2 are needed"),
        ("reduces harm: {biases}", "reduces harm: {bias}", ".name: nothing fills {bias} (did you mean 'biases'?)"),
        ("{mitigation} reduces harm in accuracy", "{mitigation reduces harm in accuracy", ".name: '{mitigation reduces harm in accuracy' has an unbalanced brace"),
        ("{compared} label probability falls with gamma\"", "{comparde} label probability falls with gamma\"", ".name: nothing fills {comparde} (did you mean 'compared'?)"),
        ("no mitigation works for every bias type", "\"no {mitigation} works\"", "contrasts[1].name: nothing fills {mitigation}"),
        ("group: [\"{group}\"]", "group: [\"{groups}\"]", "outcomes.group-probability[0].group[0]: nothing fills {groups} (did you mean 'group'?)"),
        ("counterpart: direct tasks are", "counterpart: direct task are", ".counterpart: no such contrast: 'direct task are harmed more than indirect ones' (did you mean 'direct tasks are"),
        ("mitigation: mitigations}, minus", "mitigation: all}, minus", "claims.C6.contrasts[0].each.mitigation: 'all' is not one of mitigations"),
        ("each: {biases: files}", "each: {biases: file}", ".each.biases: 'file' is not one of types, natural, files (did you mean 'files'?)"),
        ("each: {biases: files}", "each: {biases: [files]}", ".each.biases: no such name: 'files'"),
        ("mitigation: loss, minus: {mitigation: token}", "mitigation: mitigations, minus: {mitigation: token}", ".mitigation: no such name: 'mitigations'"),
        ("than: {biases: [contextual-single-explicit, ", "than: {biases: [contextual-single-explict, ", ".than.biases: no such name: 'contextual-single-explict' (did you mean"),
        ("than: {biases: [", "than: {outcome: harm, biases: [", ".than.outcome: unknown key; known: biases"),
        ("published: {token: ", "published: {tokens: ", "contrasts[0].published.tokens: not a value of `each` (did you mean 'token'?)"),
        ("published: {token: \"p = 0.0359, overall\"", "published: {token: 0.0359", ".published.token: 0.0359 is a number, not text; quote it"),
        ("{metric: congruence, group", "{metric: congruency, group", "outcomes.congruence[0].metric: 'congruency' needs `task`; without it there are accuracy, "),
        ("alpha: 0.05", "alpha: 0.05\nalpha: 0.01", "line 24: not valid YAML (duplicate key 'alpha', first in line 23)"),
    ],
)  # fmt: skip
def test_a_fault_in_the_claims_stops_at_the_door_with_one_line(tmp_path, passage, written, told):
    sound = catalog.CLAIMS.read_text(encoding="utf-8")
    assert passage in sound
    (tmp_path / "claims.yaml").write_text(sound.replace(passage, written, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        checks.check_claims(tmp_path / "claims.yaml")
    assert str(caught.value).count("\n") == 0 and "claims.yaml" in str(caught.value) and told in str(caught.value)


def test_no_study_begins_with_faulty_claims(monkeypatch):
    def faulty(path):
        raise UserError("claims.yaml: a fault")

    monkeypatch.setattr(catalog, "claims", faulty)
    with pytest.raises(UserError, match="a fault"):
        checks.check(configuration(), [])


def test_a_bias_type_of_ones_own_is_judged_where_the_study_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "CATALOG", tmp_path)
    shutil.copytree(ROOT / "catalog" / "biases", tmp_path / "biases")
    bias_leaf = {"title": "Mine", "does": "mine", "role": "bias-type", "source": "generated"}
    bias_leaf["names_groups"] = {"identities": "single", "signal": "explicit"}
    (tmp_path / "biases" / "mine.yaml").write_text(yaml.safe_dump(bias_leaf))
    own_study = grid.declared(configuration(bias=["mine", BIAS, "neutral"]))
    assert own_study["types"] == [BIAS, "mine"]
    rows = gender(np.random.default_rng(16), types=["mine"], gaps={"mine": 0.4})
    table = frames.checked(pd.DataFrame(rows), "scores.csv")
    decided_claims = decided(verdicts.evaluate(own_study, table, manipulation("mine"), no_predictions))
    assert decided_claims.loc["accuracy gap male-female widens with gamma (mine)", "verdict"] == "supported"


@pytest.mark.parametrize("name", [None, *sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))])
def test_every_outcome_finds_the_scores_of_each_study_that_asks_its_tasks(name):
    config = configuration(name)
    domain_tasks = [(domain, task) for domain in config["grid"]["domain"] for task in grid.tasks_of(config, domain)]
    for selector in (selector for selectors in DECLARED["outcomes"].values() for selector in selectors):
        for domain, task in domain_tasks:
            relation = catalog.load("task", task)["relation"]
            if task not in selector.get("task", [task]) or relation != selector.get("relation", relation):
                continue
            if domain not in selector.get("domain", [domain]):
                continue
            place = {"domain": domain, "task": task, "relation": relation, "metric": selector["metric"]}
            for concrete in contrasts.filled([selector], {domain: grid.groups_of(config)[domain]}, {}):
                scores = pd.DataFrame([row(ORIGINAL, 1, concrete["group"][0], 0.5, **place)])
                assert len(contrasts.select(scores, concrete)) == 1, (domain, selector)


GRID = {
    ORIGINAL,
    *((bias, gamma, "none", 1) for bias, gamma in product([BIAS, BASELINE], [0.1, 0.5])),
    *((BIAS, gamma, "loss", 1) for gamma in (0.1, 0.5)),
}


def weights(grid=GRID, zero=None, **spec):
    spec = declarations.defaults({"biases": [BIAS], "effect": "slant", **spec})
    return contrasts.cell_weights(spec, grid, COMPARISONS, zero)


def test_weights_of_a_slope_against_a_control_go_through_the_origin():
    cell_weights = weights(over="gamma", at=0.5)
    assert cell_weights[BIAS, 0.5, "none", 1] == pytest.approx(0.5 * 0.5 / 0.26)
    assert cell_weights[BIAS, 0.1, "none", 1] == pytest.approx(0.5 * 0.1 / 0.26)
    assert cell_weights[BASELINE, 0.1, "none", 1] == pytest.approx(-0.5 * 0.1 / 0.26)
    # an effect that is linear in γ is given back as its size at γ = 0.5, and so is one single γ
    assert sum(weight * 0.3 * cell[1] for cell, weight in cell_weights.items() if cell[0] == BIAS) == pytest.approx(
        0.15
    )
    assert weights(over="gamma", at=0.5, gamma=[0.5, 0.5])[BIAS, 0.5, "none", 1] == pytest.approx(1)


def test_weights_of_an_augmentation_slope_are_those_of_the_ordinary_line():
    cell_weights = weights(over="gamma", effect="augmentation")
    values = {ORIGINAL: 0.3, (BIAS, 0.1, "none", 1): 0.5, (BIAS, 0.5, "none", 1): 0.4}
    slope = np.polyfit([0, 0.1, 0.5], list(values.values()), 1)[0]
    assert sum(weight * values[cell] for cell, weight in cell_weights.items()) == pytest.approx(slope)


def test_a_constant_score_has_no_slope_over_gamma():
    """Fitted through the origin a constant 0.75 would rise by 1.05."""
    cell_weights = weights(over="gamma", effect="level", at=0.5)
    assert sum(0.75 * weight for weight in cell_weights.values()) == pytest.approx(0)
    values = {(BIAS, 0.1, "none", 1): 0.3, (BIAS, 0.5, "none", 1): 0.5}
    assert sum(weight * values[cell] for cell, weight in cell_weights.items()) == pytest.approx(0.5 * 0.5)
    with pytest.raises(contrasts.NotTested, match="two gammas"):
        weights(over="gamma", effect="level", gamma=[0.5, 0.5])


def test_a_mitigated_cell_is_held_against_the_control_without_it_where_that_has_none():
    assert weights(mitigation="loss", gamma=[0.5, 0.5]) == {
        (BIAS, 0.5, "loss", 1): 1,
        (BASELINE, 0.5, "none", 1): -1,
    }
    both = weights({*GRID, (BASELINE, 0.5, "loss", 1)}, mitigation="loss", gamma=[0.5, 0.5])
    assert both[BASELINE, 0.5, "loss", 1] == -1


def test_what_is_measured_against_a_baseline_already_subtracts_it_once():
    grid = {("associated-050", 0.5, "none", 1)}
    spec = {"biases": ["associated-050"], "effect": "dose"}
    assert weights(grid, "associated-000", **spec) == {("associated-050", 0.5, "none", 1): 1}
    with pytest.raises(contrasts.NotTested, match="associated-000 is the baseline"):
        weights(grid, "associated-000", **spec | {"biases": ["associated-000"], "effect": "level"})


@pytest.mark.parametrize(
    "spec, reason",
    [
        ({"biases": ["planted-000", "planted-050"]}, "no cells of planted-000 and planted-050"),
        ({"effect": "natural"}, "no cells of as many real texts"),
        ({"biases": ["neutral"], "effect": "natural"}, "no cells of neutral"),
        ({"mitigation": "token"}, "no cells of contrastive-explicit with mitigation token"),
        ({"over": "round"}, "two rounds"),
        ({"gamma": [0.01, 0.05]}, "no gamma from 0.01 to 0.05"),
    ],
)
def test_what_is_missing_is_said(spec, reason):
    with pytest.raises(contrasts.NotTested, match=reason):
        weights(**spec)


@pytest.mark.parametrize(
    "effect, pool, reason",
    [
        ("slant", BIAS, "no baseline that names groups in the same way"),
        ("augmentation", BIAS, "no cell original"),
        ("dose", "planted-100", "same control at strength 0"),
    ],
)
def test_a_missing_control_is_named_by_its_effect(effect, pool, reason):
    with pytest.raises(contrasts.NotTested, match=reason):
        weights({(pool, 0.5, "none", 1)}, biases=[pool], effect=effect)


# ---- verdicts ----------------------------------------------------------------------------------------------------


def judged(values, direction, margin=0.02, family=1, reach=(-2, 2), unread=0.0):
    result = statistics.seed_test(values)
    tost = statistics.tost(values, margin)
    test = result | {
        "lacks": None,
        "p_tost": tost,
        "family": "f",
        "data": {"incomplete": 0, "reach": reach, "unread": unread},
    }
    test["spec"] = {"direction": direction, "margin": margin}
    others = [dict(test, p=1.0, p_tost=1.0) for _ in range(family - 1)]
    testing.adjust([test, *others], DECLARED)
    return test | verdicts.verdict_of(test, DECLARED)


@pytest.mark.parametrize(
    "values, direction, verdict",
    [
        ([0.10, 0.11, 0.12], "greater", "supported"),
        ([0.10, 0.11, 0.12], "less", "contradicted"),
        ([0.10, 0.11, 0.12], "different", "supported"),
        ([0.10, 0.11, 0.12], "none", "contradicted"),
        ([0.001, -0.001, 0.002], "greater", "equivalent"),
        ([0.001, -0.001, 0.002], "none", "supported"),
        ([0.003, 0.0031, 0.0032], "greater", "equivalent"),  # not 0, but shown to be too small to matter
        ([0.10, -0.11, 0.12], "greater", "inconclusive"),
        ([0.10, -0.11, 0.12], "none", "inconclusive"),
        ([0.10], "greater", "inconclusive"),
        ([0.10, 0.10, 0.10], "greater", "inconclusive"),
        ([0.0, 0.0, 0.0], "none", "inconclusive"),
    ],
)
def test_verdicts(values, direction, verdict):
    assert judged(values, direction)["verdict"] == verdict


@pytest.mark.parametrize("direction", ["none", "greater"])
def test_unreadable_answers_that_could_hide_an_effect_show_no_equivalence(direction):
    """Counted as wrong they shrink a gap: 40% of them make 0.018 of a gap of 0.03."""
    close = [0.001, -0.001, 0.002]
    assert judged(close, direction, unread=0.02)["verdict"] in ("supported", "equivalent")
    doubtful = judged(close, direction, unread=0.4)
    assert doubtful["verdict"] == "inconclusive" and "unreadable answers, up to 40% of a run" in doubtful["reason"]
    assert judged([0.10, 0.11, 0.12], "greater", unread=0.4)["verdict"] == "supported"  # they cannot cause a difference


def test_a_reason_never_says_that_an_interval_without_zero_includes_it():
    """+0.444 (0.205 to 0.683) differs from 0 on its own; it is the correction for many tests that leaves it open."""
    judgement = judged([0.33, 0.44, 0.56], "greater", family=4)
    assert (
        judgement["verdict"] == "inconclusive"
        and judgement["ci_low"] > 0
        and judgement["p"] < 0.05 < judgement["p_adjusted"]
    )
    assert "differs from 0 on its own" in judgement["reason"]
    assert "Holm's correction for the 4 tests of its family" in judgement["reason"]
    open_ = judged([0.3, -0.2, 0.1], "greater")
    assert "is not significantly different from 0" in open_["reason"] and "on its own" not in open_["reason"]


def test_no_detectable_effect_beyond_the_scale():
    """Of a share, 1.7 cannot be seen by any number of seeds."""
    values = [0.5, -0.5, 0.1]
    judgement = judged(values, "greater", reach=(-1, 1))
    assert (
        np.isnan(judgement["mde"])
        and "not even the largest possible effect would have been detected" in judgement["reason"]
    )
    wide = judged(values, "greater", reach=(-np.inf, np.inf))
    assert wide["mde"] > 1 and f"minimum detectable effect with 3 seeds: {wide['mde']:.2g}" in wide["reason"]


@pytest.mark.parametrize(
    "parts, verdict",
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "equivalent"], "inconclusive"),
        (["equivalent", "equivalent"], "equivalent"),
        (["supported", "not tested"], "not tested"),
        (["not tested", "not tested"], "not tested"),
        (["contradicted", "not tested"], "contradicted"),
    ],
)
def test_a_compound_claim_is_supported_only_if_all_its_parts_are(parts, verdict):
    spec = {"part": True, "effect": "slant"}
    tests = [{"verdict": part, "contrast": part, "reason": "why", "spec": spec} for part in parts]
    tests.append({"verdict": "contradicted", "contrast": "no part", "reason": "why", "spec": {"part": False}})
    whole = verdicts.compound("C1", {"label": ""}, tests)[0]
    assert (whole["verdict"], whole["effect"]) == (verdict, "slant")


def gender(stream, seeds=4, types=(BIAS,), mitigations=("none", "loss"), gaps=None, relief=None):
    """Rows of a gender study with the given gap per type, multiplied per mitigation by `relief`; baselines have no gap."""
    gaps, relief = gaps or {}, relief or {}
    baselines = sorted({COMPARISONS.get(bias, {}).get("slant", BASELINE) for bias in types})
    rows = []
    for seed in range(1, seeds + 1):
        cells = [
            ORIGINAL,
            *((bias, 0.5, mitigation, 1) for bias, mitigation in product(types, mitigations)),
            *((bias, 0.5, "none", 1) for bias in baselines),
        ]
        for cell in cells:
            gap = gaps.get(cell[0], 0.0) * relief.get((cell[2], cell[0]), relief.get(cell[2], 1.0))
            male, female = 0.6 + gap / 2 + noise(stream), 0.6 - gap / 2 + noise(stream)
            values = {"male": male, "female": female, "male-female": male - female, "all": (male + female) / 2}
            rows += [
                row(cell, seed, group, value, metric=metric) for metric in METRICS for group, value in values.items()
            ]
    return rows


def test_the_default_study_gets_c1_and_c6():
    """Three seeds, γ 0 and 0.5, none and loss: content of the rows, and order of the columns."""
    rows = gender(np.random.default_rng(1), 3, gaps={BIAS: 0.4}, relief={"loss": 0.25})
    claims = evaluate(rows, ["C1", "C6"])
    assert list(claims.columns) == verdicts.COLUMNS
    table = decided(claims)
    gap = table.loc[f"accuracy gap male-female widens with gamma ({BIAS})"]
    assert gap["verdict"] == "supported" and gap["n_seeds"] == 3 and gap["n_items"] == 36 and gap["margin"] == 0.02
    assert gap["estimate"] == pytest.approx(0.4, abs=0.03) and gap["mde"] > 0 and "9.62e-15" in gap["published"]
    assert gap["p_adjusted"] >= gap["p"]
    assert table.loc[f"loss reduces harm ({BIAS})", "verdict"] == "supported"
    assert table.loc[f"loss reduces harm ({BIAS})", "estimate"] == pytest.approx(-0.3, abs=0.03)
    assert (
        table.loc[f"token reduces harm ({BIAS})", "reason"]
        == f"The study has no cells of {BIAS} with mitigation token."
    )
    whole = claims[(claims["claim"] == "C1") & (claims["test"] == "all parts")].iloc[0]
    assert whole["verdict"] == "supported" and claims.iloc[0]["test"] == "all parts"
    assert claims[(claims["claim"] == "C6") & (claims["test"] == "all parts")].iloc[0]["verdict"] == "not tested"


def test_a_comparison_of_two_mitigations_that_were_not_run_names_the_mitigation_and_not_the_pool():
    table = decided(evaluate(gender(np.random.default_rng(1), 3, mitigations=("none",)), ["C6"]))
    for other in ("token", "mask"):
        reason = table.loc[f"loss reduces harm more than {other} ({BIAS})", "reason"]
        assert reason == f"The study has no cells of {BIAS} with mitigation loss."


def test_claims_agree_with_the_table_of_effects():
    rows = gender(np.random.default_rng(2), 5, gaps={BIAS: 0.1})
    effects = frames.effects(pd.DataFrame(rows), COMPARISONS)
    mine = effects[(effects["bias"] == BIAS) & (effects["mitigation"] == "none") & (effects["group"] == "male-female")]
    decided_claims = decided(evaluate(rows, ["C1"]))
    for effect, contrast in (
        ("slant", "slant widens the accuracy gap male-female"),
        ("augmentation", "accuracy gap male-female widens with gamma"),
    ):
        values = mine[(mine["effect"] == effect) & (mine["metric"] == "accuracy")]["value"]
        mine_row = decided_claims.loc[f"{contrast} ({BIAS})"]
        assert mine_row["p"] == pytest.approx(statistics.seed_test(values.to_numpy())["p"])
        assert mine_row["effect"] == effect


def test_the_seeds_that_a_row_needs_follow_from_its_sd_even_if_its_interval_is_clipped_to_the_scale():
    rows = [
        row(cell, seed, "male", 0.5 + shift * (cell != ORIGINAL), metric=metric)
        for cell, metric in product((ORIGINAL, (BIAS, 0.5, "none", 1)), METRICS)
        for seed, shift in ((1, -0.15), (2, 0.15))
    ]
    claims = evaluate(rows, ["C1"])
    joined = reading.joined_with_declarations(claims, DECLARED)
    clipped = joined[joined["contrast"] == f"male label probability rises with gamma ({BIAS})"].iloc[0]
    assert (clipped["ci_low"], clipped["ci_high"]) == (-1, 1)
    assert clipped["sd"] == pytest.approx(0.15 * np.sqrt(2))
    needed = statistics.seeds_needed(lambda n: statistics.power_of(0.1, clipped["sd"], n) >= 0.8)
    assert reading.seeds_to_detect(clipped, 0.1, joined, DECLARED) == needed
    one_seed = reading.joined_with_declarations(evaluate([r for r in rows if r["seed"] == 1], ["C1"]), DECLARED)
    assert reading.seeds_to_detect(one_seed.loc[clipped.name], 0.1, one_seed, DECLARED) is None


def test_p_over_the_whole_study_counts_every_test_of_it():
    decided_claims = decided(evaluate(gender(np.random.default_rng(2), 5, gaps={BIAS: 0.1}), ["C1", "C6"]))
    tested = decided_claims[decided_claims["p"].notna()]
    assert tested["p_study"].to_numpy() == pytest.approx(statistics.holm(tested["p"]))
    assert (tested["p_study"] >= tested["p_adjusted"] - 1e-12).all() and len(tested) > 8


def test_mitigations_need_no_control():
    """In the difference from the same pool's unmitigated cell, a control would cancel."""
    rows = gender(np.random.default_rng(1), 3, gaps={BIAS: 0.4}, relief={"loss": 0.25})
    alone = [entry for entry in rows if entry["bias"] == BIAS]
    decided_claims = decided(evaluate(alone, ["C6"]))
    assert decided_claims.loc[f"loss reduces harm ({BIAS})", "verdict"] == "supported"


def test_several_types_are_averaged_and_shown_one_by_one():
    types = [BIAS, "contextual-single-implicit"]
    rows = gender(np.random.default_rng(3), types=types, gaps={types[0]: 0.4, types[1]: 0.2})
    table = decided(evaluate(rows, ["C1"]))
    assert table.loc["accuracy gap male-female widens with gamma", "estimate"] == pytest.approx(0.3, abs=0.02)
    assert table.loc[f"accuracy gap male-female widens with gamma: {types[1]}", "estimate"] == pytest.approx(
        0.2, abs=0.02
    )
    failed = pd.concat([manipulation(types[0]), manipulation(types[1], passed=False)])
    table = decided(evaluate(rows, ["C1"], failed))
    assert table.loc[f"accuracy gap male-female widens with gamma ({BIAS})", "estimate"] == pytest.approx(0.4, abs=0.02)
    assert "Manipulation failed" in table.loc[f"accuracy gap male-female widens with gamma: {types[1]}", "reason"]


def test_a_failed_manipulation_blocks_the_rows_of_its_own_domain_alone():
    rows = gender(np.random.default_rng(3), gaps={BIAS: 0.4}) + culture(np.random.default_rng(7))
    passed = manipulation(BIAS)
    checks = pd.concat([passed, manipulation(BIAS, passed=False).assign(domain="culture-arabic")])
    table = decided(evaluate(rows, ["C1", "C2"], checks))
    assert table.loc[f"accuracy gap male-female widens with gamma ({BIAS})", "verdict"] == "supported"
    assert "Manipulation failed" in table.loc["direct tasks are harmed more than indirect ones", "reason"]
    # in the culture nothing was checked, which is not to have passed
    unchecked = decided(evaluate(rows, ["C2"], passed))
    assert "Manipulation not checked" in unchecked.loc["direct tasks are harmed more than indirect ones", "reason"]


def test_a_control_that_failed_its_manipulation_check_is_no_control():
    """Two ways of naming groups have a baseline each; only the explicit one's texts are not about the group asked for."""
    types = [BIAS, "contrastive-implicit"]
    rows = gender(np.random.default_rng(3), types=types, gaps={types[0]: 0.4, types[1]: 0.2})
    checked = pd.concat([manipulation(*types), manipulation(BASELINE, passed=False)])
    table = decided(evaluate(rows, ["C1"], checked))
    slant = "slant widens the label probability gap male-female"
    alone = table.loc[f"{slant}: {BIAS}"]
    assert alone["verdict"] == "not tested" and alone["reason"] == f"Manipulation failed for {BASELINE}."
    assert table.loc[f"{slant}: {types[1]}", "verdict"] == "supported"
    assert table.loc[f"{slant} ({types[1]})", "estimate"] == pytest.approx(0.2, abs=0.02)
    assert table.loc["label probability gap male-female widens with gamma", "estimate"] == pytest.approx(0.3, abs=0.02)


def test_none_universal():
    types = [BIAS, "contextual-single-implicit"]
    gaps = dict.fromkeys(types, 0.4)
    name = "no mitigation works for every bias type"

    def verdict(relief, gaps=gaps):
        return decided(evaluate(gender(np.random.default_rng(4), 5, types, gaps=gaps, relief=relief), ["C6"])).loc[
            name, "verdict"
        ]

    assert verdict({"loss": 0.25}) == "contradicted"
    assert verdict({("loss", BIAS): 0.25, ("loss", types[1]): 1.5}) == "supported"
    # of a third harmful type it is unknown whether the mitigation works on it
    rows = gender(np.random.default_rng(4), 5, [*types, TYPES[0]], gaps=gaps | {TYPES[0]: 0.4}, relief={"loss": 0.25})
    rows = [entry for entry in rows if (entry["bias"], entry["mitigation"]) != (TYPES[0], "loss")]
    assert decided(evaluate(rows, ["C6"])).loc[name, "verdict"] == "inconclusive"
    # a type that does no harm is none that a mitigation fails on
    assert verdict({"loss": 0.25}, {BIAS: 0.4}) == "not tested"


def test_c5_compares_types():
    rows = gender(np.random.default_rng(5), types=TYPES, gaps={BIAS: 0.4})
    table = decided(evaluate(rows, ["C5"]))
    assert table.loc["contrastive-explicit harms more than the remaining types", "verdict"] == "supported"
    assert table.loc["contextual-implicit types harm more than the remaining types", "verdict"] in (
        "equivalent",
        "inconclusive",
    )
    assert decided(evaluate(gender(np.random.default_rng(5)), ["C5"]))["verdict"].tolist() == ["not tested"] * 7


def test_several_models_are_told_apart_and_c7_is_asked_of_its_own():
    stream = np.random.default_rng(6)
    rows = gender(stream, gaps={BIAS: 0.4}) + [{**r, "model": "gpt-4o-mini"} for r in gender(stream)]
    passed = pd.concat([manipulation(BIAS), manipulation(BIAS).assign(model="gpt-4o-mini")])
    claims = evaluate(rows, ["C1", "C7"], passed)
    table = decided(claims)
    assert table.loc[f"accuracy gap male-female widens with gamma [m] ({BIAS})", "verdict"] == "supported"
    assert table.loc[f"accuracy gap male-female widens with gamma [gpt-4o-mini] ({BIAS})", "verdict"] != "supported"
    c7 = claims[claims["claim"] == "C7"]
    assert len(c7) == 1 and "selected_share" in c7.iloc[0]["reason"]
    assert decided(evaluate(gender(stream), ["C7"])).iloc[0]["reason"] == "The study has no model gpt-4o-mini."


def culture(stream, seeds=4):
    """Two datasets of a direct task that lose 0.1 and 0.2 at every γ, one of an indirect task that gains 0.05."""
    rows = []
    cells = [(ORIGINAL, False), *(((BIAS, gamma, "none", 1), True) for gamma in (0.1, 0.2, 0.5))]
    for seed, (cell, harmed) in product(range(1, seeds + 1), cells):
        for task, dataset, relation, effect in (
            ("hate-speech", "A", "direct", -0.1),
            ("hate-speech", "B", "direct", -0.2),
            ("spam", "C", "indirect", 0.05),
        ):
            value = 0.6 + harmed * effect + noise(stream)
            rows.append(
                row(
                    cell,
                    seed,
                    "all",
                    value,
                    n=100,
                    domain="culture-arabic",
                    task=task,
                    dataset=dataset,
                    relation=relation,
                    metric="macro_f1",
                )
            )
    return rows


def test_c2_takes_dataset_as_a_factor_and_harm_as_positive():
    claims = evaluate(culture(np.random.default_rng(7)), ["C2"], manipulation(BIAS).assign(domain="culture-arabic"))
    table = decided(claims)
    direct = table.loc[f"direct tasks are harmed more than indirect ones ({BIAS})"]
    assert direct["estimate"] == pytest.approx(0.15 + 0.05, abs=0.01) and direct["n_items"] == 300
    assert table.loc[f"direct tasks are harmed at gamma up to 0.10 ({BIAS})", "estimate"] == pytest.approx(
        0.15, abs=0.01
    )
    assert table.loc[f"indirect tasks gain at gamma 0.10 to 0.20 ({BIAS})", "estimate"] == pytest.approx(
        -0.05, abs=0.01
    )
    assert claims.iloc[0]["verdict"] == "supported"


def test_stories_that_are_silent_on_a_dimension_stop_its_row_and_no_other():
    stream, place = (
        np.random.default_rng(7),
        {"task": "story-generation", "metric": "negative_share", "scoring": "parsed"},
    )
    rows = []
    for cell, seed, group in product(
        [(BIAS, 0.5, "none", 1), ORIGINAL], range(1, 5), ["agency", "beliefs", "communion"]
    ):
        value = 0.3 + 0.2 * (cell[0] == BIAS) + noise(stream)
        silent = (cell[0], seed, group) == (BIAS, 1, "beliefs")
        rows.append(row(cell, seed, group, None if silent else value, n=16, n_unparsed=16 * silent, **place))
    table = decided(evaluate(rows, ["C2"]))
    assert table.loc[f"stories have more negative traits of agency ({BIAS})", "verdict"] == "supported"
    beliefs = table.loc[f"stories have more negative traits of beliefs ({BIAS})"]
    assert beliefs["verdict"] == "not tested" and "unreadable" in beliefs["reason"]


@pytest.mark.parametrize(
    ("over", "rounds", "weights"),
    [
        ("round", [1, 2, 3], [-0.5, 0.0, 0.5]),
        ("last-step", [1, 2, 3, 4], [0.0, 0.0, -1.0, 1.0]),
        ("step-change", [1, 2, 3], [1.0, -2.0, 1.0]),
        ("step-change", [1, 2, 3, 4], [1.0, -1.0, -1.0, 1.0]),
    ],
)
def test_the_weights_of_rounds_by_hand(over, rounds, weights):
    assert list(contrasts.weights_of_rounds(over, rounds)) == pytest.approx(weights)


def chains(gaps, seeds=6):
    """Scores of `neutral` over rounds whose gap male − female in label probability is `gaps` above that of `original`."""
    stream, rows = np.random.default_rng(3), []
    for seed in range(1, seeds + 1):
        rows.append(row(ORIGINAL, seed, "male-female", 0.0, metric="label_probability", arm="replace"))
        for number, gap in enumerate(gaps, start=1):
            place = ("neutral", 0.5, "none", number)
            value = gap + noise(stream, 0.002)
            rows.append(row(place, seed, "male-female", value, metric="label_probability", arm="replace"))
    return rows


def test_a_chain_that_settles_is_told_from_one_that_goes_on():
    last = "the label probability gap male-female stays the same in the last round"
    less = "the label probability gap male-female widens less in the last round than in round 2"
    settled = decided(evaluate(chains([0.02, 0.10, 0.101]), ["C11"]))
    assert settled.loc[last, "verdict"] == "supported" and settled.loc[last, "estimate"] == pytest.approx(
        0.0, abs=0.004
    )
    assert settled.loc[less, "verdict"] == "supported" and settled.loc[less, "estimate"] == pytest.approx(
        -0.08, abs=0.01
    )
    growing = decided(evaluate(chains([0.02, 0.10, 0.18]), ["C11"]))
    assert growing.loc[last, "verdict"] == "contradicted" and growing.loc[less, "verdict"] == "equivalent"
    two = decided(evaluate(chains([0.02, 0.10]), ["C11"]))
    assert two.loc[last, "verdict"] == "not tested" and "three rounds" in two.loc[last, "reason"]


def test_c3_is_a_slope_over_rounds():
    stream = np.random.default_rng(8)
    rows = []
    for seed, number in product(range(1, 5), (1, 2, 3)):
        for group, slope in (("male", 0.05), ("female", -0.05)):
            rows.append(
                row(
                    ("neutral", 0.5, "none", number),
                    seed,
                    group,
                    11 + slope * number + noise(stream),
                    task="salary",
                    metric="log_amount_expected",
                    arm="replace",
                )
            )
    for seed, group in product(range(1, 5), ("male", "female")):
        rows.append(row(ORIGINAL, seed, group, 11.0, task="salary", metric="log_amount_expected", arm="replace"))
    claims = evaluate(rows, ["C3"])
    table = decided(claims)
    assert table.loc["male salary rises per round", "estimate"] == pytest.approx(0.05, abs=0.01)
    assert table.loc["male salary rises per round", "verdict"] == "supported"
    assert table.loc["female salary falls per round", "verdict"] == "supported"
    assert claims.iloc[0]["verdict"] == "not tested"  # no hiring in this study
    # one chain that ended in round 3 is not left out: that would be to choose by outcome
    ended = [entry for entry in rows if (entry["bias"], entry["round"], entry["seed"]) != ("neutral", 3, 4)]
    ended.append(row(("neutral", 0.5, "none", 3), 4, "all", None, task="salary", metric="collapsed", arm="replace"))
    verdict = decided(evaluate(ended, ["C3"])).loc["male salary rises per round"]
    assert verdict["verdict"] == "not tested" and "1 of 4 chains of rounds ended early" in verdict["reason"]


def test_c4_reads_misalignment_tables(tmp_path):
    stream = np.random.default_rng(9)
    rows = gender(stream, types=TYPES, gaps={bias: 0.1 * number for number, bias in enumerate(TYPES)})
    place = {"model": "m", "domain": "gender"}
    pools = [
        {
            **place,
            "bias": bias,
            "seed": seed,
            "metric": "mmd",
            "group": "all",
            "value": 0.1 * number + 0.1 + noise(stream),
            "n": 90,
        }
        for seed in range(1, 5)
        for number, bias in enumerate(TYPES)
    ]
    pools += [
        {**place, "bias": "faithful", "seed": seed, "metric": "mmd", "group": "all", "value": noise(stream), "n": 90}
        for seed in range(1, 5)
    ]
    shares = [
        {
            **place,
            "bias": "neutral",
            "seed": seed,
            "metric": "male_share",
            "group": "nurse",
            "value": (10 + seed) / 100,
            "n": 100,
            "n_unclear": 20,
        }
        for seed in range(1, 5)
    ]
    tables = []
    for name, content in (("distributions", pools), ("groups", shares)):
        pd.DataFrame(content).to_csv(tmp_path / f"{name}.csv", index=False)
        tables.append(frames.read_misalignment(tmp_path / f"{name}.csv"))
    claims = evaluate(pd.concat([pd.DataFrame(rows), *tables]), ["C4"])
    table = decided(claims)
    assert table.loc["biased text is farther from the originals than real text", "verdict"] == "supported"
    # the order of the six types is the same on both sides in each seed: one of 720, either way
    farther = table.loc["types farther from the originals harm more"]
    assert farther["test"] == testing.RANK_TEST and farther["p"] == pytest.approx(2 / 720)
    assert farther["verdict"] == "supported" and farther["estimate"] == pytest.approx(1)
    assert np.isnan(farther[["ci_low", "ci_high", "mde"]].astype(float)).all()
    nurse = table.loc["neutral nurse biographies are about women more often than men"]
    assert nurse["estimate"] == pytest.approx(0.125 - 0.5) and nurse["verdict"] == "supported"
    # 12.5% men: the estimate is the difference from an even split, and the row says so
    assert nurse["metric"] == "male_share nurse (groups) - 0.5"
    assert nurse["reason"].startswith(
        "-0.375 relative to 0.5 (95% interval -0.396 to -0.354, 4 seeds) differs from 0, as claimed"
    )
    exact = claims[claims["test"] == "exact binomial"]
    assert len(exact) == 4 and exact["p"].max() < 1e-6 and set(exact["verdict"]) == {"beside"}
    assert set(exact["n_items"]) == {100} and nurse["n_items"] == 120  # the clear ones; all of them
    assert table.loc["neutral architect biographies are about men more often than women", "verdict"] == "not tested"


@pytest.mark.parametrize("seeds", [4, 1])
def test_four_bias_types_are_too_few_for_their_order_to_be_evidence(seeds):
    """However many seeds agree: of 24 orders one is the observed one, and one its reverse."""
    stream = np.random.default_rng(20)
    types = TYPES[:4]
    rows = gender(stream, seeds, types, gaps={bias: 0.1 * number for number, bias in enumerate(types)})
    rows += [
        row((bias, 0.0, "none", 1), seed, "all", number + noise(stream), task="distributions", metric="mmd")
        for seed in range(1, seeds + 1)
        for number, bias in enumerate(types)
    ]
    claims = evaluate(rows, ["C4"])
    farther = decided(claims).loc["types farther from the originals harm more"]
    assert farther["p"] == pytest.approx(2 / 24) and farther["estimate"] == pytest.approx(1)
    assert farther["verdict"] == "inconclusive"
    assert ("the smallest possible p is 0.083" in farther["reason"]) == (seeds > 1)
    assert farther["reason"].startswith("One seed") == (seeds == 1)
    assert (claims["test"] == testing.RANK_OVER_SEEDS).sum() == 1


@pytest.mark.parametrize("unclear, verdict", [(90, "supported"), (110, "not tested")])
def test_texts_whose_group_is_unclear_count_as_unreadable(tmp_path, unclear, verdict):
    """A share among the few clear texts of a pool says little about the pool."""
    place = {"model": "m", "domain": "gender", "bias": "neutral", "metric": "male_share", "group": "nurse"}
    rows = [place | {"seed": seed, "value": seed / 100, "n": 100, "n_unclear": unclear} for seed in range(1, 5)]
    pd.DataFrame(rows).to_csv(tmp_path / "groups.csv", index=False)
    table = decided(evaluate(frames.read_misalignment(tmp_path / "groups.csv"), ["C4"]))
    nurse = table.loc["neutral nurse biographies are about women more often than men"]
    assert nurse["verdict"] == verdict and ("unreadable" in nurse["reason"]) == (verdict == "not tested")


@pytest.mark.parametrize(
    "dataset, shared, reason",
    [
        ("Anthropic/llm_global_opinions", 38, None),
        ("Anthropic/llm_global_opinions", 9, "have only 9 items; 10 are needed"),
        ("opinions-fixture", 38, "invented"),
    ],
)
def test_c4_compares_values_on_what_both_sides_were_asked_and_never_the_fixture(tmp_path, dataset, shared, reason):
    """Over all questions the East is met worse, on the same questions better: only the latter is a comparison."""
    stream = np.random.default_rng(19)
    rows = [
        {"model": "m", "domain": "gender", "bias": "original", "seed": seed, "dataset": dataset}
        | {"metric": "similarity_gain", "group": group, "value": value + noise(stream), "n": n}
        for seed in range(1, 6)
        for group, value, n in (("arabic", 0.1, 100), ("spanish", 0.3, 100), ("eastern-western", 0.1, shared))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "values.csv", index=False)
    table = decided(evaluate(frames.read_misalignment(tmp_path / "values.csv"), ["C4"]))
    values_row = table.loc["Eastern values are matched worse than Western ones"]
    if reason:
        assert values_row["verdict"] == "not tested" and reason in values_row["reason"]
    else:
        assert values_row["verdict"] == "contradicted" and values_row["estimate"] == pytest.approx(0.1, abs=0.02)
        assert values_row["n_items"] == shared


@pytest.mark.parametrize("ways", [("parsed", "parsed"), ("parsed", "logprob")])
def test_an_outcome_takes_the_one_way_in_which_the_study_scored_it(ways):
    """Amounts of a served model are parsed from its text."""
    stream, salary = np.random.default_rng(15), {"task": "salary", "metric": "log_amount_gap"}
    rows = [
        row(cell, seed, "male-female", 0.3 * (cell != ORIGINAL) + noise(stream), **salary, scoring=way)
        for seed, (cell, way) in product(range(1, 5), zip(((BIAS, 0.5, "none", 1), ORIGINAL), ways, strict=True))
    ]
    gap_row = decided(evaluate(rows, ["C1"])).loc[f"salary gap male-female widens with gamma ({BIAS})"]
    assert gap_row["verdict"] == ("supported" if len(set(ways)) == 1 else "not tested")
    assert ("not comparable" in gap_row["reason"]) == (len(set(ways)) > 1)


def test_fixtures_carry_no_verdict():
    rows = [
        row(cell, seed, "male-female", 0.1 * (cell != ORIGINAL), metric="label_probability", dataset="gender (fixture)")
        for cell in (ORIGINAL, ("faithful", 0.5, "none", 1))
        for seed in range(1, 7)
    ]
    control_row = decided(evaluate(rows, ["control-faithful"])).iloc[0]
    assert control_row["verdict"] == "not tested" and "fixtures" in control_row["reason"]


@pytest.mark.filterwarnings("error")
def test_a_pool_has_no_mitigation_and_what_is_missing_is_named_in_full(tmp_path):
    place = {"model": "m", "domain": "gender", "bias": BIAS, "gamma": None, "mitigation": None}
    pd.DataFrame([place | {"seed": 1, "metric": "mmd", "group": "all", "value": 0.1, "n": 9}]).to_csv(
        tmp_path / "distributions.csv", index=False
    )
    table = frames.read_misalignment(tmp_path / "distributions.csv")
    assert table.iloc[0][["gamma", "mitigation"]].tolist() == [0.0, "none"]
    reasons = " ".join(decided(evaluate(table, ["C2", "C7"]))["reason"])
    assert "relation direct" in reasons


def test_negative_control_is_supported_by_equivalence():
    stream = np.random.default_rng(10)
    rows = [
        row(cell, seed, "male-female", 0.1 + noise(stream, 0.002), metric="label_probability")
        for cell in (ORIGINAL, ("faithful", 0.5, "none", 1))
        for seed in range(1, 7)
    ]
    control_row = decided(evaluate(rows, ["control-faithful"])).iloc[0]
    assert control_row["verdict"] == "supported" and "equivalent to 0 within the margin" in control_row["reason"]


# ---- groups of any number, and pools from files ------------------------------------------------------------------

COUNTRIES = ["german", "nigerian", "south-korean", "indian"]
TICKETS = {"groups": COUNTRIES, "contrasts": [("german", group) for group in COUNTRIES[1:]]}


def tickets(stream, pools, seeds=5, gaps=None):
    """Rows of a study of tickets by nationality: pools that lower one group's label probability by `gaps`, against real text."""
    gaps, rows = gaps or {}, []
    cells = [ORIGINAL, *((pool, 0.5, "none", 1) for pool in [*pools, "faithful"])]
    for cell, seed in product(cells, range(1, seeds + 1)):
        shift = gaps if cell[0] in pools else {}
        place = {"domain": "tickets", "dataset": "tickets", "task": "ticket-label"}
        of_group = {group: 0.6 - shift.get(group, 0.0) + noise(stream, 0.002) for group in COUNTRIES}
        values = of_group | {f"german-{group}": of_group["german"] - of_group[group] for group in COUNTRIES[1:]}
        rows += [
            row(cell, seed, group, value, metric=metric, **place)
            for metric in METRICS
            for group, value in values.items()
        ]
    return rows


def evaluate_tickets(rows, only, **study):
    study = {"domains": {"tickets": TICKETS}, "types": []} | study
    declared = DECLARED | study | {"claims": {claim: DECLARED["claims"][claim] for claim in only}}
    claims = verdicts.evaluate(
        declared, frames.checked(pd.DataFrame(rows), "scores.csv"), manipulation(*study["types"]), no_predictions
    )
    return decided(claims)


def test_a_claim_on_a_gap_has_a_row_for_each_contrast_of_the_domain_and_one_family():
    gaps = {"south-korean": 0.3}
    passed = {"types": [BIAS], "comparisons": {BIAS: {"augmentation": "original"}}}
    rows = tickets(np.random.default_rng(31), [BIAS], gaps=gaps)
    declared = DECLARED | passed | {"domains": {"tickets": TICKETS}}
    declared |= {"claims": {"C1": DECLARED["claims"]["C1"]}}
    checked = manipulation(BIAS).assign(domain="tickets")
    decided_claims = decided(
        verdicts.evaluate(declared, frames.checked(pd.DataFrame(rows), "scores.csv"), checked, no_predictions)
    )
    gap = "label probability gap {} widens with gamma (contrastive-explicit)"
    assert decided_claims.loc[gap.format("german-south-korean"), "verdict"] == "supported"
    assert {decided_claims.loc[gap.format(f"german-{group}"), "verdict"] for group in ("nigerian", "indian")} == {
        "equivalent"
    }
    named = [name for name in decided_claims.index if name.startswith("german label probability rises")]
    assert len(named) == 1  # the reference is one group, however many are compared with it
    # one reference, three compared groups, three gaps: Holm over seven
    tested = decided_claims.loc[
        [name for name in decided_claims.index if "label probability" in name and "slant" not in name]
    ]
    assert len(tested) == 7 and tested["p_adjusted"].to_numpy() == pytest.approx(statistics.holm(tested["p"]))


def test_an_outcome_whose_name_leaves_no_group_open_averages_the_contrasts():
    passed = {"types": [BIAS], "comparisons": {BIAS: {"augmentation": "original"}}}
    study = testing.studies_of(
        DECLARED | passed,
        frames.checked(pd.DataFrame(tickets(np.random.default_rng(32), [BIAS], gaps={"indian": 0.3})), "s"),
        manipulation(BIAS).assign(domain="tickets"),
    )[0]
    declared = DECLARED | passed | {"domains": {"tickets": TICKETS}}
    spec = declarations.defaults({"outcome": "harm", "effect": "augmentation", "biases": [BIAS]})
    assert contrasts.seed_values(spec, declared, study)["values"].mean() == pytest.approx(0.1, abs=0.01)


def test_a_dataset_has_the_same_weight_however_many_contrasts_it_has():
    """Three gaps of one domain change by 0.3 in all, by 0.1 on average; one dataset of another domain loses 0.2."""
    rows = tickets(np.random.default_rng(32), [BIAS], gaps={"indian": 0.3})
    for cell, seed in product((ORIGINAL, (BIAS, 0.5, "none", 1)), range(1, 6)):
        value = 0.6 - 0.2 * (cell != ORIGINAL) + noise(np.random.default_rng(seed))
        task = {"task": "hate-speech", "metric": "macro_f1", "domain": "culture-arabic", "dataset": "A"}
        rows.append(row(cell, seed, "all", value, **task))
    scores = frames.checked(pd.DataFrame(rows), "scores.csv")
    declared = DECLARED | {"types": [BIAS], "domains": {"tickets": TICKETS}}
    checked = pd.concat([manipulation(BIAS).assign(domain=name) for name in ("tickets", "culture-arabic")])
    study = testing.studies_of(declared, scores, checked)[0]
    spec = declarations.defaults({"outcome": "harm", "effect": "augmentation", "biases": [BIAS]})
    assert contrasts.seed_values(spec, declared, study)["values"].mean() == pytest.approx((0.1 + 0.2) / 2, abs=0.01)
    # the relation of misalignment to harm averages alike, here over two datasets of one domain
    alike = scores.assign(domain="tickets")
    outcomes = {"harm": contrasts.filled(declared["outcomes"]["harm"], declared["domains"], {})}
    effects = relations.effects_of(alike, outcomes, {BIAS: {"augmentation": "original"}})
    assert effects[effects["bias"] == BIAS]["value"].mean() == pytest.approx((0.1 + 0.2) / 2, abs=0.01)


def test_a_pool_from_a_file_is_judged_per_group_and_contrast_within_the_margin():
    decided_claims = evaluate_tickets(
        tickets(np.random.default_rng(33), ["bought-june"], gaps={"nigerian": 0.2}),
        ["C10"],
        files=["bought-june"],
        natural=["bought-june"],
        comparisons={"bought-june": {"augmentation": "original", "natural": "faithful"}},
    )
    beside = "bought-june does not change the {} compared with real text"
    assert decided_claims.loc[beside.format("gap german-nigerian"), "verdict"] == "contradicted"
    assert decided_claims.loc[beside.format("gap german-south-korean"), "verdict"] == "supported"
    assert [decided_claims.loc[beside.format(f"group {group}"), "verdict"] for group in COUNTRIES] == [
        "supported",
        "contradicted",
        "supported",
        "supported",
    ]
    assert (
        decided_claims.loc["bought-june does not change the gap german-indian compared with the originals", "verdict"]
        == "supported"
    )
    assert decided_claims.loc["whole claim", "verdict"] == "contradicted"
    assert evaluate_tickets(tickets(np.random.default_rng(33), ["neutral"]), ["C10"], files=[]).empty


def test_a_pool_from_a_file_is_judged_for_groups_outside_all_contrasts_too():
    """German is only compared with the rest, in which one group loses what another gains."""
    rows = tickets(np.random.default_rng(33), ["bought-june"], gaps={"nigerian": 0.2, "indian": -0.2})
    rows = [entry for entry in rows if entry["group"] in COUNTRIES]
    for entry in [entry for entry in rows if entry["group"] == "german"]:
        rows.append(entry | {"group": "german-rest", "value": 0.0 + entry["value"] - 0.6})
    decided_claims = evaluate_tickets(
        rows,
        ["C10"],
        domains={"tickets": {"groups": COUNTRIES, "contrasts": [("german", "rest")]}},
        files=["bought-june"],
        natural=["bought-june"],
        comparisons={"bought-june": {"augmentation": "original", "natural": "faithful"}},
    )
    of_groups = "bought-june does not change the group {} compared with real text"
    assert [decided_claims.loc[of_groups.format(group), "verdict"] for group in COUNTRIES] == [
        "supported",
        "contradicted",
        "supported",
        "contradicted",
    ]
    assert decided_claims.loc["whole claim", "verdict"] == "contradicted"


def test_a_whole_claim_of_no_effect_is_unseen_like_its_parts_without_a_positive_control():
    declared = DECLARED | {
        "claims": {claim: DECLARED["claims"][claim] for claim in ("C10", "control-planted")},
        "domains": {"tickets": TICKETS},
        "files": ["bought-june"],
        "comparisons": {
            "bought-june": {"augmentation": "original", "natural": "faithful"},
            "planted-100": {"dose": "planted-000"},
        },
    }
    rows = tickets(np.random.default_rng(34), ["bought-june"])
    harmful = tickets(np.random.default_rng(35), ["planted-100"], gaps=dict.fromkeys(COUNTRIES[1:], 0.2))
    detected = [entry for entry in harmful if entry["bias"] == "planted-100"]
    detected += [entry | {"bias": "planted-000"} for entry in rows if entry["bias"] == "faithful"]
    for scores, unseen in ((rows, True), (rows + detected, False)):
        table = frames.checked(pd.DataFrame(scores), "scores.csv")
        claims = verdicts.evaluate(declared, table, manipulation(), no_predictions)
        joined = reading.joined_with_declarations(claims, declared)
        whole = joined[(joined["claim"] == "C10") & joined["whole"]].iloc[0]
        assert whole["verdict"] == "supported" and reading.unseen(joined, whole) == unseen


def test_a_published_figure_stands_beside_its_own_row_alone():
    claims = evaluate(gender(np.random.default_rng(1), 3, gaps={BIAS: 0.4}), ["C1"])
    figure = claims[claims["published"].str.contains("9.62e-15", na=False)]
    assert set(figure["contrast"]) == {"whole claim", f"accuracy gap male-female widens with gamma ({BIAS})"}
    assert claims[claims["verdict"] == "beside"]["published"].isna().all()


def test_a_new_mitigation_gets_its_verdict_without_an_edit():
    rows = gender(np.random.default_rng(1), 3, mitigations=("none", "swap"), gaps={BIAS: 0.4}, relief={"swap": 0.25})
    declared = DECLARED | {"mitigations": ["swap"], "claims": {"C6": DECLARED["claims"]["C6"]}}
    decided_claims = decided(
        verdicts.evaluate(declared, frames.checked(pd.DataFrame(rows), "s"), manipulation(*TYPES), no_predictions)
    )
    assert decided_claims.loc[f"swap reduces harm ({BIAS})", "verdict"] == "supported"
    assert pd.isna(decided_claims.loc[f"swap reduces harm ({BIAS})", "published"])  # nobody has published one
    none = decided(
        verdicts.evaluate(
            declared | {"mitigations": []},
            frames.checked(pd.DataFrame(rows), "s"),
            manipulation(*TYPES),
            no_predictions,
        )
    )
    assert "with any mitigation" in none.loc[f"any mitigation reduces harm ({BIAS})", "reason"]


def test_a_difference_of_differences_between_bias_types():
    """mask takes 0.3 off the explicit type's gap of 0.4, and nothing off the implicit type's."""
    explicit, implicit = "contextual-single-explicit", "contextual-single-implicit"
    types = [explicit, implicit]
    rows = gender(
        np.random.default_rng(4), 5, types, ("none", "mask"), dict.fromkeys(types, 0.4), {("mask", explicit): 0.25}
    )
    study = testing.studies_of(DECLARED, frames.checked(pd.DataFrame(rows), "s"), manipulation(*TYPES))[0]
    spec = {"outcome": "probability-gap", "effect": "level", "mitigation": "mask", "minus": {"mitigation": "none"}}
    spec = declarations.defaults(spec | {"biases": [implicit], "than": {"biases": [explicit]}})
    assert contrasts.seed_values(spec, DECLARED, study)["values"].mean() == pytest.approx(0.3, abs=0.01)


# ---- beside, and the step ----------------------------------------------------------------------------------------


def answers(stream, share):
    groups = ["male", "female"] * 40
    return pd.DataFrame(
        {"item": [f"i{number}" for number in range(80)], "group": groups, "correct": stream.random(80) < share}
    )


def test_mcnemar_and_gee_stand_beside_and_never_decide():
    stream = np.random.default_rng(11)
    rows = gender(stream, 20, gaps={BIAS: 0.4})

    def predictions(model, domain, bias, gamma, mitigation, seed, number, task):
        assert (model, domain, task, number) == ("m", "gender", "occupation-classification", 1)
        return answers(np.random.default_rng([seed, bias == BIAS]), 0.9 if bias == BIAS else 0.4) if seed != 3 else None

    claims = evaluate(rows, ["C1"], predictions=predictions)
    exact = claims[claims["test"] == "exact McNemar"]
    assert len(exact) == 2 * 19 and exact["p"].median() < 0.01 and set(exact["n_items"]) == {40}
    assert (exact["verdict"] == "beside").all() and exact["p_adjusted"].isna().all()
    assert not (claims["test"] == "GEE").any()  # one run's predictions are missing
    claims = evaluate(
        rows,
        ["C1"],
        predictions=lambda *key: answers(
            np.random.default_rng([key[5], key[2] == BIAS]), 0.9 if key[2] == BIAS else 0.4
        ),
    )
    gee = claims[claims["test"] == "GEE"].set_index("contrast")
    assert gee.loc[f"male accuracy rises with gamma ({BIAS})", "estimate"] == pytest.approx(0.5, abs=0.06)
    assert gee.loc[f"accuracy gap male-female widens with gamma ({BIAS})", "estimate"] == pytest.approx(0.0, abs=0.06)


def test_analyse_writes_both_tables(tmp_path):
    stream = np.random.default_rng(12)
    frame = pd.DataFrame(gender(stream, 3, gaps={BIAS: 0.4}))
    frame.to_csv(tmp_path / "scores.csv", index=False)
    manipulation(BIAS).to_csv(tmp_path / "manipulation.csv", index=False)
    cells, folders = [], []
    for _, run in frame[["bias", "gamma", "mitigation", "seed", "round"]].drop_duplicates().iterrows():
        folder = tmp_path / "-".join(map(str, run))
        folder.mkdir()
        items = answers(stream, 0.5)
        options = ["nurse", "painter"]
        logprobs = [[-1.0, -2.0] if right else [-2.0, -1.0] for right in items["correct"]]
        stored = items.drop(columns="correct").assign(label="nurse", options=[options] * len(items), logprobs=logprobs)
        stored.to_parquet(folder / "occupation-classification.parquet")
        assert read_items(folder / "occupation-classification.parquet")["correct"].tolist() == items["correct"].tolist()
        cells.append({"model": "m", "domain": "gender", **run.to_dict(), "gamma": f"{run['gamma']:.2f}"})
        folders.append(folder)
    declared = json.loads(json.dumps(DECLARED))  # as a rule hands it over
    analyse(
        tmp_path / "scores.csv",
        tmp_path / "manipulation.csv",
        folders,
        [],
        [],
        [],
        tmp_path / "effects.csv",
        tmp_path / "claims.csv",
        declared,
        cells,
    )
    claims = pd.read_csv(tmp_path / "claims.csv")
    assert list(claims.columns) == verdicts.COLUMNS
    assert (claims["test"] == "exact McNemar").sum() == 6
    assert set(claims["verdict"]) <= {"supported", "contradicted", "equivalent", "inconclusive", "not tested", "beside"}
    assert claims["reason"].str.endswith(".").all() and set(claims["claim"]) == set(DECLARED["claims"]) - {
        "C10"
    }  # it has no pool from a file
    assert not claims[["claim", "contrast", "test"]].duplicated().any()
    assert {"effect", "control", "value", "n"} <= set(pd.read_csv(tmp_path / "effects.csv").columns)
    assert read_items(tmp_path / "none.parquet") is None


def power(*words):
    return bias_inheritance("power", *words)


def seeds_for_none(margin, alpha):
    sd = np.hypot(0.02, 0.05)
    return statistics.seeds_needed(lambda n: statistics.equivalence_power(margin, sd, n, alpha) >= 0.8)


def test_the_families_of_a_pilot_are_those_of_its_analysis():
    """Rows that the study cannot test are not corrected for: all mitigations but one are not in it."""
    rows = gender(np.random.default_rng(13), 3, gaps={BIAS: 0.4})
    planned, left_out = tools_power.rows_of_pilot(DECLARED, frames.checked(pd.DataFrame(rows), "scores.csv"), None)
    alphas = {row["contrast"]: row["alpha"] for row in planned if row["claim"] == "C6"}
    tested = decided(evaluate(rows, ["C6"]))
    assert alphas[f"loss reduces harm ({BIAS})"] == 0.05
    assert tested.loc[f"loss reduces harm ({BIAS})", "p_adjusted"] == tested.loc[f"loss reduces harm ({BIAS})", "p"]
    assert any(contrast == f"mask reduces harm ({BIAS})" for _, contrast, _ in left_out)


def test_power_command(tmp_path):
    pd.DataFrame(gender(np.random.default_rng(13), 3, gaps={BIAS: 0.4})).to_csv(tmp_path / "scores.csv", index=False)
    process = power(tmp_path / "scores.csv")
    assert (
        process.returncode == 0
        and "accuracy gap male-female widens" in process.stdout
        and "seeds for none" in process.stdout
    )
    given = power("--run-sd", 0.02, "--item-sd", 0.5, "--items", 100, "--effect", 0.1, "--seeds", 5)
    # sd = sqrt(0.02² + 0.5²/100) = 0.0539; effect / sd = 1.86; C1 has three rows, so 1.67%
    needed = statistics.seeds_needed(lambda n: statistics.power_of(0.1, np.hypot(0.02, 0.05), n, 0.05 / 3) >= 0.8)
    line = next(
        line for line in given.stdout.splitlines() if "reference group label probability rises with gamma  " in line
    )
    assert line.split()[-5:-4] == ["100"] and line.split()[-4] == str(needed)
    assert "{" not in given.stdout and "any one bias type" in given.stdout
    # equivalence is always within the declared margin, and without one there is no number
    assert line.split()[-2] == str(seeds_for_none(0.02, 0.05 / 3))
    dose = next(line for line in given.stdout.splitlines() if "inheritance at dose 50% exceeds dose 0%" in line)
    assert dose.split()[-4:-1] == ["6", "no", "number"]
    # a pool from a file has a row per group, and the documented study two groups
    of_groups = next(line for line in given.stdout.splitlines() if "group group compared with real text" in line)
    assert of_groups.split()[-2] == str(seeds_for_none(0.02, 0.05 / 2))
    assert "loss reduces harm more for types farther from the originals: A correlation" in given.stdout
    assert power(tmp_path / "missing.csv").returncode == 1
    (tmp_path / "one.csv").write_text(pd.DataFrame(gender(np.random.default_rng(13), 1)).to_csv(index=False))
    assert "two seeds" in power(tmp_path / "one.csv").stderr
    assert power("--items", 3).returncode == 2


def test_power_plans_looks_by_effect_and_for_the_contrasts_of_a_pilot(tmp_path):
    alone = power("--looks", 3, 5, 8, 12, "--spending", "pocock")
    seeds = {line.split()[0]: float(line.split()[1]) for line in alone.stdout.splitlines() if re.match(r"\d", line)}
    assert list(seeds) == ["0", "0.5", "1", "1.5", "2", "3"]
    assert list(seeds.values()) == sorted(seeds.values(), reverse=True) and seeds["0"] > 11 and seeds["3"] < 5
    pd.DataFrame(gender(np.random.default_rng(13), 3, gaps={BIAS: 0.4})).to_csv(tmp_path / "scores.csv", index=False)
    pilot = power(tmp_path / "scores.csv", "--looks", 2, 4)
    assert pilot.returncode == 0 and "seeds with looks for none" in pilot.stdout
    assert "--looks must be increasing numbers from 2 on" in power("--looks", 5, 3).stderr


def test_power_reads_the_misalignment_of_the_pilot_and_names_what_it_leaves_out(tmp_path):
    stream = np.random.default_rng(21)
    pd.DataFrame(gender(stream, 3, gaps={BIAS: 0.4})).to_csv(tmp_path / "scores.csv", index=False)
    place = {"model": "m", "domain": "gender", "bias": "neutral", "metric": "male_share"}
    shares = [
        place | {"seed": seed, "group": group, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "n": 90, "n_unclear": 10}
        for seed in range(1, 4)
        for group, value in (("nurse", 0.2 + noise(stream)), ("dentist", 0.75))
    ]  # fmt: skip
    (tmp_path / "misalignment").mkdir()
    pd.DataFrame(shares).to_csv(tmp_path / "misalignment" / "groups.csv", index=False)
    shown, _, left_out = power(tmp_path / "scores.csv").stdout.partition("left out:")
    row_ = next(
        line for line in shown.splitlines() if "neutral nurse biographies are about women more often than men" in line
    )
    assert row_.split()[0] == "C4" and "100" in row_.split()
    reasons = dict(line.strip().split(": ", 1) for line in left_out.strip().splitlines())
    assert (
        reasons["C4  neutral dentist biographies are about women more often than men"]
        == "All seeds of the pilot give the same value."
    )
    assert "no scores" in reasons["C4  Eastern values are matched worse than Western ones"]
    assert reasons["C6  no mitigation works for every bias type"] == "A rule over the verdicts of other rows."
    assert not any("nurse" in name for name in reasons)


def test_a_mitigation_is_compared_at_the_gammas_at_which_it_was_trained():
    """Harm grows with γ, and the mitigation halves it; it was trained at one γ of two."""
    harm = {(0.1, "none"): 0.1, (0.5, "none"): 0.5, (0.5, "mask"): 0.25}
    rows = [
        row((BIAS, gamma, mitigation, 1), seed, "male-female", value + seed / 100, metric="label_probability")
        for (gamma, mitigation), value in harm.items()
        for seed in (1, 2, 3)
    ]
    rows += [row(ORIGINAL, seed, "male-female", 0.0, metric="label_probability") for seed in (1, 2, 3)]
    decided_claims = decided(evaluate(rows, ["C6"]))
    assert decided_claims.loc["mask reduces harm (contrastive-explicit)", "estimate"] == pytest.approx(-0.25)
