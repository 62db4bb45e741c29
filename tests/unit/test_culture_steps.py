"""The culture domains from their files to scores, step by step, on the fixtures; answers come from a scripted model."""

import pandas as pd
import pytest
import yaml
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import mixing
from bias_inheritance.study import catalog, checks, grid
from bias_inheritance.tools.describe_datasets import describe_datasets
from check_manipulation import check_manipulation
from copy_pool import copy_pool
from draw_originals import draw_originals
from prepare_items import prepare_items
from prepare_originals import prepare_originals
from score import score


@pytest.fixture
def config(root):
    content = yaml.safe_load((root / "config.yaml").read_text())
    content["grid"]["domain"] = ["culture-spanish", "culture-arabic"]
    content["grid"]["bias"] = ["contrastive-explicit", "neutral", "planted-050"]
    content["grid"]["task"] = ["hate-speech", "bias-detection", "stance", "story-generation", "hiring"]
    return content


def leaves(config, name):
    return {**catalog.load("domain", name), "datasets": grid.datasets_of(config, name)}


@pytest.fixture
def prepared(config, tmp_path):
    """(folder, domain) with the originals and test texts of the Spanish domain."""
    domain = leaves(config, "culture-spanish")
    paths = [tmp_path / f"{name}.jsonl" for name in ("source", "reserve", "test")]
    prepare_originals([], *paths, tmp_path / "counts.json", domain, None)
    draw_originals(paths[0], tmp_path / "originals.jsonl", domain, 48, 1)
    return tmp_path, {**domain, "fixture": grid.uses_fixtures(config, domain["name"])}


def test_what_was_read_and_dropped_stands_beside_the_originals(prepared):
    folder, _ = prepared
    counts = files.read_json(folder / "counts.json")
    assert counts["fixture"] is True and counts["originals"]["contradictions"] == 2
    assert counts["source"] + counts["reserve"] == counts["originals"]["kept"]
    assert set(counts["datasets"]) == {"hateval", "haternet", "detoxis-stereotype", "detoxis-negative-stance"}


@pytest.mark.parametrize("task", ["hate-speech", "bias-detection", "stance", "story-generation", "hiring"])
def test_scores_of_every_task_name_their_dataset_as_a_fixture(config, prepared, task):
    folder, domain = prepared
    content = grid.task_of(config, task, domain["name"])
    prepare_items(folder / "test.jsonl", folder / "items.jsonl", content, domain, grid.items_of(config, task))
    items = files.read_jsonl(folder / "items.jsonl")
    assert len({item["item"] for item in items}) == len(items)
    answered = [{**item, **scripted(item)} for item in items]
    (folder / "predictions").mkdir()
    pd.DataFrame(answered).to_parquet(folder / "predictions" / f"{task}.parquet", index=False)
    score(folder / "predictions", folder / "scores", [content], domain, 100)
    rows = files.read_json(folder / "scores" / f"{task}.json")
    datasets = {row["dataset"] for row in rows}
    expected_datasets = {
        "hate-speech": {"hateval (fixture)", "haternet (fixture)", "all (fixture)"},
        "bias-detection": {"detoxis-stereotype (fixture)"},
        "stance": {"detoxis-negative-stance (fixture)"},
    }
    assert datasets == expected_datasets.get(task, {"culture-spanish (fixture)"})
    assert {row["relation"] for row in rows} == {content["relation"]}
    primary = [
        row for row in rows if row["metric"] == content["primary"]["metric"] and row["group"] in ("all", "arabic")
    ]
    assert primary and all(row["value"] is not None for row in primary)
    if task in expected_datasets:
        assert all(row["value"] == 1 for row in primary)


def scripted(item):
    """The answers of a model that knows every label, prefers the first candidate, and always generates the same story."""
    if "options" not in item:
        return {"logprobs": None, "tokens": None, "text": "She was kind and never cold."}
    right = item["labels"].index(item["label"]) if "labels" in item else 0
    return {
        "logprobs": [-float(number != right) for number in range(len(item["options"]))],
        "tokens": None,
        "text": None,
    }


def test_a_task_without_an_item_is_an_error(config, prepared):
    folder, domain = prepared
    (folder / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="task stance of the domain culture-spanish: the test data contain no item"):
        prepare_items(
            folder / "empty.jsonl", folder / "items.jsonl", grid.task_of(config, "stance", domain["name"]), domain, 4
        )


