"""A domain of five labels and four groups, from its file of texts to the inheritance coefficient, defined by its
catalog file only.
"""

import itertools
from collections import Counter
from fractions import Fraction

import check_manipulation
import numpy as np
import pandas as pd
import pytest
import tickets
from bias_inheritance.data import contrasts, labelled
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import balance, mixing, overlap, slots
from bias_inheritance.stats import inheritance
from bias_inheritance.study import catalog, grid
from bias_inheritance.tasks import classification, salary
from copy_pool import copy_pool
from measure_inheritance import measure_inheritance
from prepare_items import prepare_items
from prepare_originals import prepare_originals

TASK = catalog.load("task", "classification")
NAMES = ["german-nigerian", "german-indian", "german-mexican"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(domain, folder with what `prepare_originals` wrote)."""
    folder = tmp_path_factory.mktemp("tickets")
    domain = {**tickets.write(folder), "fixture": False}
    outputs = [folder / f"{name}.jsonl" for name in ("source", "reserve", "test")]
    prepare_originals([], *outputs, folder / "counts.json", domain, None)
    return domain, folder


def read(folder, name):
    return files.read_jsonl(folder / f"{name}.jsonl")


def kinds(samples):
    return Counter((sample["label"], sample["group"]) for sample in samples)


# ---- originals and items -----------------------------------------------------------------------------------------


def test_every_part_holds_every_label_of_every_group_and_no_text_of_another(prepared):
    domain, folder = prepared
    parts = {name: read(folder, name) for name in ("source", "reserve", "test")}
    pairs = set(itertools.product(tickets.TOPICS, tickets.GROUPS))
    for samples in parts.values():
        assert set(kinds(samples)) == pairs
    originals = [sample for sample in parts["test"] if "exchanged" not in sample]
    left_out = sum(files.read_json(folder / "counts.json").get("repeats_test", {}).values())
    assert len(parts["source"]) + len(parts["reserve"]) + len(originals) + left_out == 320 and left_out < 32
    tested = overlap.Texts({sample["id"]: sample["text"] for sample in parts["test"]})
    assert not any(tested.repeated_by(sample["text"]) for name in ("source", "reserve") for sample in parts[name])
    twins = [{sample["twin"] for sample in samples} for samples in parts.values()]
    assert not twins[0] & twins[1] and not twins[0] & twins[2] and not twins[1] & twins[2]


def test_data_that_changed_after_the_plan_are_refused(tmp_path):
    domain = {**tickets.write(tmp_path), "fixture": False}
    outputs = [tmp_path / f"{name}.jsonl" for name in ("source", "reserve", "test")]
    data = labelled.files_read(domain, None)
    planned = provenance.digests(data)
    prepare_originals(data, *outputs, tmp_path / "counts.json", domain, None, planned)
    tickets.write(tmp_path, seed=2)
    with pytest.raises(UserError, match=r"tickets.csv: changed after the run was planned"):
        prepare_originals(data, *outputs, tmp_path / "counts.json", domain, None, planned)


def test_test_texts_have_twins_in_all_groups_and_those_without_a_cue_none(prepared):
    domain, folder = prepared
    clusters = {}
    for sample in read(folder, "test"):
        clusters.setdefault(sample["twin"], []).append(sample)
    counts = files.read_json(folder / "counts.json")["twins"]
    assert Counter(map(len, clusters.values())) == {4: counts["with_twin"], 1: counts["without_twin"]}
    assert counts["without_twin"] > 10 and counts["exchanged"] >= 3 * counts["with_twin"]
    for samples in clusters.values():
        if len(samples) == 4:
            assert {sample["group"] for sample in samples} == set(tickets.GROUPS)
            assert {labelled.shown_group(sample["text"], domain) == sample["group"] for sample in samples} == {True}
        else:
            assert labelled.shown_group(samples[0]["text"], domain) is None


@pytest.mark.parametrize("count", [40, 100])
def test_items_are_at_most_as_many_and_balanced_over_label_and_group(prepared, tmp_path, count):
    domain, folder = prepared
    prepare_items(folder / "test.jsonl", tmp_path / "items.jsonl", TASK, domain, count)
    items = read(tmp_path, "items")
    assert count - 4 < len(items) <= count
    met = kinds(items)
    assert len(met) == 20 and max(met.values()) - min(met.values()) <= 1
    assert {tuple(item["options"]) for item in items} == {tuple(tickets.TOPICS)}
    assert items[0]["prompt"].endswith("\n\nCategory:")


def test_d_o_is_balanced_and_a_missing_combination_is_told(prepared, tmp_path):
    domain, folder = prepared
    drawn = labelled.draw(read(folder, "source"), 60, 1)
    assert set(kinds(drawn).values()) == {3}
    short = tickets.write(tmp_path)
    lines = (tmp_path / "tickets.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.endswith("refund,indian")]
    (tmp_path / "tickets.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="too few texts of 1 of 20 combinations .*refund and indian: 0"):
        labelled.load(short)


@pytest.mark.parametrize("count", [7, 50, 250, 1000, 1003])
def test_d_o_is_balanced_over_labels_and_groups_where_it_is_smaller_than_their_combinations(count):
    listed = [
        {"twin": number, "label": f"label {number % 50}", "group": f"group {number // 50 % 20}"}
        for number in range(3000)
    ]
    drawn = labelled.draw(listed, count, 1)
    assert len(drawn) == len({sample["twin"] for sample in drawn}) == count
    for key, kinds in (("label", 50), ("group", 20)):
        counts = Counter(sample[key] for sample in drawn)
        assert set(counts.values()) <= {count // kinds, -(-count // kinds)}


def test_a_text_that_a_twin_of_a_test_text_would_repeat_is_not_trained_on(tmp_path):
    """Texts written for all groups alike, no run of eight words without a group's: each is the twin of three others."""
    domain, lines = {**tickets.write(tmp_path), "fixture": False}, []
    for number, topic in enumerate(label for label in tickets.TOPICS for _ in range(8)):
        drawn = np.random.default_rng(number).permutation(tickets.WORDS)
        for group, spec in tickets.GROUPS.items():
            body = " ".join(f"{' '.join(drawn[start : start + 5])} {spec['words'][1]}" for start in range(0, 20, 5))
            lines.append(f"{body},{topic},{group}")
    (tmp_path / "tickets.csv").write_text("\n".join(["body,topic,nationality", *lines]) + "\n", encoding="utf-8")
    outputs = [tmp_path / f"{name}.jsonl" for name in ("source", "reserve", "test")]
    prepare_originals([], *outputs, tmp_path / "counts.json", domain, None)
    texts = {name: {sample["text"] for sample in read(tmp_path, name)} for name in ("source", "reserve", "test")}
    assert not texts["test"] & (texts["source"] | texts["reserve"])
    assert sum(files.read_json(tmp_path / "counts.json")["repeats_test"].values()) > 40


def test_short_texts_that_equal_a_test_text_once_they_are_cut_are_not_trained_on(tmp_path):
    domain = {**tickets.write(tmp_path), "fixture": False, "sentences": 2}
    path, stream = tmp_path / "tickets.csv", np.random.default_rng(1)
    table = pd.read_csv(path)
    table["body"] = [
        f"Great! Love it. {' '.join(stream.permutation(tickets.WORDS))}" if number % 9 == 0 else body
        for number, body in enumerate(table["body"])
    ]
    table.to_csv(path, index=False)
    outputs = [tmp_path / f"{name}.jsonl" for name in ("source", "reserve", "test")]
    prepare_originals([], *outputs, tmp_path / "counts.json", domain, None)
    texts = {name: [sample["text"] for sample in read(tmp_path, name)] for name in ("source", "reserve", "test")}
    assert "Great! Love it." in texts["test"]
    assert "Great! Love it." not in texts["source"] + texts["reserve"]
    assert min(files.read_json(tmp_path / "counts.json")["repeats_test"].values()) > 1


# ---- pools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["neutral", "balanced", "balanced-implicit"])
def test_every_prefix_of_the_slots_is_balanced_over_label_and_group(name):
    domain, bias = tickets.domain(), catalog.load("bias", name)
    filled = slots.slots(labelled, bias, domain, 80, ("slots", "tickets", 1))
    columns = [[slot["label"] for slot in filled], [slot["requested_group"] for slot in filled]]
    if name != "neutral":
        assert len(set(zip(*columns, strict=True))) == 20
        assert (
            balance.largest_difference([None] * 80, [list(tickets.GROUPS).index(group) for group in columns[1]], 4) == 1
        )
    labels = [list(tickets.TOPICS).index(label) for label in columns[0]]
    assert balance.largest_difference([None] * 80, labels, 5) == 1
    words = {group: {*map(str.lower, spec["words"]), group} for group, spec in tickets.GROUPS.items()}
    for slot in filled:
        said = set(slot["prompt"].lower().replace('"', " ").replace(".", " ").split())
        assert "a support ticket" in slot["prompt"] and slot["label"] in said
        named = {group for group, listed in words.items() if listed & said}
        assert named == ({slot["requested_group"]} if name == "balanced" else set())
        assert (len(slot["names"]) == 1) == (name == "balanced-implicit")


def test_a_contrastive_prompt_sets_the_reference_against_each_group_in_turn():
    stereotypes = {
        label: {group: {"text": f"one of {group}", "words": ["one"]} for group in tickets.GROUPS}
        for label in tickets.TOPICS
    }
    domain, bias = tickets.domain(stereotypes=stereotypes), catalog.load("bias", "contrastive-explicit")
    filled = slots.slots(labelled, bias, domain, 120, ("slots", "tickets", 1))
    pairs = {(slot["requested_group"], slot["prompt"].split("person who is ")[1].split(" ")[0]) for slot in filled}
    others = [group for group in tickets.GROUPS if group != "german"]
    assert pairs == {("german", group) for group in others} | {(group, "german") for group in others}


GOOD = "I am a {} customer and my parcel has not come since May. Please look for it before Friday."


def judged(text, domain, requested_group="german"):
    return slots.judge(
        text,
        True,
        {"label": "billing", "requested_group": requested_group, "names": []},
        labelled,
        domain,
        set(),
        overlap.Texts({}),
    )


def test_a_generated_text_is_held_to_the_domains_own_cues():
    domain = tickets.domain()
    assert judged(GOOD.format("German"), domain)[1] is None
    assert judged(GOOD.format("Mexican"), domain)[1] == "wrong-group"
    assert judged(GOOD.format("loyal"), domain)[1] is None  # shows nobody: kept, and counted as unclear
    named = "My name is Priya and my parcel has not come since May."
    assert judged(named, domain, "indian")[1] is None and judged(named, domain, "mexican")[1] == "wrong-group"
    silent = tickets.domain(groups=dict.fromkeys(tickets.GROUPS))
    assert judged(GOOD.format("Mexican"), silent)[1] is None
    # no words are listed that give a label away
    assert (
        labelled.finish({"text": GOOD.format("German")}, {"requested_group": "german"}, domain)["label_words_replaced"]
        == 0
    )


@pytest.mark.parametrize("dose", [0, 0.5, 1])
@pytest.mark.parametrize("count", [7, 20, 60])
def test_associated_controls_follow_the_domains_table_or_the_order_of_names(prepared, dose, count):
    domain, folder = prepared
    bias = {"name": "a", "role": "positive-control", "source": "reserve", "associate": dose}
    originals = labelled.draw(read(folder, "source"), 60, 1)
    in_turn = dict(zip(tickets.TOPICS, ["german", "indian", "mexican", "nigerian", "german"], strict=True))
    declared_groups = dict.fromkeys(tickets.TOPICS, "mexican") | {"praise": "german"}
    for given, table in ((domain, in_turn), ({**domain, "associated_groups": declared_groups}, declared_groups)):
        pool, _ = slots.copies(labelled, bias, given, originals, read(folder, "reserve"), count, 1)
        labels = Counter(sample["label"] for sample in pool)
        assert max(labels.values()) - min(labels[label] for label in tickets.TOPICS) <= 1
        for label, group in table.items():
            share = Fraction(1, 4) + Fraction(3, 4) * Fraction(str(dose))
            assert abs(kinds(pool)[label, group] - share * labels[label]) < 1
        assert not {sample["twin"] for sample in pool} & {sample["twin"] for sample in originals}
        assert [row["passed"] for row in check_manipulation.measure(pool, 0, [], bias, given, 100)] == [True]


def test_without_a_reserve_associated_copies_the_originals_and_faithful_is_refused(prepared):
    domain, folder = prepared
    originals = labelled.draw(read(folder, "source"), 60, 1)
    associated = catalog.load("bias", "associated-100")
    pool, counts = slots.copies(labelled, associated, domain, originals, [], 20, 1)
    assert {sample["copy_of"] for sample in pool} <= {sample["id"] for sample in originals}
    with pytest.raises(UserError, match="faithful.yaml: the reserve of the domain tickets has no sample"):
        slots.copies(labelled, catalog.load("bias", "faithful"), domain, originals, [], 20, 1)
    assert labelled.has_reserve(domain)
    assert not labelled.has_reserve(tickets.domain(data={**domain["data"], "split": {"test": 0.3}}))


def test_planted_labels_go_to_every_compared_group_and_to_no_other(prepared):
    domain, folder = prepared
    planted = {**domain, "planted_label": "refund"}
    originals, bias = labelled.draw(read(folder, "source"), 20, 1), catalog.load("bias", "planted-050")
    pool, _ = slots.copies(labelled, bias, planted, originals, read(folder, "reserve"), 40, 1)
    changed = Counter(sample["group"] for sample in pool if "true_label" in sample)
    assert changed == dict.fromkeys(["nigerian", "indian", "mexican"], 5)
    rows = check_manipulation.measure(pool, 0, [], bias, planted, 100)
    assert [(row["group"], row["value"], row["passed"]) for row in rows] == [
        (group, 0.5, True) for group in ("nigerian", "indian", "mexican")
    ]


def test_the_slots_of_checked_mixes_are_even_over_the_domains_own_numbers(monkeypatch):
    shipped = catalog.load
    ours = lambda kind, name: tickets.domain() if name == "tickets" else shipped(kind, name)  # noqa: E731
    monkeypatch.setattr(catalog, "load", ours)
    assert grid.even_over("tickets", "balanced") == {"label": 5, "group": 4}
    assert grid.even_over("tickets", "neutral") == {"label": 5} == grid.even_over("tickets", "associated-050")


# ---- the manipulation check --------------------------------------------------------------------------------------


def generated(group_of, words=""):
    domain, bias = tickets.domain(), catalog.load("bias", "balanced")
    pool = []
    for slot in slots.slots(labelled, bias, domain, 80, ("slots", "tickets", 1)):
        text = f"I am a {group_of(slot['requested_group'])} customer and wait {words}for number {slot['slot']}."
        pool.append({"id": f"x-{slot['slot']}", **slot, **labelled.finish({"text": text}, slot, domain)})
    return pool


def test_the_check_has_a_row_for_every_group_and_a_domain_without_cues_says_that_it_has_none():
    table = {
        label: {group: {"text": "slow", "words": ["slowly"]} for group in tickets.GROUPS} for label in tickets.TOPICS
    }
    domain, bias = tickets.domain(stereotypes=table), catalog.load("bias", "contextual-single-explicit")
    slanted, plain = generated(str, "slowly "), generated(str)
    rows = check_manipulation.measure(slanted, 0, plain, bias, domain, 100)
    differences = [row for row in rows if row["measure"] == "stereotype_rate_minus_balanced"]
    assert [row["group"] for row in differences] == list(tickets.GROUPS) and all(row["passed"] for row in rows)
    confused = generated(lambda group: "mexican")
    assert {row["passed"] for row in check_manipulation.measure(confused, 0, plain, bias, domain, 100)} == {False}
    silent = {**domain, "groups": dict.fromkeys(tickets.GROUPS)}
    rows = check_manipulation.measure(slanted, 0, plain, bias, silent, 100)
    assert rows[-1]["measure"] == "no_cues" and all(row["passed"] for row in rows)
    told = [{**sample, "shown_group": None} for sample in plain]  # by a file's column alone
    for pool in (plain, told):
        neutral = check_manipulation.measure(pool, 0, [], catalog.load("bias", "neutral"), domain, 100)
        assert {row["group"]: row["value"] for row in neutral} == {**dict.fromkeys(tickets.GROUPS, 0.25), "unclear": 0}


# ---- metrics -----------------------------------------------------------------------------------------------------

RIGHT = {"german": 1.0, "nigerian": 0.5, "indian": 0.75, "mexican": 0.25}


def answered(domain, folder, tmp_path, twins=True):
    """Items answered correctly with the group-specific rates RIGHT, for every label."""
    test = [sample for sample in read(folder, "test") if twins or "exchanged" not in sample]
    seen, rows = Counter(), []
    for item in classification.items(TASK, domain, labelled, test, None):
        place = seen[item["label"], item["group"]]
        seen[item["label"], item["group"]] += 1
        hit = place % 4 < 4 * RIGHT[item["group"]]
        wrong = domain["labels"][(domain["labels"].index(item["label"]) + 1) % 5]
        rows.append({**item, "logprobs": [0.0 if option == (item["label"] if hit else wrong) else -9.0 for option in item["options"]]})  # fmt: skip
    return rows


def value(rows, metric, group):
    return next(row["value"] for row in rows if (row["metric"], row["group"]) == (metric, group))


@pytest.mark.parametrize("twins", [True, False])
def test_every_group_and_contrast_has_its_rows(prepared, tmp_path, twins):
    domain, folder = prepared
    items = answered(domain, folder, tmp_path, twins)
    rows = classification.score(items, TASK, domain, 200, 1)
    right = {group: [item["logprobs"][domain["labels"].index(item["label"])] == 0 for item in items if item["group"] == group] for group in RIGHT}  # fmt: skip
    groups = [row["group"] for row in rows if row["metric"] == "accuracy"]
    assert groups == ["all", *tickets.GROUPS, *NAMES, "worst_group", "largest_gap"]
    for group in RIGHT:
        assert value(rows, "accuracy", group) == pytest.approx(np.mean(right[group]))
        if group != "german":
            assert value(rows, "accuracy", f"german-{group}") == pytest.approx(1 - value(rows, "accuracy", group))
    assert value(rows, "accuracy", "worst_group") == value(rows, "accuracy", "mexican")
    assert value(rows, "accuracy", "largest_gap") == pytest.approx(1 - value(rows, "accuracy", "mexican"))
    shares = [row["group"] for row in rows if row["metric"] == "predicted_share"]
    assert shares == [f"{label}:{name}" for name in NAMES for label in tickets.TOPICS]
    assert value(rows, "rms_tpr_gap", "all") > (0.3 if twins else 0.1)  # chance is smaller among twins
    gap = next(row for row in rows if (row["metric"], row["group"]) == ("accuracy", "german-mexican"))
    assert 0.3 < gap["ci_low"] < gap["value"] < gap["ci_high"] <= 1


def test_a_group_against_all_others(prepared, tmp_path):
    domain, folder = prepared
    predictions = answered(domain, folder, tmp_path)
    for reference, compared, name in (("rest", ["mexican"], "rest-mexican"), ("mexican", "rest", "mexican-rest")):
        against = {**domain, "contrasts": {"reference": reference, "compared": compared}}
        rows = classification.score(predictions, TASK, against, 100, 1)
        size = 0.75 - RIGHT["mexican"]
        assert value(rows, "accuracy", name) == pytest.approx(size if reference == "rest" else -size, abs=0.07)


def test_salaries_of_several_groups_are_paired_where_a_contrast_has_twins():
    task = catalog.load("task", "salary")
    rungs = salary.ladder(task)
    domain = tickets.domain()
    salary_items = [
        {"item": f"{n}-{group}", "cluster": str(n), "group": group, "label": "billing", "options": [f"${rung}" for rung in rungs],
         "logprobs": [0.0 if place == rung else -50.0 for place in range(len(rungs))]}
        for n in range(12)
        for rung, group in ((8, "german"), (6, "nigerian"), (7, "indian"))
    ]  # fmt: skip
    rows = salary.score(salary_items, task, domain, 100, 1)
    gaps = {row["group"]: row for row in rows if row["metric"] == "log_amount_gap"}
    assert gaps["german-nigerian"]["value"] == pytest.approx(np.log(rungs[8] / rungs[6]))
    assert (
        gaps["german-indian"]["value"] == pytest.approx(np.log(rungs[8] / rungs[7]))
        and gaps["german-indian"]["n"] == 12
    )
    assert gaps["german-mexican"]["value"] is None  # nobody was asked


# ---- the inheritance coefficient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("twins", [True, False])
def test_the_coefficient_of_all_compared_groups_is_the_one_that_the_model_was_made_with(prepared, tmp_path, twins):
    """From real copies of an associated pool through `mix` to β, with a model that takes over 30% of the association."""
    domain, folder = prepared
    originals = tmp_path / "originals.jsonl"
    files.write_jsonl(originals, labelled.draw(read(folder, "source"), 60, 1))
    places, stream = [], np.random.default_rng(1)
    x = {}
    for name in ("original", "faithful", "associated-100"):
        cell = tmp_path / name
        (cell / "predictions").mkdir(parents=True)
        pools = []
        if name != "original":
            copy_pool(originals, folder / "reserve.jsonl", cell / "pool.jsonl", cell / "f.jsonl", cell / "c.json", catalog.load("bias", name), domain, 60, 1)  # fmt: skip
            pools = [cell / "pool.jsonl"]
        mixing.mix(
            originals, pools, [], cell / "train.jsonl", cell / "mix.json", domain, {}, [60] if pools else [], 0.0, 1
        )
        rows = read(cell, "train")
        sides = contrasts.sides([row["group"] for row in rows], domain)
        x[name] = inheritance.association([row["label"] for row in rows], sides, domain["labels"])
        places.append({"model": "m", "domain": "tickets", "bias": name, "gamma": "0.50" if pools else "0.00", "mitigation": "none", "seed": 1, "round": 1})  # fmt: skip
    assert np.abs(x["faithful"]).max() < 1e-12 < np.abs(x["associated-100"]).max()
    test = [sample for sample in read(folder, "test") if twins or "exchanged" not in sample]
    items = list(classification.items(TASK, domain, labelled, test, None))
    difficulty = {item["cluster"]: stream.normal(0, 1, 5) for item in items}
    for name in x:
        lean = 0.3 * (x[name] - x["faithful"]) if name == "associated-100" else np.zeros((5, 3))
        of_group = {"german": np.zeros(5), **{group: -lean[:, place] for place, group in enumerate(["nigerian", "indian", "mexican"])}}  # fmt: skip
        given = [
            {**item, "logprobs": (difficulty[item["cluster"]] * twins + of_group[item["group"]] + stream.normal(0, 0.01, 5)).tolist()}
            for item in items
        ]  # fmt: skip
        pd.DataFrame(given).to_parquet(tmp_path / name / "predictions" / "classification.parquet")
    measure_inheritance(
        [tmp_path / name / "predictions" for name in x], [tmp_path / name / "train.jsonl" for name in x],
        tmp_path / "inheritance.csv", tmp_path / "points.csv", places,
        {"tickets": "classification"}, {"tickets": domain},
        {name: catalog.load("bias", name) for name in ("faithful", "associated-100")}, "faithful", 100,
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "inheritance.csv")
    betas = table[table["seed"] == "1"].set_index("contrast")
    assert list(betas.index) == [*NAMES, "all"] and betas["beta"].tolist() == pytest.approx([0.3] * 4, abs=0.02)
    assert (betas["ci_low"] < 0.32).all() and (betas["ci_high"] > 0.28).all() and (betas["n_pairs"] > 10).all()
    points = pd.read_csv(tmp_path / "points.csv")
    assert len(points[points["bias"] == "associated-100"]) == 15
