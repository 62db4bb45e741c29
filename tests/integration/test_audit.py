"""Faults injected into a finished study with many kinds of files: audit reports the right state for each, without false
alarms.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bias_inheritance.plumbing import audit, files, provenance, records
from command_line import bias_inheritance
from projects import copy_project

CELL = "cells/tiny-random/gender/neutral/gamma-0.50/none/seed-1/round-1"
SECOND = "cells/tiny-random/gender/neutral/gamma-0.50/none/seed-1/round-2"
ORIGINAL = "cells/tiny-random/gender/original/gamma-0.00/none/seed-1/round-1"
POOL = "pools/tiny-random/gender/neutral/seed-1"
CONTROL = "pools/tiny-random/gender/planted-100/seed-1"
MISALIGNMENT = "misalignment"
LATER = ": of a later round"
# one file of every kind (step and output), and another one to swap it with: of its kind where the study has two
KINDS = {
    "prepare_originals/source": ("originals/gender/source.jsonl", "originals/gender/reserve.jsonl"),
    "prepare_originals/reserve": ("originals/gender/reserve.jsonl", "originals/gender/test.jsonl"),
    "prepare_originals/test": ("originals/gender/test.jsonl", "originals/gender/source.jsonl"),
    "prepare_originals/counts": ("originals/gender/counts.json", f"{POOL}/counts.json"),
    "draw_originals/originals": ("originals/gender/seed-1/originals.jsonl", f"{ORIGINAL}/train.jsonl"),
    "prepare_items/questions": ("originals/gender/items/salary.jsonl", "originals/gender/items/hiring.jsonl"),
    "prepare_model/card": ("models/tiny-random.json", f"{POOL}/counts.json"),
    "write_pool/pool": (f"{POOL}/pool.jsonl", f"{CELL}/train.jsonl"),
    "write_pool/failures": (f"{POOL}/failures.jsonl", f"{POOL}/pool.jsonl"),
    "write_pool/counts": (f"{POOL}/counts.json", f"{CELL}/scores/salary.json"),
    "describe_pools/cards": (f"{POOL}/card.md", "workflow/Snakefile"),
    f"write_pool/pool{LATER}": (f"{CELL}/pool.jsonl", f"{POOL}/pool.jsonl"),
    f"write_pool/failures{LATER}": (f"{CELL}/failures.jsonl", f"{POOL}/failures.jsonl"),
    f"write_pool/counts{LATER}": (f"{CELL}/counts.json", f"{POOL}/counts.json"),
    f"describe_pools/cards{LATER}": (f"{CELL}/card.md", f"{POOL}/card.md"),
    "copy_pool/pool": (f"{CONTROL}/pool.jsonl", f"{POOL}/pool.jsonl"),
    "copy_pool/failures": (f"{CONTROL}/failures.jsonl", f"{POOL}/failures.jsonl"),
    "copy_pool/counts": (f"{CONTROL}/counts.json", f"{POOL}/counts.json"),
    "finetune/train": (f"{CELL}/train.jsonl", f"{ORIGINAL}/train.jsonl"),
    f"finetune/train{LATER}": (f"{SECOND}/train.jsonl", f"{CELL}/train.jsonl"),
    "finetune/summary": (f"{CELL}/mix.json", f"{ORIGINAL}/mix.json"),
    "finetune/adapter": (f"{CELL}/adapter/adapter_model.safetensors", f"{ORIGINAL}/adapter/adapter_model.safetensors"),
    "finetune/adapter: its config": (f"{CELL}/adapter/adapter_config.json", f"{CELL}/scores/hiring.json"),
    "finetune/training_log": (f"{CELL}/training.csv", f"{ORIGINAL}/training.csv"),
    "predict/predictions": (f"{CELL}/predictions/salary.parquet", f"{ORIGINAL}/predictions/salary.parquet"),
    "predict/predictions: opinions": (f"{CELL}/opinions/opinions.parquet", f"{ORIGINAL}/opinions/opinions.parquet"),
    "score/scores": (f"{CELL}/scores/salary.json", f"{ORIGINAL}/scores/salary.json"),
    "gather_scores/table": ("scores.csv", "manipulation.csv"),
    "gather_scores/parquet": ("scores.parquet", f"{CELL}/predictions/salary.parquet"),
    "measure_quality/table": ("quality.csv", "pools.csv"),
    "check_manipulation/manipulation": ("manipulation.csv", "pools.csv"),
    "check_manipulation/table": ("pools.csv", "effects.csv"),
    "prepare_opinions/questions": (f"{MISALIGNMENT}/opinions.jsonl", "originals/gender/items/salary.jsonl"),
    "prepare_opinions/unusable": (f"{MISALIGNMENT}/unusable-opinions.json", "originals/gender/counts.json"),
    "measure_values/table": (f"{MISALIGNMENT}/values.csv", f"{MISALIGNMENT}/groups.csv"),
    "measure_groups/table": (f"{MISALIGNMENT}/groups.csv", f"{MISALIGNMENT}/together.csv"),
    "relate_misalignment/together": (f"{MISALIGNMENT}/together.csv", f"{MISALIGNMENT}/correlations.csv"),
    "relate_misalignment/correlations": (f"{MISALIGNMENT}/correlations.csv", f"{MISALIGNMENT}/groups.csv"),
    "measure_inheritance/table": ("inheritance.csv", "effects.csv"),
    "measure_inheritance/points": ("inheritance_points.csv", "inheritance.csv"),
    "foresee/table": ("foresight.csv", "inheritance.csv"),
    "analyse/effects": ("effects.csv", "claims.csv"),
    "analyse/verdicts": ("claims.csv", "effects.csv"),
    "check_results/checks": ("checks.csv", "effects.csv"),
    "write_config/resolved": ("config.yaml", "originals/gender/counts.json"),
    "report/page": ("report.html", "claims.csv"),
    "write_crate/crate": ("ro-crate-metadata.json", "scores.csv"),
    "write_crate/workflow": ("workflow/scripts/finetune.py", "workflow/scripts/score.py"),
}
# nothing is made from these, so they and their record can be edited together
LAST = ["write_crate/crate", "write_crate/workflow"]
RECORD = f"{POOL}/write_pool.prov.json"
RECORDS = [
    RECORD,
    f"{CONTROL}/copy_pool.prov.json",
    f"{SECOND}/finetune.prov.json",
    f"{CELL}/opinions.prov.json",
    "scores.prov.json",
    "ro-crate-metadata.prov.json",
]


@pytest.fixture
def place(wider, tmp_path, monkeypatch):
    """A copy of the results that a test may harm, audited against the code and configuration of the finished study."""
    monkeypatch.setattr(provenance, "ROOT", wider)
    monkeypatch.setattr(provenance, "SCRIPTS", wider / "scripts")
    shutil.copytree(wider / "results" / "one", tmp_path / "one")
    return tmp_path / "one"


def states(folder, **options):
    """{relative path: state} of every file that is not ok, and the whole finding."""
    report = audit.audit(folder, **options)
    wrong = {
        name.removeprefix("results/one/"): verdict["state"]
        for name, verdict in report["files"].items()
        if verdict["state"] != "ok"
    }
    assert report["ok"] == (not wrong) or "expect" in options
    return wrong, report


def same_date(path, content):
    """Change a file's content and not its dates."""
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_an_untouched_study_is_all_ok(place):
    wrong, report = states(place)
    assert wrong == {} and report["ok"]
    assert report["counts"]["ok"] == sum(p.is_file() and p.name != provenance.MARKER for p in place.rglob("*"))
    assert any("--expect" in note for note in report["notes"])


