"""Datasets of the hub, through the steps' own command lines: the record names the commit that a branch stood for."""

import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from bias_inheritance.plumbing import files
from bias_inheritance.study import catalog
from scripted_hub import COMMIT, hub


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(path)


def biographies(folder):
    for split in ("train", "dev", "test"):
        texts = [f"{split} {number}" for number in range(96)]
        professions, genders = (
            [[1, 6, 13, 14, 21, 24][number % 6] for number in range(96)],
            [n // 6 % 2 for n in range(96)],
        )
        parquet(folder / f"data/{split}-0.parquet", hard_text=texts, profession=professions, gender=genders)
    domain = catalog.load("domain", "gender-bias-in-bios")
    source = {**domain["data"], "revision": "main", "content": None}
    return source, originals({**domain, "data": source, "datasets": {}})


def labelled(folder):
    parquet(folder / "default/test/0.parquet", instagram_comments=["bom", "mau"], offensive_language=[False, True])
    dataset = catalog.load("task", "offensive-language")["datasets"]["hatebr-hub"]
    described = {"name": "hatebr-hub", "task": "offensive-language", **dataset}
    source = {"hub": dataset["hub"], "revision": dataset["revision"]}
    return source, originals({**catalog.load("domain", "culture-portuguese"), "datasets": {"hatebr-hub": described}})


def opinions(folder):
    spec = {key: catalog.opinions()[key] for key in ("hub", "cultures", "sides", "prompt", "no_answer")}
    spec["hub"]["revision"] = "main"
    (folder / "data").mkdir()
    shutil.copy("resources/opinions-fixture.csv", folder / spec["hub"]["file"])
    words = ["prepare_opinions.py", "--questions", "questions.jsonl", "--unusable", "unusable.json"]
    source = {"hub": spec["hub"]["id"], "revision": spec["hub"]["revision"]}
    return source, [*words, "--parameters", json.dumps({**spec, "count": 2})]


def originals(domain):
    words = ["prepare_originals.py"]
    for name in ("source", "reserve", "test"):
        words += [f"--{name}", f"{name}.jsonl"]
    return [
        *words,
        "--counts",
        "counts.json",
        "--parameters",
        json.dumps({"domain": domain, "data_dir": None, "planned": {}}),
    ]


@pytest.mark.parametrize("make", [biographies, labelled, opinions])
def test_the_record_names_the_commit(root, tmp_path, make):
    published, place = tmp_path / "published", tmp_path / "place"
    published.mkdir()
    place.mkdir()
    source, (script, *words) = make(published)
    assert source["revision"] != COMMIT
    command = [sys.executable, str(root / "scripts" / script), *words, "--wildcards", "{}", "--work", "work/one"]
    with hub(published, source["hub"], kind="datasets") as (address, _):
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        ran = subprocess.run(
            [*command, "--record", "record.prov.json"],
            cwd=place, env={**os.environ, **settings}, capture_output=True, text=True,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    record = files.read_json(place / "record.prov.json")
    assert record["data_sets"] == {source["hub"]: {"revision": source["revision"], "commit": COMMIT}}


def test_a_data_set_that_is_not_there_is_told(root, tmp_path):
    source, (script, *words) = opinions(tmp_path)
    command = [sys.executable, str(root / "scripts" / script), *words, "--wildcards", "{}", "--work", "work/one"]
    with hub(tmp_path, "someone/else", kind="datasets") as (address, _):
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home")}
        ran = subprocess.run(
            [*command, "--record", "record.prov.json"],
            cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True,
        )  # fmt: skip
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert (
        f"dataset {source['hub']} could not be fetched at revision main" in ran.stderr
        and "opinions.source" in ran.stderr
    )


def test_the_data_sets_of_shipped_studies_are_pinned_to_a_commit():
    sources = [catalog.load("domain", "gender-bias-in-bios")["data"], catalog.opinions()["hub"]]
    assert all(re.fullmatch("[0-9a-f]{40}", source["revision"]) for source in sources)
