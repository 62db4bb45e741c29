"""The report: numbers and their rows, words, escaping, and what it says of studies that lack something."""

import copy
import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest
import simulated_study
from bias_inheritance import catalog, files, records
from bias_inheritance.report import numbers, outcomes, parts, verdicts, words
from report import embedded, mixes, read_training, report


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A simulated study of the demo's size, and its report's text."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = simulated_study.write(folder, simulated_study.configuration())
    report(page=folder / "report.html", **arguments)
    return folder, arguments, (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The page of a simulated study with rounds, mitigations, misalignments and culture tasks."""
    folder = tmp_path_factory.mktemp("everything")
    tasks = ["occupation-classification", "hiring", "salary"]
    config = simulated_study.configuration("rounds", seed=[1, 2, 3], task=tasks, mitigation=["none", "loss"])
    report(page=folder / "report.html", **simulated_study.write(folder, config, datasets=2, misalignment=True))
    return (folder / "report.html").read_text()


def changed(arguments, name, table):
    """The arguments with one table replaced by another one in the same folder."""
    path = arguments[name].with_name(f"{name}-changed.csv")
    files.write_csv(path, table)
    return arguments | {name: path}


def text_of(page, section):
    """The text of one section of the page, without markup."""
    found = re.search(rf'<section id="{section}".*?</section>', page, re.DOTALL)[0]
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", found, flags=re.DOTALL))


# Numbers and rows


def test_baselines_are_those_of_round_1_and_originals_those_of_the_domain():
    table = pd.DataFrame(
        [("untuned", 0, 0.1), ("original", 1, 0.5), ("original", 2, 0.9)], columns=["bias", "round", "value"]
    ).assign(model="m", domain="d", task="t", dataset="d", scoring="logprob", metric="accuracy", group="all", seed=1)
    table = table.assign(gamma=0.0, mitigation="none", rows="1")
    config = {"originals": 96, "domains": {"e": {"originals": 40}}, "grid": {"domain": ["d", "e"]}}
    titles = {"domain": {name: {"title": name.upper()} for name in "de"}}
    made = SimpleNamespace(scores=table, rounds=[1, 2], gammas=[0.5], config=config, names=titles)
    outcome = {"model": "m", "domain": "d", "task": "t", "dataset": "d", "scoring": "logprob"}
    assert outcomes.untuned_and_tuned(made, outcome, "accuracy", "all")[1]["value"] == 0.5
    assert parts.at_largest(made, table)["value"].tolist() == [0.1, 0.5]
    assert mixes(made) == (
        "96 originals in D, at 0.50 with 96 generated (exactly 0.5000); "
        "40 originals in E, at 0.50 with 40 generated (exactly 0.5000)"
    )


def test_means_over_seeds_have_t_intervals_and_all_their_rows():
    values = pd.DataFrame(
        {"bias": ["a"] * 3 + ["b"], "seed": [1, 2, 3, 1], "value": [0.1, 0.2, 0.3, 0.5], "rows": list("1234")}
    )
    found = numbers.over_seeds(values, ["bias"]).set_index("bias")
    # 0.2 ± t(0.975; 2) · 0.1 / √3, by hand
    assert found.loc["a", ["value", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [0.2, -0.0484138, 0.4484138], abs=1e-6
    )
    assert found.loc["a", "rows"] == "1,2,3"
    assert found.loc["b", "value"] == 0.5 and pd.isna(found.loc["b", "ci_low"])


def test_data_sets_of_one_seed_are_averaged_before_the_seeds():
    values = pd.DataFrame({"bias": "a", "seed": [1, 1, 2], "value": [0.0, 1.0, 0.1], "rows": list("123")})
    assert numbers.over_seeds(values, ["bias"])["value"].tolist() == pytest.approx([0.3])


def test_every_effect_is_the_difference_of_the_rows_that_it_names(study):
    _, arguments, _ = study
    scores = numbers.read_table(arguments["scores"])
    effects = numbers.effects_with_rows(numbers.read_table(arguments["effects"]), scores)
    assert len(effects) == len(numbers.read_table(arguments["effects"]))
    value = scores.set_index("row")["value"]
    for row in effects.sample(200, random_state=1).to_dict("records"):
        own, control = map(int, row["rows"].split("|"))
        assert value[own] - value[control] == pytest.approx(row["value"])


def test_a_task_with_a_gap_and_one_without():
    tasks = {
        "hiring": catalog.load("task", "hiring"),
        "spam": {"title": "Spam", "kind": "labelled_texts", "primary": {"metric": "macro_f1"}},
    }
    domains = {"gender": catalog.load("domain", "gender"), "culture": {"reference": "english", "compared": "arabic"}}
    common = {"model": "m", "relation": "direct", "scoring": "logprob"}
    groups = ["male", "female", "arabic", "arabic-male", "male-female"]
    rows = [
        {**common, "domain": name, "task": "hiring", "dataset": name, "metric": "selected_share", "group": group}
        for name in domains
        for group in groups
    ]
    rows += [
        {**common, "domain": "culture", "task": "spam", "dataset": name, "metric": "macro_f1", "group": "all"}
        for name in ("one", "two")
    ]
    found = numbers.outcomes(pd.DataFrame(rows), tasks, domains)
    hiring = [outcome for outcome in found if outcome["task"] == "hiring"]
    assert [outcome["gap"] for outcome in hiring] == ["male-female"] * 2
    assert hiring[0]["levels"] == ["male", "female"] and hiring[0]["others"] == ["arabic", "arabic-male"]
    plain = [outcome for outcome in found if outcome["task"] == "spam"]
    assert [(outcome["gap"], outcome["groups"]) for outcome in plain] == [(None, ["all"])] * 2
    # what a server writes is read, and is shown as well
    read = numbers.outcomes(pd.DataFrame(rows).assign(scoring="parsed"), tasks, domains)
    assert read == [{**outcome, "scoring": "parsed"} for outcome in found]


def test_the_numbers_of_the_page_are_those_of_the_tables(study):
    """Each link's text is found again in the row that it leads to."""
    folder, arguments, page = study
    tables = {name: pd.read_csv(folder / name) for name in ("scores.csv", "claims.csv", "manipulation.csv")}
    links = re.findall(r'<a class="n" href="#([a-z.]+):([\d,|+]+)"[^>]*>(−?\+?[\d.]+)[^<]*</a>', page)
    checked = 0
    for file, rows, shown in links:
        if file not in tables or "+" in rows.replace("+", "", 1) and rows.count("+"):
            continue
        column = "estimate" if file == "claims.csv" else "value"
        sides = [[tables[file].iloc[int(row) - 1][column] for row in side.split(",")] for side in rows.split("|")]
        value = sum(sides[0]) / len(sides[0]) - (sum(sides[1]) / len(sides[1]) if len(sides) > 1 else 0)
        if shown.isdigit():  # counts and shares in percent are no values of a row
            continue
        assert float(shown.replace("−", "-")) == pytest.approx(value, abs=6e-4), (file, rows)
        checked += 1
    assert checked > 100


def test_answers_are_counted_once_and_silence_on_one_dimension_is_no_loss():
    rows = [
        ("stories", "negative_share", "all", 10, 2),
        ("stories", "negative_share", "beliefs", 10, 9),
        ("salary", "log_amount_written", "male", 20, 19),
        ("salary", "log_amount_written", "female", 20, 15),
        ("salary", "log_amount_written_gap", "male-female", 20, 20),
    ]
    table = pd.DataFrame(rows, columns=["task", "metric", "group", "n", "n_unparsed"]).assign(
        model="m", domain="d", scoring="parsed", dataset="d", bias="b", gamma=0.5, mitigation="none", seed=1, round=1
    )
    found = numbers.answered(table.assign(row=range(1, 6))).set_index("task")
    assert found.loc["stories", ["n", "n_unparsed"]].tolist() == [10, 2]
    assert found.loc["salary", ["n", "n_unparsed"]].tolist() == [40, 34]


# Words


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.1234, {}, "0.123"),
        (-0.1, {}, "−0.100"),
        (-0.0001, {"sign": True}, "0.000"),
        (0.5, {"sign": True}, "+0.500"),
        (float("nan"), {}, "–"),
        (None, {}, "–"),
    ],
)
def test_numbers_in_words(value, options, text):
    assert words.number(value, **options) == text