def test_touch_copy_and_fresh_clone_raise_no_alarm(place, wider, tmp_path):
    for path in [*place.rglob("*"), *(wider / "scripts").rglob("*.py"), *(wider / "catalog").rglob("*")]:
        path.touch()
    root = audit.audit(wider / "results" / "one")["root"]
    assert states(place)[0] == {}
    clone = copy_project(tmp_path / "elsewhere" / "clone")
    shutil.copytree(place, clone / "results" / "another-name")
    process = bias_inheritance("audit", "results/another-name", "--json", "--expect", root, project=clone)
    assert process.returncode == 0, process.stdout + process.stderr
    assert json.loads(process.stdout)["root"] == root


def test_needs_nothing_but_python_and_says_so_by_its_status(place, wider):
    words = ["bias-inheritance", "audit", str(place)]
    start = f"import sys; sys.path.insert(0, {str(wider / 'scripts')!r}); sys.argv = {words!r}; "
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in ("yaml", "snakemake", "torch", "numpy", "pandas"))
    code = start + blocked + "from bias_inheritance.tools.__main__ import main; main()"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True).returncode == 0
    (place / "scores.csv").write_text("model\n")
    told = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert told.returncode == 1 and "tampered  results/one/scores.csv" in told.stdout


def test_the_faults_below_reach_every_kind_of_file(wider):
    kinds = {}
    for record in records.read(wider / "results" / "one").records.values():
        for output, entries in record["outputs"].items():
            paths = kinds.setdefault(f"{record['step']}/{output}", set())
            paths |= {entry["path"].removeprefix("results/one/") for entry in entries}
    assert kinds.keys() == {kind.split(":")[0] for kind in KINDS}
    for kind, (path, _) in KINDS.items():
        assert path in kinds[kind.split(":")[0]], kind


