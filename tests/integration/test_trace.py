"""From a verdict, a score or a file down to prompts, seeds, the model's files, code and environment."""

import csv
import json
import shlex
import shutil
import subprocess

import pytest
from bias_inheritance.plumbing import files, provenance, records
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.tools.trace import trace
from command_line import COMMAND, bias_inheritance, environment

CELL = "cells/tiny-random/gender/neutral/gamma-0.50/none/seed-1/round-1"
ORIGINAL = "cells/tiny-random/gender/original/gamma-0.00/none/seed-1/round-1"
POOL = "pools/tiny-random/gender/neutral/seed-1"
BEHIND_A_SCORE = ["score", "predict", "finetune", "write_pool", "draw_originals", "prepare_model"]


@pytest.fixture(scope="module")
def results(finished):
    return finished / "results" / "one"


def printed(finished, *words):
    """The command's output for a study inside its project."""
    process = bias_inheritance("trace", *words, project=finished)
    assert process.returncode == 0, process.stderr
    return process.stdout


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def steps(lineage):
    return {job["step"] for job in lineage["jobs"].values()}


def assert_whole(text, results):
    """Prompts, seeds, the digests of the model's files, the code that ran and the environment are all in a tree."""
    samples = files.read_jsonl(results / POOL / "pool.jsonl")
    assert f"a seed for each record: {samples[0]['seed']}" in text
    assert all(word in text for word in samples[0]["prompt"].split())
    assert "prompt template (biographies): Write a biography of {a_label} in three or four sentences." in text
    for name, sha256 in files.read_json(results / "models/tiny-random.json")["files"].items():
        assert f"{sha256}  {name}" in text
    code = json.loads((results / f"{CELL}/finetune.prov.json").read_text())["code"]["files"]
    for path, sha256 in code.items():
        assert f"{sha256}  {path}\n" in text, "as it is here now, so without a remark"
    environment = text.split("\nenvironment\n")[1]
    assert "torch" in environment and "lock file" in environment and "container" in environment


def test_a_verdict_is_followed_to_prompts_seeds_model_code_and_environment(finished, results):
    text = printed(finished, "results/one/claims.csv", "--row", "3")
    third = rows(results / "claims.csv")[2]
    head = " ".join(text[:1000].split())
    assert all(" ".join(third[key].split()) in head for key in ("claim", "contrast", "verdict", "reason"))
    lines = text.splitlines()
    order = [
        next(n for n, line in enumerate(lines) if f"─ {step}  " in line) for step in ("gather_scores", *BEHIND_A_SCORE)
    ]
    assert order[:2] == sorted(order[:2]) and min(order) == order[0], "the verdict's table stands above all"
    depth = {step: next(line.index("─ ") for line in lines if f"─ {step}  {where}" in line) for step, where in
             {"gather_scores": "", "score": CELL, "predict": CELL, "finetune": CELL, "write_pool": POOL}.items()}  # fmt: skip
    assert sorted(depth.values()) == list(depth.values()) and len(set(depth.values())) == 5, depth
    assert_whole(text, results)


def test_a_file_is_followed_down_and_shows_the_very_samples(finished, results):
    text = printed(finished, f"results/one/{CELL}/adapter/adapter_model.safetensors", "--samples", "2")
    assert "─ score" not in text and "─ predict" not in text, "nothing that was made from it"
    assert_whole(text, results)
    flat = "".join(text.replace("│", " ").split())
    for name in (f"{POOL}/pool.jsonl", f"{CELL}/train.jsonl", "originals/gender/seed-1/originals.jsonl"):
        first, second, third, *_ = files.read_jsonl(results / name)
        for value in [*first.values(), *second.values()]:
            # a random model writes control characters and lines of boxes too
            assert "".join(records.plain(str(value)).replace("│", " ").split()) in flat, name
        if name.startswith("pools"):
            assert str(second["seed"]) in flat and str(third["seed"]) not in flat
    lineage = json.loads(
        printed(finished, f"results/one/{CELL}/predictions/salary.parquet", "--samples", "1", "--json")
    )
    assert len(lineage["samples"][f"results/one/{CELL}/predictions/salary.parquet"]) == 1
    assert lineage["samples"][f"results/one/{POOL}/pool.jsonl"] == files.read_jsonl(results / POOL / "pool.jsonl")[:1]