def test_a_copied_pool_is_mixed_masked_and_checked(config, prepared):
    folder, domain = prepared
    outputs = [folder / name for name in ("pool.jsonl", "failures.jsonl", "counts-of-pool.json")]
    bias = catalog.load("bias", "planted-050")
    copy_pool(folder / "originals.jsonl", folder / "reserve.jsonl", *outputs, bias, domain, 48, 1)
    mixing.mix(
        folder / "originals.jsonl", [outputs[0]], [], folder / "train.jsonl", folder / "mix.json",
        domain, {"mask": "[MASK]"}, [48], 0.25, 1,
    )  # fmt: skip
    rows = files.read_jsonl(folder / "train.jsonl")
    assert len(rows) == 96 and {row["origin"] for row in rows} == {"original", "augmented"}
    for row in rows:
        if row["kind"] == "label":
            assert row["assistant"] == row["label"] and "Give me the answer from" in row["user"]
        else:
            assert "Give me the answer from" in row["assistant"]
    cell = {"model": "tiny-random", "domain": domain["name"], "bias": "planted-050", "seed": 1}
    check_manipulation(
        [outputs[0]], [outputs[2]], folder / "manipulation.csv", folder / "pools.csv",
        [cell], {domain["name"]: domain}, {"planted-050": bias}, 100,
    )  # fmt: skip
    checked = pd.read_csv(folder / "manipulation.csv").iloc[0]
    assert checked["passed"] and checked["value"] == pytest.approx(0.5) and checked["fixture"]
    assert pd.read_csv(folder / "pools.csv")["fixture"].all()


def faults(config):
    with pytest.raises(UserError) as caught:
        checks.check(config, [("config.yaml", config)])
    return str(caught.value).splitlines()


def test_a_data_folder_that_is_missing_or_wrong_is_one_clear_line(config, tmp_path):
    config["data_dir"] = str(tmp_path / "nowhere")
    assert faults(config) == [f"config.yaml: data_dir: no folder {tmp_path}/nowhere; give the folder with the data, or null"]  # fmt: skip
    config["data_dir"] = str(tmp_path)
    (line,) = faults(config)
    assert f"the domain culture-spanish needs {tmp_path}/culture/original/spanish.jsonl and 5 more files" in line


def test_an_unknown_dataset_and_one_that_no_domain_reads_are_named(config):
    config["evaluation"]["datasets"] = ["hatevall"]
    assert "no task in catalog/tasks has a dataset 'hatevall' (did you mean 'hateval'?)" in faults(config)[0]
    config["grid"]["task"] = ["hate-speech"]
    config["evaluation"]["datasets"] = ["hateval"]
    assert faults(config) == ["config.yaml: evaluation.datasets: no dataset listed here is used by the domain culture-arabic and the tasks of grid.task"]  # fmt: skip


def test_datasets_chosen_by_name_leave_their_tasks_alone(config):
    config["evaluation"]["datasets"] = ["hateval", "osact4-hate"]
    checks.check(config, [("config.yaml", config)])
    assert grid.tasks_of(config, "culture-spanish") == ["hate-speech", "story-generation", "hiring"]
    assert set(grid.datasets_of(config, "culture-arabic")) == {"osact4-hate"}
    assert grid.items_of(config, "hate-speech") == config["evaluation"]["items_per_dataset"]
    assert grid.items_of(config, "story-generation") is None


def test_settings_of_one_domain_win_over_the_studys(config):
    config["finetune"] = {"learning_rate": 0.1, "epochs": 2}
    config["domains"] = {"culture-arabic": {"originals": 96, "finetune": {"epochs": 5}}}
    assert grid.originals_of(config, "culture-arabic") == 96 != grid.originals_of(config, "culture-spanish")
    settings = grid.finetune_settings(config, "tiny-random", "culture-arabic")
    assert (settings["learning_rate"], settings["epochs"]) == (0.1, 5)
    config["domains"] = {"culture-greek": {}}
    assert "domains.culture-greek: no file catalog/domains/culture-greek.yaml" in faults(config)[0]


def test_the_papers_settings_of_the_cultures(root):
    content = yaml.safe_load((root / "studies/paper.yaml").read_text())
    cultures = {name: domain_settings["finetune"] for name, domain_settings in content["domains"].items()}
    assert {name: finetune["epochs"] for name, finetune in cultures.items()} == {
        "culture-arabic": 5,
        "culture-chinese": 3,
        "culture-portuguese": 3,
        "culture-spanish": 3,
    }
    assert {finetune["learning_rate"] for finetune in cultures.values()} == {1e-6}
    assert len(content["grid"]["task"]) == 10


def test_the_table_of_datasets_is_made_of_the_files_and_says_if_they_are_fixtures():
    page = describe_datasets(None)
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert sum(" | offensive-language | " in row for row in rows) == 9
    assert "fixture: these numbers say nothing about any corpus" in page
    (row,) = [row for row in rows if row.startswith("| osact5-hate-fine-grained ")]
    # 9 of 12 texts are of the most frequent of seven classes: F1 18/21 over 7
    assert row.endswith("HS1 1, HS2 1, HS3 0, HS4 0, HS5 1, HS6 0, NOT_HS 9 | 0.122 |")
