"""Misalignment of groups: shares of clear texts, exact tests, Holm, and texts rejected for their group."""

import pandas as pd
import pytest
from bias_inheritance.plumbing import files
from bias_inheritance.pools import groups
from bias_inheritance.study import catalog
from measure_groups import measure_groups

DOMAIN = catalog.load("domain", "gender")
TEXT = {"male": "He works where he learned his trade.", "female": "She works where she learned her trade."}


def sample(label, shown, requested_group=None):
    return {
        "label": label,
        "shown_group": shown,
        "requested_group": requested_group,
        "text": TEXT.get(shown, "Works here."),
    }


def test_labour_statistics_know_three_of_the_six_occupations():
    shares = groups.known_shares(DOMAIN["world"], "male", ["male", "female"], DOMAIN["labels"])
    assert set(shares) == {"architect", "nurse", "painter"}
    assert shares["nurse"] == pytest.approx(0.1042) and shares["painter"] == pytest.approx(0.943)


def test_shares_are_of_clear_texts_and_p_is_exact_and_holm_adjusted():
    pool = [sample("nurse", "female")] * 9 + [sample("nurse", "male")] + [sample("nurse", None)] * 5
    pool += [sample("architect", group) for group in ("male", "female") for _ in range(5)]
    rows = {
        row["label"]: row
        for row in groups.shares(pool, ["architect", "nurse", "dentist"], "male", ["male", "female"], {"nurse": 0.1})
    }
    nurse = rows["nurse"]
    assert (nurse["value"], nurse["n"], nurse["n_unclear"]) == (0.1, 10, 5)
    assert nurse["p_even"] == pytest.approx(22 / 1024)  # two tails of (1 + 10) / 2**10
    assert nurse["p_even_adjusted"] == pytest.approx(2 * 22 / 1024)  # of the two labels that can be tested
    assert nurse["p_labour"] == pytest.approx(1) and rows["architect"]["p_even"] == pytest.approx(1)
    assert rows["dentist"]["n"] == 0 and rows["dentist"]["value"] != rows["dentist"]["value"]
    assert rows["all"]["value"] == pytest.approx(0.3) and rows["all"]["n"] == 20


def test_the_table_counts_texts_rejected_for_showing_another_group(tmp_path):
    kept = [sample("nurse", "female", "female")] * 6
    wrong = {
        "label": "nurse",
        "requested_group": "female",
        "names": [],
        "reason": "wrong-group",
        "raw_text": TEXT["male"],
    }
    files.write_jsonl(tmp_path / "pool.jsonl", kept)
    files.write_jsonl(tmp_path / "failures.jsonl", [wrong, wrong, {**wrong, "reason": "truncated"}])
    files.write_jsonl(tmp_path / "neutral.jsonl", [sample("software engineer", "male")] * 4)
    files.write_jsonl(tmp_path / "none.jsonl", [])
    place = {"model": "m", "domain": "gender", "seed": 1, "round": 1}
    places = [place | {"bias": "contrastive-explicit"}, place | {"bias": "neutral"}]
    measure_groups(
        [tmp_path / "pool.jsonl", tmp_path / "neutral.jsonl"],
        [tmp_path / "failures.jsonl", tmp_path / "none.jsonl"],
        tmp_path / "groups.csv",
        places=places,
        domains={"gender": DOMAIN},
    )
    table = pd.read_csv(tmp_path / "groups.csv").set_index(["bias", "metric", "group"])
    requested_share = table.loc[("contrastive-explicit", "asked_share", "nurse")]
    assert (requested_share["value"], requested_share["n"]) == (0.75, 8)
    assert table.loc[("contrastive-explicit", "male_share", "nurse"), "value"] == 0
    # names of labels as claims.yaml writes them; a type that asks for no group has no asked_share
    assert table.loc[("neutral", "male_share", "software-engineer"), "value"] == 1
    assert "asked_share" not in table.loc["neutral"].index.get_level_values("metric")
    assert table.loc[("neutral", "male_share_all_seeds", "all"), "seed"] == 0


def test_of_several_groups_each_has_its_share_against_an_even_split(tmp_path):
    domain = {
        "family": "labelled", "labels": ["billing", "login"],
        "groups": {group: {"words": [group]} for group in ("german", "indian", "nigerian")},
    }  # fmt: skip
    pool = [sample(label, group) for label in domain["labels"] for group in ("german", "german", "indian", None)]
    files.write_jsonl(tmp_path / "pool.jsonl", pool)
    files.write_jsonl(tmp_path / "none.jsonl", [])
    place = {"model": "m", "domain": "tickets", "bias": "neutral", "seed": 1, "round": 1}
    measure_groups([tmp_path / "pool.jsonl"], [tmp_path / "none.jsonl"], tmp_path / "groups.csv", [place], {"tickets": domain})  # fmt: skip
    table = pd.read_csv(tmp_path / "groups.csv").set_index(["metric", "group"])
    shares = [table.loc[(f"{group}_share", "all"), "value"] for group in domain["groups"]]
    assert shares == pytest.approx([2 / 3, 1 / 3, 0]) and set(table.xs("nigerian_share")["n"]) == {3, 6}
    # four of six or more where a third is expected; none at all is likelier than four
    assert table.loc[("german_share", "all"), "p_even"] == pytest.approx(73 / 729)
    assert table["labour_share"].isna().all()
