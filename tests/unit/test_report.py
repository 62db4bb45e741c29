"""The report: numbers and their rows, formatting, escaping, and incomplete studies."""

import math
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import simulated_study
import yaml
from bias_inheritance.claims import reading
from bias_inheritance.claims.reading import picks
from bias_inheritance.models import export
from bias_inheritance.plumbing import records
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.report import answer, figures, words
from bias_inheritance.report.facts import Facts, seed_means
from bias_inheritance.study import catalog
from report import report

POOLS = [
    "neutral",
    "contrastive-explicit",
    "balanced",
    "associated-000",
    "associated-050",
    "associated-100",
    "faithful",
]
TASKS = ["occupation-classification", "hiring", "salary"]


def written(folder, config, **options):
    """(arguments, text of the page) of a simulated study."""
    arguments = simulated_study.write(folder, config, **options)
    report(page=folder / "report.html", **arguments)
    return arguments, (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """(folder, arguments, page) of a simulated study with all controls."""
    folder = tmp_path_factory.mktemp("demo")
    config = simulated_study.configuration(bias=POOLS, seed=[1, 2, 3, 4], task=TASKS)
    return folder, *written(folder, config)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The page of a simulated study with rounds, mitigations, misalignments and tasks with several data sets."""
    config = simulated_study.configuration("rounds", seed=[1, 2, 3], task=TASKS, mitigation=["none", "loss"])
    return written(tmp_path_factory.mktemp("everything"), config, datasets=2, misalignment=True)[1]


def visible(page):
    """The page without scripts and styles."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def text_of(page, section):
    """The text of one section of the page, without markup."""
    markup = re.search(rf'<section id="{section}".*?</section>', visible(page), re.DOTALL)[0]
    return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", markup, flags=re.DOTALL))


def first_screen(page):
    return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", visible(page).split("<nav")[0], flags=re.DOTALL))


# Numbers and rows


def test_means_over_seeds_have_t_intervals_and_all_their_rows():
    values = pd.DataFrame(
        {"bias": ["a"] * 3 + ["b"], "seed": [1, 2, 3, 1], "value": [0.1, 0.2, 0.3, 0.5], "row": range(1, 5)}
    )
    means = seed_means(values, ["bias"], "scores").set_index("bias")
    # 0.2 ± t(0.975; 2) · 0.1 / √3, by hand
    assert means.loc["a", ["value", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [0.2, -0.0484138, 0.4484138], abs=1e-6
    )
    assert means.loc["a", "rows"] == [1, 2, 3] and means.loc["a", "id"] == "scores-1"
    assert means.loc["b", "value"] == 0.5 and pd.isna(means.loc["b", "ci_low"])


def test_data_sets_of_one_seed_are_averaged_before_the_seeds():
    values = pd.DataFrame({"bias": "a", "seed": [1, 1, 2], "value": [0.0, 1.0, 0.1], "row": [1, 2, 3]})
    assert seed_means(values, ["bias"], "scores")["value"].tolist() == pytest.approx([0.3])


def test_no_interval_leaves_the_scale_of_its_metric():
    values = pd.DataFrame({"seed": [1, 2], "value": [0.9, 1.0], "row": [1, 2], "metric": "accuracy", "group": "all"})
    share = seed_means(values, ["metric", "group"], "scores").iloc[0]
    assert share["ci_high"] == 1.0 and share["ci_low"] >= 0.0
    effect = seed_means(values.assign(effect="slant"), ["metric", "group", "effect"], "effects").iloc[0]
    assert effect["ci_high"] == 1.0 and effect["ci_low"] >= -1.0
    wide = values.assign(value=[0.1, 1.0])
    for metric, high in (("distinct_2", 1.0), ("perplexity", math.inf)):  # of the texts, without groups
        quality = seed_means(wide.assign(metric=metric), ["metric"], "quality").iloc[0]
        assert quality["ci_low"] == 0.0 and (quality["ci_high"] == 1.0) == (high == 1.0)


def test_an_interval_without_width_is_none():
    assert words.interval(0.5, 0.5) == "–"
    assert words.interval(None, 1.0) == "–"
    assert words.interval(-0.5, 0.25, 2) == "−0.50 to 0.25"


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        (0.1234, {}, "0.123"),
        (-0.1, {}, "−0.100"),
        (-0.0001, {"sign": True}, "0.000"),
        (0.5, {"sign": True}, "+0.500"),
        (float("nan"), {}, "–"),
        (None, {}, "–"),
    ],
)
def test_numbers_in_words(value, options, shown):
    assert words.number(value, **options) == shown