def removed(path, other):
    path.unlink()


# what happens to a file, given another one (paths); each is done to a file of every kind at once
FAULTS = {
    "first byte flipped": lambda path, other: same_date(path, flipped(path.read_bytes(), 0)),
    "middle byte flipped": lambda path, other: same_date(path, flipped(path.read_bytes(), path.stat().st_size // 2)),
    "last byte flipped": lambda path, other: same_date(path, flipped(path.read_bytes(), path.stat().st_size - 1)),
    "emptied": lambda path, other: same_date(path, b""),
    "cut to one byte": lambda path, other: same_date(path, path.read_bytes()[:1]),
    "cut by one byte": lambda path, other: same_date(path, path.read_bytes()[:-1]),
    "replaced": lambda path, other: path.write_bytes(other),
    "deleted": removed,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_changed_files_of_every_kind_are_named(place, fault):
    others = {name: (place / other).read_bytes() for name, other in KINDS.values()}
    # a control's list of failures is an empty file, which nothing can be taken from
    names = [name for name in others if (place / name).stat().st_size or fault in ("replaced", "deleted")]
    for name in names:
        FAULTS[fault](place / name, others[name])
    assert states(place)[0] == dict.fromkeys(names, "missing" if fault == "deleted" else "tampered")


def test_swapped_and_added_files_are_named(place):
    first, second = (place / name for name in KINDS["finetune/train"])
    first_content, second_content = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_content)
    second.write_bytes(first_content)
    assert states(place)[0] == dict.fromkeys(KINDS["finetune/train"], "tampered")
    first.write_bytes(first_content)
    second.write_bytes(second_content)
    added = [f"{name}.copy" for name, _ in KINDS.values()]
    for name in added:
        shutil.copy(place / name.removesuffix(".copy"), place / name)
    assert states(place)[0] == dict.fromkeys(added, "extra")


@pytest.mark.parametrize("kind", ["draw_originals/originals", "predict/predictions", "analyse/verdicts"])
def test_a_file_edited_together_with_its_record_is_found_by_what_was_made_from_it(place, kind):
    """Its own record agrees with it; a file made from it read another one."""
    path = place / KINDS[kind][0]
    name = f"results/one/{KINDS[kind][0]}"
    record = place / Path(records.read(place).makers[name]["record"]).relative_to("results/one")
    path.write_bytes(path.read_bytes() + b"\n")
    edit(record, lambda r: entry(r, name).update(provenance.describe(path)[0] | {"path": name}), seal=False)
    wrong, _ = states(place)
    assert wrong[str(record.relative_to(place))] == "tampered", "the record has a seal"
    edit(record, lambda r: None, seal=True)
    wrong, _ = states(place)
    assert "tampered" not in wrong.values() and "stale" in wrong.values(), wrong
    assert KINDS[kind][0] not in wrong, "the file itself agrees with its record"


def test_a_file_of_every_kind_or_its_record_was_read_by_a_later_job(wider):
    """So that every fault can be detected as above: another record contains the sha256 of the file or of its record."""
    study = records.read(wider / "results" / "one")
    for kind in KINDS.keys() - LAST:
        name = f"results/one/{KINDS[kind][0]}"
        maker = study.makers[name]
        read = {e["path"] for r in study.records.values() if r is not maker for e in records.entries(r["inputs"])}
        assert {name, maker["record"]} & read, kind


def test_a_last_file_edited_with_its_record_is_told_by_a_kept_digest_alone(place):
    _, before = states(place)
    path, record = place / "ro-crate-metadata.json", place / "ro-crate-metadata.prov.json"
    path.write_bytes(path.read_bytes() + b"\n")
    name = "results/one/ro-crate-metadata.json"
    edit(record, lambda r: entry(r, name).update(provenance.describe(path)[0] | {"path": name}), seal=True)
    wrong, after = states(place)
    assert wrong == {} and after["ok"]
    assert not states(place, expect=before["root"])[1]["ok"]
    assert states(place, expect=after["root"])[1]["ok"]


def edit(record, change, seal):
    content = json.loads(record.read_text())
    change(content)
    if seal:
        content.pop("seal")
        content = provenance.sealed(content)
    files.write_json(record, content)


def entry(content, name):
    return next(e for group in content["outputs"].values() for e in group if e["path"] == name)


def fault_of(record):
    """The state according to a record alone; test_audit_reports_what_records_read checks that audit gives the same."""
    _, fault = records.parse(record)
    return fault and fault[0]


@pytest.mark.parametrize("name", RECORDS)
def test_edited_records_are_named(place, name):
    record = place / name
    whole = record.read_bytes()
    edits = {"seconds": 1.0, "started": "2020-01-01T00:00:00", "wildcards": {"seed": "7"}, "machine": {"cpu": "?"}}
    for key, value in edits.items():
        edit(record, lambda r, key=key, value=value: r.update({key: value}), seal=False)
        assert fault_of(record) == "tampered", key
        record.write_bytes(whole)
    same_date(record, whole.replace(b'": ', b'":  ', 1))
    assert fault_of(record) == "tampered", "one more space"
    for broken in (whole[:100], b"", b"{}", b"[]", b"\xff\xfe", b'{"inputs": 3}'):
        record.write_bytes(broken)
        assert fault_of(record) == "broken", broken
    # each of them once took audit down; tests/unit/test_records.py has more
    for key, value in {"environment": None, "code": 3, "study": ["one"], "record": [name], "parameters": ["a"]}.items():
        record.write_bytes(whole)
        edit(record, lambda r, key=key, value=value: r.update({key: value}), seal=True)
        assert fault_of(record) == "broken", key


def test_audit_reports_what_reading_records_finds(place):
    for number, name in enumerate(RECORDS):
        record = place / name
        record.write_bytes(b"{}" if number % 2 else record.read_bytes().replace(b'": ', b'":  ', 1))
    wrong, _ = states(place)
    assert [wrong[name] for name in RECORDS] == ["tampered", "broken"] * 3


def test_records_edited_and_sealed_again_are_told_by_the_plan_and_by_their_readers(place):
    outputs = set()
    for name in RECORDS:
        edit(place / name, lambda r: r["parameters"].update(more=13), seal=True)
        outputs |= {e["path"] for e in records.entries(json.loads((place / name).read_text())["outputs"])}
    wrong, _ = states(place)
    # the plan tells the parameters, and the crate read another record
    assert {output.removeprefix("results/one/") for output in outputs} <= wrong.keys()
    assert wrong["ro-crate-metadata.json"] == "stale" and set(wrong.values()) == {"stale"}


@pytest.mark.parametrize("name", RECORDS)
def test_every_flipped_byte_of_a_record_is_seen(place, name):
    record = place / name
    whole = record.read_bytes()
    for at in range(0, len(whole), max(7, len(whole) // 500)):
        record.write_bytes(flipped(whole, at))
        assert fault_of(record) in ("tampered", "broken"), at


def test_lost_swapped_and_copied_records_are_named(place):
    record, other = place / RECORD, place / CONTROL / "copy_pool.prov.json"
    first, second = record.read_bytes(), other.read_bytes()
    record.unlink()
    wrong, _ = states(place)
    assert wrong[f"{POOL}/pool.jsonl"] == "extra", "nothing says where it is from"
    assert wrong[f"{CELL}/finetune.prov.json"] == "broken", "its input comes from nowhere"
    record.write_bytes(second)
    other.write_bytes(first)
    wrong, _ = states(place)
    assert wrong[RECORD] == wrong[f"{CONTROL}/copy_pool.prov.json"] == "tampered"
    record.write_bytes(first)
    other.write_bytes(second)
    (place / "copy.prov.json").write_bytes(first)
    assert states(place)[0] == {"copy.prov.json": "tampered"}


def test_an_older_runs_file_with_its_record_is_stale(place, wider):
    """Originals of a run with 14 of them, with their record, replace the 12; files produced from the 12 are reported."""
    older = wider.parent / "older"
    if not older.exists():
        copy_project(older)
        shutil.copytree(wider / "results" / "one" / "originals", older / "results" / "one" / "originals")
        name = "originals/gender/seed-1"
        before = json.loads((place / name / "draw_originals.prov.json").read_text())
        command = [sys.executable, "scripts/draw_originals.py", "--source", "results/one/originals/gender/source.jsonl"]
        command += ["--originals", f"results/one/{name}/originals.jsonl", "--work", ".work/one"]
        command += ["--record", f"results/one/{name}/draw_originals.prov.json"]
        command += ["--parameters", json.dumps(before["parameters"] | {"count": 14})]
        subprocess.run(command, cwd=older, check=True)
    shutil.copytree(
        older / "results/one/originals/gender/seed-1", place / "originals/gender/seed-1", dirs_exist_ok=True
    )
    wrong, report = states(place)
    assert wrong["originals/gender/seed-1/originals.jsonl"] == "stale"
    why = report["files"]["results/one/originals/gender/seed-1/originals.jsonl"]["why"]
    assert "count" in why
    assert wrong[f"{CELL}/train.jsonl"] == "stale" and wrong[f"{POOL}/pool.jsonl"] == "stale"
    assert f"{CELL}/scores/salary.json" not in wrong


# the steps of the study, each with one of its files: a change of a step's script makes it stale
STEPS = {kind.split("/")[0]: path for kind, (path, _) in KINDS.items()}


@pytest.fixture
def changeable(place, tmp_path, monkeypatch):
    """A modifiable copy of the project with the finished study's code, with which audit compares the results."""
    project = copy_project(tmp_path / "changed")
    monkeypatch.setattr(provenance, "ROOT", project)
    monkeypatch.setattr(provenance, "SCRIPTS", project / "scripts")
    return project


def changed_content(path):
    return path.read_bytes() + (b"\nchanged = True\n" if path.suffix == ".py" else b"\n")


@pytest.mark.parametrize("steps", [sorted(STEPS)[::2], sorted(STEPS)[1::2]])
def test_a_changed_script_makes_stale_what_its_step_made(place, changeable, steps):
    """For every step, and so for every kind of file; nothing of another step but what runs the same script."""
    for step in steps:
        script = changeable / "scripts" / f"{step}.py"
        script.write_bytes(changed_content(script))
    wrong, report = states(place)
    assert set(wrong.values()) == {"stale"}
    for kind, (path, _) in KINDS.items():
        assert (path in wrong) == (kind.split("/")[0] in steps), kind
    for step in steps:
        assert f"scripts/{step}.py" in report["files"][f"results/one/{STEPS[step]}"]["why"]


# code, and files that are stale once it has changed
CHANGED = {
    "scripts/bias_inheritance/pools/mixing.py": [f"{CELL}/train.jsonl", f"{ORIGINAL}/train.jsonl"],
    "scripts/write_pool.py": [f"{POOL}/pool.jsonl", f"{POOL}/counts.json", f"{POOL}/failures.jsonl"],
    "scripts/copy_pool.py": [f"{CONTROL}/pool.jsonl", f"{CONTROL}/failures.jsonl", f"{CONTROL}/counts.json"],
    "scripts/bias_inheritance/data/opinions.py": ["misalignment/opinions.jsonl", "misalignment/values.csv"],
    "scripts/bias_inheritance/pools/quality.py": ["quality.csv"],
    "resources/opinions-fixture.csv": ["misalignment/opinions.jsonl", "misalignment/unusable-opinions.json"],
    "scripts/gather_scores.py": ["scores.csv", "scores.parquet"],
    "scripts/bias_inheritance/models/train.py": [
        f"{CELL}/adapter/adapter_model.safetensors",
        f"{CELL}/training.csv",
    ],
    "scripts/bias_inheritance/models/scoring.py": [f"{CELL}/predictions/salary.parquet"],
    "scripts/bias_inheritance/tasks/salary.py": [f"{CELL}/scores/salary.json"],
    "scripts/bias_inheritance/data/labelled.py": [f"{CELL}/train.jsonl", "originals/gender/source.jsonl"],
    "scripts/describe_pools.py": [f"{POOL}/card.md"],
    "scripts/write_crate.py": ["ro-crate-metadata.json", "workflow/Snakefile"],
    "scripts/prepare_model.py": ["models/tiny-random.json"],
    "resources/names.csv": ["originals/gender/items/hiring.jsonl"],
    "resources/biographies/nurse.jsonl": ["originals/gender/source.jsonl", "originals/gender/test.jsonl"],
}


def test_changed_code_makes_stale_what_it_made(place, wider, changeable):
    """By record: audit compares the files of a step's code with those of the record, as the test above shows."""
    study = records.read(place)

    def changed():
        """Outputs of the jobs whose code is not the one that ran."""
        sources = {}
        return {
            entry["path"].removeprefix("results/one/")
            for record in study.records.values()
            if provenance.code_digest(record["step"], record["parameters"], sources) != record["code"]
            for entry in records.entries(record["outputs"])
        }

    assert changed() == set()
    for code, stale in CHANGED.items():
        path = changeable / code
        content = path.read_bytes()
        path.write_bytes(changed_content(path))
        if code.startswith("resources/biographies/") or code == "resources/opinions-fixture.csv":  # inputs, not code
            wrong, _ = states(place)
        else:
            wrong = changed()
        assert set(stale) <= set(wrong), code
        if code not in study.makers[f"results/one/{POOL}/pool.jsonl"]["code"]["files"]:
            assert f"{POOL}/pool.jsonl" not in wrong, code
        path.write_bytes(content)


def test_code_that_is_gone_makes_stale_what_it_made(place, changeable):
    (changeable / "scripts/score.py").unlink()
    (changeable / "scripts/bias_inheritance/pools/quality.py").unlink()
    (changeable / "resources/opinions-fixture.csv").unlink()
    wrong, report = states(place)
    assert {f"{CELL}/scores/salary.json", "quality.csv"} <= wrong.keys() and set(wrong.values()) == {"stale"}
    assert any("resources/opinions-fixture.csv" in note for note in report["notes"]), "missing, and said so"


ONE = "studies/one.yaml"
TINY = "catalog/models/tiny-random.yaml"
# (file, leaf): another value, what is stale then, and what is not
LEAVES = {
    (ONE, "originals: 12"): (
        "originals: 14",
        ["originals/gender/seed-1/originals.jsonl", f"{POOL}/pool.jsonl", f"{CELL}/train.jsonl"]
        + [f"{CONTROL}/{name}" for name in ("pool.jsonl", "failures.jsonl", "counts.json")],
        [f"{CELL}/scores/salary.json"],
    ),
    (ONE, "epochs: 8"): (
        "epochs: 9",
        [f"{CELL}/adapter/adapter_model.safetensors", f"{CELL}/adapter/adapter_config.json", f"{CELL}/training.csv"],
        [f"{POOL}/pool.jsonl", "scores.csv"],
    ),
    (ONE, "bootstrap: 100"): (
        "bootstrap: 101",
        [f"{CELL}/scores/salary.json", "manipulation.csv", "pools.csv", "config.yaml", "misalignment/values.csv"]
        + ["inheritance.csv", "inheritance_points.csv"],
        ["scores.csv"],
    ),
    (ONE, "salary: 8"): ("salary: 9", ["originals/gender/items/salary.jsonl"], ["originals/gender/items/hiring.jsonl"]),
    (ONE, "instruction_share: 0.5"): (
        "instruction_share: 0.4",
        [f"{CELL}/train.jsonl", f"{CELL}/mix.json", f"{SECOND}/train.jsonl"],
        [f"{POOL}/pool.jsonl"],
    ),
    (ONE, "questions: 2"): (
        "questions: 3",
        ["misalignment/opinions.jsonl", "misalignment/unusable-opinions.json"],
        ["misalignment/values.csv"],
    ),
    (ONE, "count: 2"): ("count: 3", ["quality.csv", "scores.csv"], [f"{SECOND}/train.jsonl"]),
    (ONE, "seed: [1]"): (
        "seed: [1, 2]",
        ["scores.csv", "scores.parquet", "manipulation.csv", "checks.csv", "misalignment/groups.csv"],
        [f"{POOL}/pool.jsonl"],
    ),
    (TINY, "temperature: 1.0"): (
        "temperature: 1.1",
        [f"{POOL}/{name}" for name in ("pool.jsonl", "failures.jsonl", "counts.json", "card.md")]
        + [f"{CELL}/{name}" for name in ("pool.jsonl", "failures.jsonl", "counts.json", "card.md")]
        + [f"{CELL}/predictions/salary.parquet", f"{CELL}/opinions/opinions.parquet"],
        ["models/tiny-random.json"],
    ),
    ("catalog/domains/gender.yaml", "reference: male, compared: female"): (
        "reference: female, compared: male",
        [f"originals/gender/{name}" for name in ("source.jsonl", "reserve.jsonl", "test.jsonl", "counts.json")]
        + ["foresight.csv", "report.html"],
        ["models/tiny-random.json"],
    ),
    ("catalog/claims.yaml", "alpha: 0.05"): ("alpha: 0.04", ["claims.csv", "effects.csv"], ["scores.csv"]),
    (TINY, "  seed: 1"): ("  seed: 2", ["models/tiny-random.json"], ["originals/gender/source.jsonl"]),
}
# leaves that are changed at once, since none of them makes stale what another must not
TOGETHER = [
    ["epochs: 8", "salary: 8", "alpha: 0.05", "seed: 1", "instruction_share: 0.5"],
    ["originals: 12", "questions: 2"],
    ["bootstrap: 100", "reference: male, compared: female"],
    ["count: 2", "temperature: 1.0"],
    ["seed: [1]"],
]
# steps that read no leaf of the configuration: what they make is stale by its inputs
WITHOUT_LEAVES = ["relate_misalignment/", "write_crate/"]


def test_a_changed_configuration_leaf_makes_stale_what_was_made_by_it(wider, tmp_path):
    """No run in between: audit asks Snakemake for the new plan, if it is installed."""
    project = copy_project(tmp_path / "project")
    shutil.copy(wider / ONE, project / ONE)
    for name in ("results", ".work/one"):
        shutil.copytree(wider / name, project / name, ignore=shutil.ignore_patterns("finetune", "predict"))
    configuration = project / "studies" / "one.yaml"
    plan = json.loads((project / ".work/one/plan.json").read_text())
    plan["arguments"] = ["--configfile", "studies/one.yaml"]
    files.write_json(project / ".work/one/plan.json", plan)
    text = configuration.read_text()

    def ask():
        process = bias_inheritance("audit", "results/one", "--json", project=project)
        verdicts = json.loads(process.stdout)["files"]
        return {name.removeprefix("results/one/"): v["state"] for name, v in verdicts.items() if v["state"] != "ok"}

    assert ask() == {}
    for leaves in TOGETHER:
        before = {name: (project / name).read_text() for name, _ in LEAVES}
        for name, leaf in (key for key in LEAVES if key[1].strip() in leaves):
            text_now = (project / name).read_text()
            assert leaf in text_now
            (project / name).write_text(text_now.replace(leaf, LEAVES[name, leaf][0]))
        wrong = ask()
        assert set(wrong.values()) == {"stale"}
        for (_, leaf), (_, stale, unchanged) in LEAVES.items():
            if leaf.strip() in leaves:
                assert set(stale) <= set(wrong) and not set(unchanged) & set(wrong), (leaf, wrong)
        for name, content in before.items():
            (project / name).write_text(content)
    reached = {path for _, stale, _ in LEAVES.values() for path in stale}
    for kind, (path, _) in KINDS.items():
        assert path in reached or kind.startswith(tuple(WITHOUT_LEAVES)), kind
    bias = project / "catalog/biases/neutral.yaml"
    original = bias.read_text()
    bias.write_text(original.replace("title: ", "title: Very "))
    assert f"{POOL}/card.md" in ask()
    bias.write_text(original + "# a comment\n")
    assert ask() == {}, "a comment changes nothing"
    (project / ".venv").unlink(missing_ok=True)
    (tmp_path / "without" / "snakemake").mkdir(parents=True)
    (tmp_path / "without" / "snakemake" / "__init__.py").write_text("raise ImportError('not installed')")
    configuration.write_text(text + "# another comment\n")
    without = bias_inheritance("audit", "results/one", project=project, PYTHONPATH=str(tmp_path / "without"))
    assert without.returncode == 1
    assert "stale     .work/one/plan.json: studies/one.yaml changed" in without.stdout, without.stdout + without.stderr


def test_a_rebuilt_image_makes_stale_what_ran_in_it(place, wider, tmp_path, monkeypatch):
    project = copy_project(tmp_path / "project")
    shutil.copytree(wider / "containers", project / "containers")
    (project / ".work/one").mkdir(parents=True)
    plan = json.loads((wider / ".work/one/plan.json").read_text())
    assert plan["images"] == ["containers/cpu.sif"], "no model of the study asks for a GPU"
    plan["sources"] = {}
    files.write_json(project / ".work/one/plan.json", plan)
    monkeypatch.setattr(provenance, "ROOT", project)
    monkeypatch.setattr(provenance, "SCRIPTS", project / "scripts")
    assert states(place)[0] == {}
    (project / "containers/cpu.sif").write_bytes(b"built anew")
    wrong, report = states(place)
    assert set(wrong.values()) == {"stale"} and {"scores.csv", f"{POOL}/pool.jsonl"} <= set(wrong)
    assert "image" in report["files"]["results/one/scores.csv"]["why"]
    (project / "containers/cpu.sif").unlink()
    assert states(place)[0] == {}, "without an image here, nothing can be said"


def test_root_digest_is_what_sha256sum_gives(place):
    listed = "find . -type f ! -name .snakemake_timestamp -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum"
    known = subprocess.run(f"{listed} | sha256sum", shell=True, cwd=place, capture_output=True, text=True).stdout
    assert audit.audit(place)["root"] == known.split()[0]


def test_names_that_are_not_to_be_trusted_are_shown_harmless(place, wider):
    (place / "x\x1b[2J\nok.csv").write_text("1")
    told = bias_inheritance("audit", place, project=wider).stdout
    assert "\x1b" not in told and "extra     results/one/x�[2J ok.csv" in told


def test_no_results_is_a_clear_message(tmp_path, wider):
    for folder in (tmp_path / "nothing", tmp_path):
        told = bias_inheritance("audit", folder, project=wider)
        assert told.returncode == 1 and told.stderr.startswith("audit: ") and "Traceback" not in told.stderr


def test_hashing_uses_all_cores(tmp_path, monkeypatch):
    """As many files are hashed at once as there are cores: each of three waits until the others are under way."""
    together = threading.Barrier(3, timeout=300)
    sha256 = provenance.sha256

    def waiting(path):
        together.wait()
        return sha256(path)

    for number in range(6):
        (tmp_path / str(number)).write_bytes(bytes([number]) * (number + 1))
    expected = {path.name: sha256(path) for path in tmp_path.iterdir()}
    monkeypatch.setattr(provenance, "sha256", waiting)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert audit.digests({path.name: path for path in tmp_path.iterdir()}) == (expected, 21)


def test_upstream_of_a_report_is_shown(place):
    """The digest in a report covers everything upstream of the report, so that it can be part of it."""
    study = records.read(place)
    of_scores = records.upstream_digest(study, ["results/one/scores.csv"])
    assert of_scores == records.upstream_digest(study, ["results/one/scores.csv"]) and len(of_scores) == 64
    behind = study.upstream(["results/one/scores.csv"])
    assert f"results/one/{CELL}/finetune.prov.json" in behind and "results/one/manipulation.prov.json" not in behind
    path = Path(place / "originals/gender/seed-1/originals.jsonl")
    name = "results/one/originals/gender/seed-1/originals.jsonl"
    edit(
        path.parent / "draw_originals.prov.json",
        lambda r: entry(r, name).update(sha256="0" * 64),
        seal=True,
    )
    assert records.upstream_digest(records.read(place), ["results/one/scores.csv"]) != of_scores