def test_every_file_of_the_study_has_a_lineage(results):
    for path in sorted(results.rglob("*")):
        if path.is_file() and path.name != provenance.MARKER:
            lineage = trace(path)
            assert lineage["jobs"] and lineage["starts"], path
            if not path.name.endswith(provenance.SUFFIX):
                assert lineage["sha256"] == provenance.sha256(path)


def test_a_row_of_scores_leads_to_its_own_cell_alone(results):
    for number, row in enumerate(rows(results / "scores.csv"), start=1):
        if number % 10 == 1:
            lineage = trace(results / "scores.csv", number)
            (start,) = lineage["starts"]
            assert f"/{row['bias']}/gamma-{float(row['gamma']):.2f}/" in start and start.endswith(
                f"/{row['task']}.json"
            )
            if row["bias"] == "neutral":
                assert set(BEHIND_A_SCORE) <= steps(lineage)
                assert not any(ORIGINAL in name for name in lineage["jobs"])
                (pool,) = lineage["pools"].values()
                assert len(pool["seeds"]) == pool["samples"] == 12 and pool["prompts"]


def test_every_claim_has_a_lineage_and_one_of_misalignment_leads_to_its_table(results):
    weighed, traced = set(), set()
    for number, row in enumerate(rows(results / "claims.csv"), start=1):
        kind = row["claim"], row["verdict"], row["test"]
        if kind in traced:
            continue
        traced.add(kind)
        lineage = trace(results / "claims.csv", number)
        assert lineage["starts"], row
        if lineage["weights"]:
            weighed.update(lineage["starts"])
            assert len(lineage["starts"]) == 1 and "write_pool" in steps(lineage), row
    assert weighed == {"results/one/misalignment/groups.csv"}


@pytest.mark.parametrize(
    ("outcome", "effect", "weights", "starts"),
    [
        (
            "salary-gap",
            "augmentation",
            {"neutral 0.5 none 1": 1.0, "original 0.0 none 1": -1.0},
            [f"{cell}/scores/salary.json" for cell in (CELL, ORIGINAL)],
        ),
        ("beta", "level", {"neutral 0.5 none 1": 1.0}, ["inheritance.csv"]),
    ],
)
def test_a_weighed_contrast_leads_to_what_it_weighs(results, tmp_path, outcome, effect, weights, starts):
    """No declared contrast of this study uses scores or β, so one is added to its copy."""
    shutil.copytree(results, tmp_path / "one")
    record = tmp_path / "one" / "claims.prov.json"
    content = json.loads(record.read_text())
    contrast = {"name": "added", "outcome": outcome, "biases": ["neutral"], "effect": effect, "direction": "greater"}
    content["parameters"]["declared"]["claims"] = {"C0": {"contrasts": [contrast]}}
    files.write_json(record, content)
    (tmp_path / "one" / "claims.csv").write_text("claim,contrast\nC0,added\n")
    lineage = trace(tmp_path / "one" / "claims.csv", 1)
    assert lineage["weights"] == weights
    assert set(lineage["starts"]) == {f"results/one/{start}" for start in starts}
    assert {*BEHIND_A_SCORE} - {"score"} <= steps(lineage)


def test_what_cannot_be_traced_is_a_clear_message(results, tmp_path):
    (tmp_path / "x.csv").write_text("1")
    shutil.copytree(results / "originals", tmp_path / "one" / "originals")
    (tmp_path / "one" / "originals" / "gender" / "more.csv").write_text("a\n1\n")
    for path, row, expected in [
        (results / "claims.csv", 0, "rows are 1 to"),
        (results / "claims.csv", 10**6, "rows are 1 to"),
        (results / "manipulation.csv", 1, "--row works for scores.csv and claims.csv"),
        (tmp_path / "x.csv", None, "no record"),
        (tmp_path / "one" / "originals" / "gender" / "more.csv", None, "so it has no lineage"),
    ]:
        with pytest.raises(UserError, match=expected):
            trace(path, row)


def test_a_reader_that_has_seen_enough_is_no_fault(finished):
    shown = subprocess.run(
        f"{shlex.join(COMMAND)} trace results/one/scores.csv | head -n 1",
        shell=True, cwd=finished, env=environment(finished), capture_output=True, text=True,
    )  # fmt: skip
    assert shown.stdout.startswith("scores.csv  sha256 ") and shown.stderr == ""