def test_a_contrast_of_the_table_is_known_by_its_declared_name():
    assert picks("{mitigation} reduces harm: {biases}", "loss reduces harm: neutral") == {
        "mitigation": "loss",
        "biases": "neutral",
    }
    suffixed = "slant widens the gap [model-a] (contrastive-explicit)"
    assert picks("slant widens the gap", suffixed, "model-a", ["contrastive-explicit"]) == {}
    assert picks("slant widens the gap", "slant widens the gap twice") is None


@pytest.mark.parametrize("group", ["non-binary (x)", "other [please specify]", "old (50+) [all]"])
def test_parentheses_and_brackets_at_the_end_of_a_groups_name_belong_to_it(group):
    declared = catalog.claims() | {"types": catalog.bias_types()}
    contrast = f"slant widens the accuracy gap men-{group}"

    def named(*contrasts):
        row = {"claim": "C1", "test": "paired t over seeds", "verdict": "inconclusive"}
        table = pd.DataFrame([{**row, "contrast": contrast} for contrast in contrasts])
        return [spec and spec["contrast"] for spec in reading.joined_with_declarations(table, declared)["spec"]]

    assert named("whole claim", contrast, f"{contrast} (contrastive-explicit)") == [
        None,
        f"men-{group}",
        f"men-{group}",
    ]
    assert named(f"{contrast} [a-model]", f"{contrast} [b-model] (contrastive-explicit)") == [f"men-{group}"] * 2


def test_every_number_of_an_effect_is_the_mean_of_the_rows_that_it_names(study):
    folder, _, page = study
    effects = pd.read_csv(folder / "effects.csv")
    cells = re.findall(r'<tr id="effects-\d+">.*?</tr>', page)
    compared = 0
    for line in cells:
        shown = re.sub(r"<[^>]+>", "|", line).split("|")
        shown = [part.strip() for part in shown if part.strip()]
        mean = next(part for part in shown[6:] if re.fullmatch(r"[+−]?\d\.\d{3}", part))
        if "more" in shown[-1]:
            continue
        rows = [int(row) - 1 for row in shown[-1].split(", ")]
        assert float(mean.replace("−", "-")) == pytest.approx(effects.iloc[rows]["value"].mean(), abs=6e-4)
        compared += 1
    assert compared > 100