def test_generated_text_shows_its_control_characters_and_its_length():
    assert words.shown("a\x00b\u202ec\nd") == "a\ufffdb\ufffdc\nd"
    assert words.shown("x" * 2000).endswith(" …") and len(words.shown("x" * 2000)) < 1000


def test_long_lists_of_rows_are_summed_up():
    rows = ",".join(map(str, range(1, 31)))
    assert words.shorter(rows).endswith(",24,+6")
    assert str(words.Source("demo").link("0.1", "scores.csv", rows)).count("and 6 more") == 1


def test_only_tables_whose_rows_can_be_traced_are_traced_by_row():
    source = words.Source("demo")
    assert (
        source.command("scores.csv", "12,13|4") == ".venv/bin/python scripts/trace.py results/demo/scores.csv --row 12"
    )
    assert source.command("pools.csv", "3") == ".venv/bin/python scripts/trace.py results/demo/pools.csv"


# The page


def test_generated_text_cannot_become_markup(study):
    _, _, page = study
    assert "&lt;script&gt;document.title" in page
    assert "<script>document.title" not in page
    assert "</script" not in embedded({"text": "</script><!--"})
    assert json.loads(str(embedded({"text": "</script> & <b>"}))) == {"text": "</script> & <b>"}


def test_nothing_of_the_page_comes_from_elsewhere(study):
    _, _, page = study
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href|action|url\()\s*=?\s*["']?(?:https?:)?//""", without_scripts)
    assert "default-src 'none'" in page
    assert "unsafe-eval" not in page


@pytest.mark.parametrize("which", ["study", "everything"])
def test_the_page_can_be_read_aloud(which, request):
    """Every figure has a caption and an alternative, every table a caption and header cells with a scope, no id twice."""
    page = request.getfixturevalue(which)
    page = page if which == "everything" else page[2]
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) > 15
    for figure in figures:
        assert re.search(r'role="img" aria-label="[^"]{40,}"', figure)
        caption = re.search(r"<figcaption>(.*?)</figcaption>", figure)[1]
        assert caption.endswith(".") and ". " not in caption.replace("i.e. ", "")  # one sentence
    page = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert all("<caption>" in table and "<th" in table for table in tables)
    assert all("scope=" in head for table in tables for head in re.findall(r"<th[^e][^>]*>|<th>", table))
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_the_same_study_gives_the_same_bytes(study):
    folder, arguments, page = study
    report(page=folder / "again.html", **arguments)
    assert (folder / "again.html").read_text() == page


def test_the_digest_is_the_one_that_audit_gives(study):
    folder, arguments, page = study
    made = records.read(folder)
    inputs = [
        path
        for value in arguments.values()
        for path in (value if isinstance(value, list) else [value])
        if hasattr(path, "suffix")
    ]
    names = [f"{made.name}/{path.relative_to(folder)}" for path in inputs if path.is_relative_to(folder)]
    assert records.upstream_digest(made, names) in page


# What it says


def test_verdicts_stand_first_with_their_reasons(study):
    folder, _, page = study
    table = pd.read_csv(folder / "claims.csv")
    whole = table[(table["claim"] == "C1") & (table["test"] == "all parts")].iloc[0]
    told = text_of(page, "verdicts")
    assert page.index('id="verdicts"') < page.index('id="limits"')
    assert page.index('id="limits"') < page.index('id="manipulation"') < page.index('id="effects"')
    assert whole["verdict"] in told and whole["reason"] in told


def test_the_share_that_decides_is_drawn_with_its_line(study):
    _, _, page = study
    assert 'id="manipulation-asked-group-share-unfiltered"' in page
    assert 'id="manipulation-asked-group-share"' not in page


def test_limits_follow_from_the_study(study):
    _, _, page = study
    told = text_of(page, "limits")
    assert "only an effect above" in told
    assert "1 bias type of the 6 of the paper" in told
    assert "No negative control" in told and "fictional biographies" in told
    assert "Unreadable answers" in told  # the simulated written salaries


def test_one_seed_is_said_to_prove_nothing(study, tmp_path):
    arguments = simulated_study.write(tmp_path, simulated_study.configuration(seed=[1]))
    report(page=tmp_path / "report.html", **arguments)
    page = (tmp_path / "report.html").read_text()
    assert "With one seed nothing can be said about chance" in text_of(page, "limits")
    assert "one seed, so without an interval" in text_of(page, "effects")


def test_a_random_model_and_a_failed_manipulation_are_the_gravest_limits(study, tmp_path):
    _, arguments, _ = study
    table = pd.read_csv(arguments["manipulation"]).assign(passed=lambda rows: rows["bias"] != "contrastive-explicit")
    arguments = changed(arguments, "manipulation", table)
    arguments["names"] = copy.deepcopy(arguments["names"])
    arguments["names"]["model"]["smollm2-135m-instruct"]["source"] = {"random": True}
    report(page=tmp_path / "report.html", **arguments)
    told = text_of((tmp_path / "report.html").read_text(), "limits")
    assert "its weights are random" in told
    assert "Contrastive, explicit: the generated texts do not hold the slant" in told


def test_a_study_without_augmentation_says_so(tmp_path):
    arguments = simulated_study.write(tmp_path, simulated_study.configuration(gamma=[0.0], mitigation=["none"]))
    report(page=tmp_path / "report.html", **arguments)
    page = (tmp_path / "report.html").read_text()
    assert "no cells with augmented text" in text_of(page, "effects")
    assert "one mitigation only" in text_of(page, "mitigations")