@pytest.mark.parametrize("which", ["study", "everything"])
def test_every_link_within_the_page_leads_to_a_row_or_a_section(which, request):
    page = request.getfixturevalue(which)
    page = visible(page if which == "everything" else page[2])
    targets = set(re.findall(r'\sid="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links - targets == set()
    assert any(link.startswith("claims-") for link in links)


# The page


def test_generated_text_and_prompts_cannot_become_markup(study):
    _, _, page = study
    assert "&lt;script&gt;document.title" in page and "<script>document.title" not in page
    assert "&lt;/script&gt;&lt;b&gt;bold" in page  # a prompt
    assert "&lt;i&gt;a year" in page  # an answer
    assert words.visible("a\x00b\u202ec\nd") == "a\ufffdb\ufffdc\nd"
    assert words.visible("x" * 2000).endswith(" …")


def test_nothing_of_the_page_comes_from_elsewhere(study):
    _, _, page = study
    assert not re.findall(r"""(?:src|action|url\()\s*=?\s*["']?(?:https?:)?//""", visible(page))
    assert "default-src 'none'" in page and "unsafe-eval" not in page


@pytest.mark.parametrize("which", ["study", "everything"])
def test_the_page_can_be_read_aloud_and_without_scripts(which, request):
    """Every chart has a name and a picture for each width, every table a caption and scoped headers, no id twice, headings nest."""
    page = request.getfixturevalue(which)
    page = page if which == "everything" else page[2]
    names = re.findall(r'<span role="img" aria-label="([^"]*)"></span>\n<div class="chart"', page)
    assert len(names) > 4 and all(len(name) > 20 for name in names)
    assert len(names) == page.count('<div class="wide"><svg') == page.count('<div class="narrow"><svg')
    page = re.sub(r"<svg.*?</svg>", "", visible(page), flags=re.DOTALL)
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert all("<caption>" in table for table in tables)
    assert all("scope=" in head for table in tables for head in re.findall(r"<th[^e][^>]*>|<th>", table))
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert not re.search(r">\s*(nan|NaN|<NA>|inf)\s*<", page)


def test_the_same_study_gives_the_same_bytes(study):
    folder, arguments, page = study
    report(page=folder / "again.html", **arguments)
    assert (folder / "again.html").read_text() == page


def test_the_digest_is_the_one_that_audit_gives(study):
    folder, arguments, page = study
    made = records.read(folder)
    paths = [path for value in arguments.values() for path in (value if isinstance(value, list) else [value])]
    paths = [path for path in paths if hasattr(path, "suffix") and path.is_relative_to(folder)]
    within = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    assert records.upstream_digest(made, [f"{made.name}/{path.relative_to(folder)}" for path in within]) in page


def test_the_code_of_the_report_names_no_group():
    named = re.compile(r"\b(fe)?males?\b|\b(wo)?m[ae]n\b|\bgender|\bcultur|biograph|occupation", re.IGNORECASE)
    sources = [ROOT / "scripts" / "report.py", *(ROOT / "scripts" / "bias_inheritance" / "report").glob("*.*")]
    assert len(sources) > 8
    assert {path.name: named.findall(path.read_text()) for path in sources if named.search(path.read_text())} == {}


# What it says


def test_the_first_screen_answers_with_beta_its_controls_and_the_claims(study):
    folder, _, page = study
    told = first_screen(page)
    table = pd.read_csv(folder / "inheritance.csv", dtype={"seed": str})
    row = table[(table["bias"] == "neutral") & (table["seed"] == "all") & (table["mitigation"] == "none")].iloc[0]
    assert f"inherited about {100 * row['beta']:.0f}%" in told and f"β = {row['beta']:.2f}" in told
    assert "Positive control ● found associated-100 is inherited" in told
    assert re.search("Negative control . (stayed|not shown to be) within ±0.02", told)
    assert "C9" in told and "p study" in told and "Not tested in this study" in told
    assert told.index("Positive control") < told.index("The claims that this study could test")
    (families, share) = re.search(
        r"within each of (\d+) families, so of studies without any effect, up to (\d+)%", told
    ).groups()
    assert int(share) == 5 * int(families) > 5  # the sum of α over dependent families


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """The folder of a catalog with a domain of 20 groups and 50 labels, and a pool from a file that harms groups by their order."""
    folder = tmp_path_factory.mktemp("bought")
    shutil.copytree(ROOT / "catalog", folder / "catalog")
    groups, labels = [f"group-{number}" for number in range(20)], [f"label {number}" for number in range(50)]
    domain = {"title": "Tickets", "sample": "a ticket", "groups": {group: {} for group in groups}, "labels": labels}
    domain |= {"contrasts": {"reference": groups[0], "compared": "all"}, "tasks": TASKS[:1]}
    (folder / "catalog" / "domains" / "tickets.yaml").write_text(yaml.safe_dump(domain))
    pool = {"title": "Bought in June", "does": "adds texts", "role": "natural"}
    pool |= {"source": {"files": "june.jsonl", "columns": {"text": "text", "label": "label"}}}
    (folder / "catalog" / "biases" / "bought-june.yaml").write_text(yaml.safe_dump(pool))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "CATALOG", folder / "catalog")
        patch.setattr(simulated_study, "GROUPS", groups)
        patch.setattr(simulated_study, "LABELS", labels)
        patch.setitem(simulated_study.GAP, "bought-june", 0.3)
        patch.setitem(simulated_study.BETA, "bought-june", 0.2)
        patch.setitem(simulated_study.STRENGTH, "bought-june", 1.0)
        yield folder


BOUGHT = ["bought-june", "faithful", "associated-000", "associated-100"]


@pytest.fixture(scope="module")
def bought(tickets):
    """(folder, page) of a study of that domain and pool."""
    config = simulated_study.configuration(bias=BOUGHT, domain=["tickets"], seed=list(range(1, 9)), task=TASKS[:1])
    return tickets, written(tickets, config)[1]


def test_a_pool_from_a_file_is_answered_for_each_group_and_contrast(bought):
    folder, page = bought
    told = first_screen(page)
    assert "At γ 0.50, Bought in June is not safe for group-0-group-" in told and "others" in told
    claims = pd.read_csv(folder / "claims.csv").set_index("contrast")
    last = claims.loc["bought-june does not change the gap group-0-group-19 compared with real text"]
    assert last["verdict"] == "contradicted" and last["estimate"] > 0.2
    line = re.search(r"<tr><th scope=\"row\">group-0-group-19</th>.*?</tr>", page)[0]
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", line))
    assert f"{last['estimate']:+.3f}" in shown and "not safe: favours the first why" in shown and "±0.02 8" in shown
    assert shown.count(" to ") == 3  # beside real text, beside the originals, β
    told_of = re.findall(r"<tr><th scope=\"row\">(group-0-)?group-\d+</th>", page)
    assert len(told_of) == 39  # 19 contrasts and 20 groups
    assert re.search(r"could not have seen it, needs \d+ seeds", told)


def test_twenty_groups_and_fifty_labels_stay_readable(bought):
    _, page = bought
    charts = re.findall(r'<div class="wide">(<svg.*?</svg>)', page, re.DOTALL)
    panels = [chart.count('class="mark-group role-title"') for chart in charts]
    assert 0 < max(panels) <= 8
    assert "−" in page and "group-0 − group-7" in page


def test_without_its_positive_control_found_a_study_could_not_have_seen_it(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated_study, "BETA", {})
    config = simulated_study.configuration(bias=POOLS, seed=[1, 2, 3], task=TASKS[:1], mitigation=["none"])
    told = first_screen(written(tmp_path, config)[1])
    assert "This study could not have seen what" in told and "Its positive control was not found" in told
    assert re.search(r"(effects of at least|largest possible effect).* would be detected|Use a larger γ", told)
    assert "could not be seen" in told and re.search("Positive control . not found", told)


def test_the_reason_is_that_of_the_control_on_the_rows_own_outcome():
    detected = {"claim": "control-a", "metric": "beta", "verdict": "supported"}
    missed = {"claim": "control-b", "metric": "accuracy", "verdict": "equivalent"}
    claims = pd.DataFrame([detected, missed]).assign(positive=True, model="")
    told = answer.lacking(SimpleNamespace(claims=claims), {"metric": "accuracy", "model": ""})
    assert "a known association had no effect" in told


def test_a_reversed_positive_control_asks_for_no_seeds():
    control = {"claim": "control-a", "metric": "beta", "verdict": "contradicted", "positive": True, "model": ""}
    claims = pd.DataFrame([control | {"estimate": -0.1, "ci_low": -0.15, "ci_high": -0.05}])
    told = answer.lacking(SimpleNamespace(claims=claims), {"metric": "beta", "model": ""})
    assert told.startswith(
        "Its positive control was reversed: the effect of a known association was −0.10 (−0.15 to −0.05)"
    )
    assert "need" not in told


def test_an_estimate_against_the_claim_is_not_told_as_an_effect_that_more_seeds_would_show():
    row = {"verdict": "inconclusive", "estimate": -0.1, "n_seeds": 5, "ci_low": -0.3, "ci_high": 0.1, "mde": 0.2}
    row |= {"unread": 0.0, "margin": 0.02, "spec": {"direction": "greater"}}
    told = answer.needs(SimpleNamespace(declared={"power": 0.8}), row)
    assert (
        told
        == "With 5 seeds, effects of at least 0.2 would be detected with 80% power; the estimate points in the other direction."
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(claims.csv, page) of a study of two models, of which only the first supports what it tests."""
    folder = tmp_path_factory.mktemp("pair")
    config = simulated_study.configuration("paper-models", bias=POOLS, gamma=[0.0, 0.5], task=TASKS[:1])
    arguments = simulated_study.write(folder, config)
    claims = pd.read_csv(arguments["claims"])
    tested = ~claims["verdict"].isin(["beside", "not tested"])
    for name, verdict in zip(config["grid"]["model"], ("supported", "contradicted"), strict=True):
        claims.loc[tested & claims["contrast"].str.contains(f"[{name}]", regex=False), "verdict"] = verdict
    claims.to_csv(arguments["claims"], index=False)
    report(page=folder / "report.html", **arguments)
    return claims, (folder / "report.html").read_text()


def test_each_model_has_its_verdicts_and_controls(pair):
    _, page = pair
    first, second = "Qwen2.5-7B-Instruct", "DeepSeek-Coder-6.7B-Instruct"
    told = first_screen(page)
    assert f"{first} inherited about" in told and f"{second} moved against the association" in told
    assert re.search(r"Positive control ● found associated-100 is inherited \[qwen2\.5-7b-instruct\]: .* 3 of 3", told)
    assert re.search(r"Positive control ✕ reversed associated-100 is inherited \[deepseek-.*\]: .* 0 of 3", told)
    title = re.search(r"<summary><b>C9</b>.*?</summary>", page)[0]
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", title))
    assert f"{first} ● supported" in shown and f"{second} ✕ contradicted" in shown


def test_titles_of_panels_fit_the_page(pair):
    widths = re.findall(r'<div class="wide"><svg[^>]*? width="([\d.]+)"', pair[1])
    assert widths and max(map(float, widths)) <= figures.WIDTHS["wide"]
    assert figures.wrapped("Neutral · A-Model-Of-7B\nnatural pool", 10) == "Neutral\nA-Model-\nOf-7B\nnatural\npool"


def test_a_whole_claim_names_its_model(pair):
    _, page = pair
    for name, verdict in {"qwen2.5-7b-instruct": "supported", "deepseek-coder-6.7b-instruct": "contradicted"}.items():
        line = re.search(rf"<b>C9</b> The association[^<]*\[{re.escape(name)}\]</th>.*?</tr>", page)[0]
        assert f"badge {verdict}" in line


def test_parts_stand_alone_where_the_whole_claim_of_their_model_was_not_tested(pair):
    claims, _ = pair
    claims = claims.copy()
    whole = claims["contrast"] == "whole claim [deepseek-coder-6.7b-instruct]"
    claims.loc[whole & (claims["claim"] == "C9"), "verdict"] = "not tested"
    joined = reading.joined_with_declarations(claims, catalog.claims() | {"types": catalog.bias_types()})
    facts = SimpleNamespace(claims=joined, measured_by=lambda spec: ("", ""))
    shown = {row["contrast"] for row in answer.heads(facts) if row["claim"] == "C9"}
    assert {
        "whole claim [qwen2.5-7b-instruct]",
        "natural inheritance of neutral is above 0 [deepseek-coder-6.7b-instruct]",
    } <= shown
    assert "natural inheritance of neutral is above 0 [qwen2.5-7b-instruct]" not in shown


def test_a_claim_without_a_whole_tells_how_many_contrasts_have_each_verdict():
    row = {"whole": False, "decides": True, "control": True, "verdict": "supported", "model": "", "spec": None}
    facts = SimpleNamespace(claims=None)
    told = answer.verdict_of(facts, [row, row | {"verdict": "contradicted"}, row, row | {"decides": False}])
    assert re.sub(r"<[^>]+>", "", told) == "2 × ● supported 1 × ✕ contradicted"
    assert re.sub(r"<[^>]+>", "", answer.verdict_of(facts, [row, row])) == "● supported"


def test_the_sentence_on_beta_has_the_estimate_that_its_verdict_is_on(tmp_path):
    domains = ["gender", "gender-bias-in-bios"]
    config = simulated_study.configuration(
        bias=POOLS, domain=domains, gamma=[0.0, 0.2, 0.5], seed=[1, 2, 3], task=TASKS[:1]
    )
    told = first_screen(written(tmp_path, config)[1])
    claims = pd.read_csv(tmp_path / "claims.csv")
    row = claims[claims["contrast"] == "natural inheritance of neutral is above 0"].iloc[0]
    ends = words.interval(row["ci_low"], row["ci_high"], 2)
    where = "on average over γ 0.20 to 0.50 and domains"
    assert f"β = {row['estimate']:.2f} (95% interval {ends}, 3 seeds, {where}): {row['verdict']}" in told
    assert told.count("β = ") == 1


def test_a_control_that_one_model_passes_says_nothing_about_another():
    control = {"claim": "control-a", "metric": "beta", "positive": True}
    claims = pd.DataFrame(
        [control | {"model": "a", "verdict": "supported"}, control | {"model": "b", "verdict": "inconclusive"}]
    )
    row = {"control": False, "metric": "beta", "verdict": "equivalent", "spec": None}
    assert not reading.unseen(claims, row | {"model": "a"})
    assert reading.unseen(claims, row | {"model": "b"})


def test_without_its_positive_control_no_number_of_seeds_is_promised(monkeypatch):
    row = {"effect": "natural", "estimate": 0.001, "n_seeds": 5, "verdict": "supported"}
    monkeypatch.setattr(answer.reading, "safety", lambda claims, row: "unseen")
    monkeypatch.setattr(answer.reading, "unseen", lambda claims, row: True)
    told = answer.safety(SimpleNamespace(claims=None, declared=None), row)
    assert "could not have seen it: no positive control was found" in told and "needs" not in told


def test_a_task_that_is_too_easy_for_a_model_is_named_as_the_reason(monkeypatch):
    control = pd.DataFrame([{"verdict": "inconclusive", "n_seeds": 0}])
    monkeypatch.setattr(answer.reading, "controls_of", lambda claims, row: control)
    scores = [("large", 0.0, 0.3), ("large", 0.5, 0.998), ("large", 0.5, 0.999), ("small", 0.5, 0.4)]
    scores = pd.DataFrame(scores, columns=["model", "gamma", "value"]).assign(metric="label_probability", group="all")
    facts = SimpleNamespace(claims=None, tables={"scores": scores})
    told = answer.lacking(facts, {"model": "large"})
    assert "certain of the right label (mean probability 0.998)" in told and "fewer originals" in told
    assert "certain" not in answer.lacking(facts, {"model": "small"})
    facts.tables["scores"] = scores[scores["model"] == "large"]
    assert answer.lacking(facts, {"model": ""}) == told  # of a study with one model, whose rows name none


def of_cells(*gammas, domains=("tickets",)):
    """The facts on a pool from a file, with cells at some γ in some domains."""
    cells = pd.DataFrame([{"gamma": gamma, "domain": domain} for gamma in gammas for domain in domains])
    facts = SimpleNamespace(claims=None, averaged=Facts.averaged, cells=lambda pool, model: cells)
    facts.title, facts.placed = lambda axis, name: name, lambda said, place: said
    return facts


def test_a_pool_that_no_row_could_judge_is_told_in_a_sentence(monkeypatch):
    rows = {"german-indian": {"natural": {"margin": 0.02, "model": None, "verdict": "inconclusive"}}}
    monkeypatch.setattr(answer.reading, "safety", lambda claims, row: "unseen")
    told = "At γ 0.50, bought could not be judged by this study for german-indian."
    assert answer.summary(of_cells(0.5), "bought", rows) == told


def test_safety_is_told_of_the_mean_over_all_gammas_and_within_the_margin_of_each_row(monkeypatch):
    rows = {
        name: {"natural": {"margin": margin, "model": None, "verdict": "supported"}}
        for name, margin in {"german-indian": 0.02, "german": 0.05, "indian": 0.05}.items()
    }
    monkeypatch.setattr(answer.reading, "safety", lambda claims, row: "safe")
    told = "On average over γ 0.05 to 0.50, bought is safe within ±0.02 for german-indian and is safe within ±0.05 for german and indian."
    assert answer.summary(of_cells(0.05, 0.2, 0.5), "bought", rows) == told
    several = of_cells(0.5, domains=["tickets", "letters"])
    assert answer.summary(several, "bought", rows).startswith("At γ 0.50, on average over domains, bought is safe")


def test_unreadable_answers_are_named_where_more_seeds_cannot_help(monkeypatch):
    row = {"effect": "natural", "estimate": 0.001, "n_seeds": 5, "verdict": "inconclusive", "margin": 0.02}
    row |= {"unread": 0.031, "ci_low": -0.01, "ci_high": 0.01, "spec": {"direction": "none"}}
    monkeypatch.setattr(answer.reading, "safety", lambda claims, row: "unseen")
    for missed in (False, True):
        monkeypatch.setattr(answer.reading, "unseen", lambda claims, row, missed=missed: missed)
        told = answer.safety(SimpleNamespace(claims=None, declared=None), row)
        assert "up to 3.1% of a run&#39;s answers are unreadable, margin ±0.02" in told and "needs" not in told
    assert answer.needs(None, row).endswith("more seeds do not change that.")
    assert answer.hidden(row | {"unread": 0.02}) == answer.hidden(row | {"verdict": "contradicted"}) == ""


def test_a_pool_that_has_beta_but_no_label_probability_was_not_tested():
    row = {
        "effect": "level",
        "verdict": "supported",
        "margin": 0.02,
        "model": None,
        "spec": {"contrast": "german-indian"},
    }
    told = answer.summary(of_cells(0.5), "bought", {"german-indian": {"level": row}})
    assert told == "At γ 0.50, bought was not tested for german-indian."


def test_at_a_look_the_first_screen_shows_the_interval_that_holds_over_all_looks(tmp_path):
    config = simulated_study.configuration(bias=POOLS, seed=[1, 2, 3], task=TASKS[:1], mitigation=["none"])
    config["looks"] = {"seeds": [3, 5], "spending": "pocock", "look": 1, "decided": []}
    told = first_screen(written(tmp_path, config)[1])
    claims, betas = pd.read_csv(tmp_path / "claims.csv"), pd.read_csv(tmp_path / "inheritance.csv", dtype={"seed": str})
    row = claims[claims["contrast"] == "natural inheritance of neutral is above 0"].iloc[0]
    plain = betas[(betas["bias"] == "neutral") & (betas["seed"] == "all")].iloc[0]
    assert row["ci_high"] - row["ci_low"] > plain["ci_high"] - plain["ci_low"]
    assert f"95% interval {words.interval(row['ci_low'], row['ci_high'], 2)}, 3 seeds" in told
    assert "at 3 and 5 seeds (α spent as pocock); this is look 1" in told
    assert "other intervals on this page for this look alone" in told


def test_a_study_without_a_natural_pool_says_so(tmp_path):
    config = simulated_study.configuration(bias=["contrastive-explicit", "balanced"], seed=[1, 2], task=TASKS[:1])
    told = first_screen(written(tmp_path, config)[1])
    assert "has no natural pool" in told and "Positive control – none no known effect could be tested" in told


def test_one_seed_and_no_augmented_cells(tmp_path):
    page = written(tmp_path / "one", simulated_study.configuration(seed=[1]))[1]
    assert "1 seed" in first_screen(page)
    page = written(tmp_path / "none", simulated_study.configuration(gamma=[0.0], mitigation=["none"]))[1]
    assert "no cells with augmented data" in text_of(page, "effects")
    assert "no mitigation" in text_of(page, "mitigations")
    assert "This study did not measure what the model inherits from Neutral" in first_screen(page)


def test_a_study_without_augmented_cells_has_a_report_of_rounds_mitigations_and_pools_from_files(tickets, tmp_path):
    config = simulated_study.configuration(bias=BOUGHT, domain=["tickets"], seed=[1, 2], task=TASKS[:1], gamma=[0.0])
    config["rounds"]["count"] = 2
    page = written(tmp_path, config)[1]
    assert re.search(r"Bought in June was not tested for [^.]*\.", first_screen(page))
    assert "0 mitigations" not in page and "1 mitigation," in text_of(page, "methods")
    assert "What each mitigation does" in text_of(page, "mitigations")


def test_mitigations_are_compared_at_the_largest_gamma_that_has_them(tmp_path):
    config = simulated_study.configuration(bias=POOLS[:1], seed=[1, 2], task=TASKS[:1], gamma=[0.0, 0.2, 0.5])
    config["mitigated_gamma"] = [0.2]
    told = text_of(written(tmp_path, config)[1], "mitigations")
    assert "Each mitigation and none at γ 0.20" in told


def test_a_mean_over_data_sets_has_all_their_items_and_no_interval_of_one_of_them(tmp_path):
    config = simulated_study.configuration(bias=POOLS[:1], seed=[1, 2], task=TASKS[:1], mitigation=["none"])
    page = written(tmp_path, config, datasets=4)[1]
    told = re.findall(
        r"Simulated direct task Macro-F1 (Untuned model|Originals alone) [\d.]+ (.*?) – (1 000|\S+)",
        text_of(page, "levels"),
    )
    assert told[0] == ("Untuned model", "–", "1 000")
    assert told[1][0] == "Originals alone" and " to " in told[1][1] and told[1][2] == "1 000"


def test_uninformative_tasks_stand_last_and_faded(tmp_path):
    config = simulated_study.configuration(bias=POOLS[:3], seed=[1, 2], task=["hiring", "occupation-classification"])
    arguments = simulated_study.write(tmp_path, config)
    scores = pd.read_csv(arguments["scores"])
    scores.loc[scores["metric"] == "uninformative", "value"] = 1.0
    scores.to_csv(arguments["scores"], index=False)
    report(page=tmp_path / "report.html", **arguments)
    page = (tmp_path / "report.html").read_text()
    told = text_of(page, "effects")
    assert told.index("Occupation classification: all effects") < told.index("Hiring: all effects (uninformative")
    assert re.search(r'class="fold faded"[^>]*><summary>Hiring: all effects', page)


def test_an_item_stands_with_its_prompt_the_probability_of_each_option_and_chance(study):
    _, _, page = study
    told = text_of(page, "items")
    assert "A simulated biography of male number 0" in told and "architect (label)" in told
    assert "Originals alone" in told and "Untuned model" in told
    assert "About $ 50,000" in told  # a written answer
    assert "0.167" in text_of(page, "levels")  # one of six options


def test_methods_name_models_training_decoding_sizes_and_the_paper(study):
    _, _, page = study
    told = text_of(page, "methods")
    assert "learning rate" in told and "top p" in told and "computes in float32" in told
    limit = simulated_study.configuration()["generation"]["max_new_tokens"]  # overrides the model's own
    assert f"max new tokens {limit}," in told
    assert re.search(r"γ 0.50 adds \d+ \(realised 0.5000\)", told) and "Faithful" in told
    assert 'href="https://arxiv.org/abs/2502.04419"' in page and "quoted from a summary" in told
    assert "from a summary" in text_of(page, "claims")
    assert "all simulated" in text_of(page, "checks")


def test_rounds_misalignments_and_several_data_sets_are_drawn_when_they_are_there(everything):
    rounds, why = text_of(everything, "rounds"), text_of(everything, "why")
    assert "Quality of the texts over rounds" in rounds and "β over rounds" in rounds
    assert "Duplicate share" in everything
    assert "shares are invented" in why and "Projection" in why and "Not measured" not in why
    assert (
        "0.012" in why and "0.010" in why and "0.030" in why
    )  # exact tests of groups, lowest and highest permutation p
    assert "Simulated direct task: all effects" in text_of(everything, "effects")


def test_what_the_sources_say_of_the_data_is_all_that_is_said(study):
    assert "fictional" not in study[2].split("<section")[0]
    assert "fictional" not in text_of(study[2], "methods")


def test_a_published_figure_and_its_source_may_hold_brackets():
    source, figure = "Li et al. (2026), table 2", "p = 0.04 (t test)"
    row = {"claim": "P1", "contrast": "a gap", "model": "", "spec": {"name": "a gap"}, "control": True, "decides": True}
    row |= {"published": f"{figure} ({source})", "effect": "slant", "verdict": "contradicted", "row": 1}
    declared = {"claims": {"P1": {"source": source}}}
    told, table = answer.published(SimpleNamespace(claims=pd.DataFrame([row]), declared=declared))
    assert f"verdicts ({source}); 0 others" in str(told["content"])
    assert table["rows"][0][1][1] == figure


def test_an_arxiv_number_becomes_a_link_and_the_rest_is_escaped():
    linked = str(answer.cited("<b> arXiv 2502.04419, from a summary"))
    assert (
        linked.startswith("&lt;b&gt; <a href=") and 'abs/2502.04419"' in linked and linked.endswith(", from a summary")
    )


# Predictions before training, and commands that export a cell


def test_predictions_are_shown_with_the_measured_shift(study):
    folder, _, page = study
    rows = pd.read_csv(folder / "foresight.csv")
    (over_pools,) = rows[(rows["seed"] == "all") & (rows["outcome"] == "model_association")].to_dict("records")
    assert over_pools["rho"] > 0.5 and over_pools["n_pools"] >= 4  # the simulated models inherit in proportion
    said = text_of(page, "why")
    assert "Can the shift be predicted before training?" in said
    assert words.number(over_pools["rho"]) in said and "model association" in said


def test_the_commands_that_export_a_cell_are_those_of_the_tool(study):
    said = text_of(study[2], "methods")
    for command in export.commands("FOLDER"):
        assert command in said
    (cell,) = re.findall(r"bias-inheritance export (\S+) FOLDER", said)
    assert re.fullmatch(r"results/demo/cells/[^/]+/gender/[^/]+/gamma-0\.50/none/seed-4/round-1", cell)


def test_each_domain_has_an_overview_of_its_own_and_tables_name_it(tmp_path):
    domains = ["culture-portuguese", "culture-spanish"]
    config = simulated_study.configuration("culture", domain=domains, seed=[1, 2], task=["hiring", "story-generation"])
    page = written(tmp_path, config)[1]
    effects = text_of(page, "effects")
    for title in ("Portuguese-speaking culture (Brazil)", "Spanish-speaking culture (Argentina and Mexico)"):
        assert f"Primary outcomes · {title}, at the largest γ" in effects
        assert f"Hiring · {title}" in text_of(page, "checks")
        assert f"Hiring · {title}" in text_of(page, "levels")


def test_the_title_of_a_metric_keeps_its_capitals_in_a_sentence():
    assert words.metric_phrase("macro_f1") == "macro-F1"
    assert words.metric_phrase("rms_tpr_gap").startswith("RMS gap")
    assert words.metric_phrase("label_probability") == "label probability"


def test_brackets_in_a_groups_name_are_no_model():
    row = {"claim": "C10", "metric": "label_probability", "test": "paired t over seeds", "verdict": "supported"}
    of_group = "bought does not change the group {} compared with real text"

    def models(*contrasts):
        table = pd.DataFrame([{**row, "contrast": contrast} for contrast in contrasts])
        return reading.joined_with_declarations(table, catalog.claims() | {"types": []})["model"].tolist()

    assert models(of_group.format("Other [please specify]"), of_group.format("women")) == ["", ""]
    assert models(of_group.format("women") + " [a-model]", of_group.format("men") + " [b-model]") == [
        "a-model",
        "b-model",
    ]


def test_the_sign_of_an_intervals_end_is_not_rounded_away():
    assert words.interval(-0.0026, 0.2783, 2) == "−0.003 to 0.278"
    assert words.interval(0.02, 0.2783, 2) == "0.02 to 0.28" and words.interval(0.0, 0.2783, 2) == "0.00 to 0.28"