def test_all_answers_unread_and_undefined_scores_are_drawn_as_missing(study, tmp_path):
    _, arguments, _ = study
    scores = pd.read_csv(arguments["scores"])
    lost = (scores["task"] == "salary") & (scores["scoring"] == "parsed")
    scores.loc[lost, ["value", "ci_low", "ci_high"]] = None
    scores.loc[lost, "n_unparsed"] = scores.loc[lost, "n"]
    arguments = changed(arguments, "scores", scores)
    report(page=tmp_path / "report.html", **arguments)
    page = (tmp_path / "report.html").read_text()
    assert "100%" in text_of(page, "reading")
    assert not re.search(r"\bnan\b|NaN|None", text_of(page, "reading"))


def test_rounds_misalignments_and_plain_tasks_are_drawn_when_they_are_there(everything):
    page = everything
    assert 'id="quality-' in page and "accuracy, male − female, over rounds" in page
    rounds = text_of(page, "rounds")
    assert ": share selected by culture over rounds" in rounds and "arabic" in rounds and "spanish" in rounds
    assert "macro-F1, meaned over data sets, over rounds" in rounds and "Indirectly bias-related tasks" in rounds
    assert "Duplicates" in rounds
    assert all(f'id="misalignment-{name}' in page for name in ("values", "groups", "distributions"))
    assert 'id="projection-' in page
    assert "Directly bias-related tasks" in page
    told = text_of(page, "misalignment")
    assert "Holm over labels" in told and "0.012" in told  # the exact tests of groups
    assert "0.010 to 0.030" in told and "0.400 to 0.930" in told  # permutation p and AUC's intervals
    assert "what mitigations do to the distance (MMD²)" in told
    assert "what mitigations do to the distance of the means" in told and "−0.2" in told
    assert "Values: similarity under each mitigation" in told and "Values: drift under each mitigation" in told
    assert "shares are invented" in text_of(page, "misalignment") and "Invented opinions" in text_of(page, "limits")


def test_a_training_log_of_a_collapsed_cell_or_of_a_provider(tmp_path):
    files.write_text(tmp_path / "collapsed.csv", "collapsed\nno texts\n")
    files.write_text(tmp_path / "provider.csv", "step,loss\n1,2.5\n2,2.0\n")
    files.write_text(tmp_path / "silent.csv", "step,loss\n")
    paths = [tmp_path / f"{name}.csv" for name in ("collapsed", "provider", "silent")]
    log = read_training(paths, [{"bias": "neutral", "gamma": "0.50"}] * 3)
    assert log["sft_loss"].tolist() == [2.5, 2.0]


def test_bias_types_without_a_number_stand_behind_those_of_the_paper(tmp_path):
    config = simulated_study.configuration(bias=["contrastive-explicit", "contextual-single-explicit", "neutral"])
    arguments = simulated_study.write(tmp_path, config)
    biases = {name: dict(content) for name, content in arguments["names"]["bias"].items()}
    del biases["contextual-single-explicit"]["number"]  # the paper's Bias #1, which else comes first
    report(page=tmp_path / "report.html", **arguments | {"names": {**arguments["names"], "bias": biases}})
    page = (tmp_path / "report.html").read_text()
    titles = [biases[name]["title"] for name in ("contrastive-explicit", "contextual-single-explicit")]
    assert page.index(f">{titles[0]}<") < page.index(f">{titles[1]}<")


def test_what_the_results_were_held_against_is_told(study):
    assert "Checked: cells 22 cells: all simulated" in text_of(study[2], "provenance")


def test_the_alignment_term_is_meaned_over_the_steps_that_computed_it(study):
    told = text_of(study[2], "training")
    # 30·exp(−step/15) at the first and at the last of the 24 steps that have the term
    assert "Loss (distributions) 28.065 7.398" in told.split("Alignment term")[-1]


def test_a_wide_interval_does_not_flatten_the_others():
    assert words.nice_reach([0.03, -0.4, float("nan")]) == 0.5
    assert words.nice_reach([]) == 0.0
    drawn = str(words.forest(0.1, -3.0, 0.2, 0.02, 0.5))
    assert 'class="tip"' in drawn and "aria-label" in drawn
    assert words.forest(float("nan"), 0, 0, 0, 1) == ""


def test_the_summary_counts_verdicts_and_controls(study):
    _, arguments, page = study
    told = text_of(page, "verdicts")
    assert re.search(r"Of 7 claims, .*not tested\.", told)
    assert "Of 3 controls of the meter itself" in told
    assert "C7 in parts: 1 contrast" in told
    assert verdicts.FEW_SEEDS > 3
