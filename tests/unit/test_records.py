"""Records, audit and trace on a folder of two files made by hand: records of a wrong form, links, images, lost files."""

import hashlib
import json

import pytest
from bias_inheritance.plumbing import audit, files, provenance, records
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.tools import trace

IMAGES = {"containers/cpu.sif": b"one image", "containers/gpu.sif": b"another"}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A project in which `copy_pool` read a.jsonl, made by `draw_originals`, and wrote b.jsonl, both in the image for CPUs."""
    (tmp_path / "scripts").mkdir()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path / "scripts")
    monkeypatch.chdir(tmp_path)
    job("draw_originals", "a.jsonl", '{"id": "a"}\n')
    job("copy_pool", "b.jsonl", '{"id": "b"}\n', ["a.jsonl"])
    return tmp_path / "results" / "one"


def job(script, made, content, read=()):
    """Write a file of the study, the script that made it and its record."""
    (provenance.SCRIPTS / f"{script}.py").write_text("pass\n")
    path = f"results/one/{made}"
    files.write_text(path, content)
    image = hashlib.sha256(IMAGES["containers/cpu.sif"]).hexdigest()
    record = {
        "step": script,
        "study": "one",
        "record": f"{path.rpartition('.')[0]}.prov.json",
        "wildcards": {},
        "parameters": {"count": 2},
        "inputs": {"read": [entry for name in read for entry in provenance.describe(f"results/one/{name}")]},
        "outputs": {"card" if script.startswith("prepare_") else "wrote": provenance.describe(path)},
        "code": provenance.code_digest(script),
        "git": None,
        "environment": {"python": "3", "packages": {}, "lock_sha256": None, "container_sha256": image},
        "machine": {"host": "h", "cpu": "c", "cores": 2, "gpu": None},
        "started": "2026-01-01T00:00:00",
        "ended": "2026-01-01T00:00:01",
        "seconds": 1.0,
    }
    files.write_json(record["record"], provenance.sealed(record))


def states(folder):
    file_states = audit.audit(folder)["files"]
    return {name.removeprefix("results/one/"): v["state"] for name, v in file_states.items() if v["state"] != "ok"}


def test_the_folder_is_sound(study):
    assert states(study) == {}


@pytest.mark.parametrize(("place", "told"), [("..", "results/one"), ("../..", "results/one"), ("sub", "results/one")])
def test_a_folder_above_or_in_the_results_is_refused_with_the_one_to_give(study, place, told):
    (study / "sub").mkdir()
    job("copy_pool", "sub/c.jsonl", '{"id": "c"}\n')
    with pytest.raises(UserError, match=rf"holds records of {told}, not a whole study; give the folder {told}$"):
        audit.audit(study / place)


WRONG = [3, None, "text", ["a"], [], {"a": 1}, True]
FORMS = {
    **dict.fromkeys(["step", "study", "record", "started", "ended"], str),
    **dict.fromkeys(["wildcards", "parameters", "inputs", "outputs", "code", "environment", "machine"], dict),
    "seconds": (int, float),
}


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("key", FORMS)
def test_a_record_with_a_field_of_another_type_is_broken(study, key, sealed):
    path = study / "a.prov.json"
    whole = json.loads(path.read_text())
    for value in WRONG:
        if not isinstance(value, FORMS[key]):
            edited = {**whole, key: value}
            files.write_json(path, provenance.sealed({**edited, "seal": None}) if sealed else edited)
            assert states(study)["a.prov.json"] == "broken", value


@pytest.mark.parametrize(
    "key, value",
    [
        ("inputs", {"read": None}),
        ("inputs", {"read": [3]}),
        ("outputs", {"wrote": {"path": "results/one/a.jsonl"}}),
        ("outputs", {"wrote": [{"path": ["results/one/a.jsonl"], "sha256": "0", "bytes": 1}]}),
        ("outputs", {"wrote": [{"path": "results/one/a.jsonl", "sha256": None, "bytes": 1}]}),
        ("code", {"files": ["scripts/copy_pool.py"], "digest": "0"}),
        ("code", {"files": {}}),
        ("environment", {}),
        ("environment", {"container_sha256": ["0"]}),
        ("git", 3),
        ("record", "elsewhere/a.prov.json"),
    ],
)
def test_a_record_with_a_part_of_another_form_is_broken(study, key, value):
    path = study / "a.prov.json"
    files.write_json(path, {**json.loads(path.read_text()), key: value})
    assert states(study)["a.prov.json"] == "broken"
    records.study_of(study / "b.jsonl")


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_extra_and_in_the_root_digest(study, target):
    """Whether it leads to a folder or to nothing; its target is not part of the study."""
    (study.parent / "elsewhere").mkdir()
    (study.parent / "elsewhere" / "c.jsonl").write_text("c")
    before = audit.audit(study)["root"]
    (study / "linked").symlink_to(study.parent / target)
    assert states(study) == {"linked": "extra"}
    assert audit.audit(study)["root"] != before


@pytest.mark.parametrize("planned", [["cpu"], ["cpu", "gpu"]])
@pytest.mark.parametrize("images_present", [[], ["cpu"], ["gpu"], ["cpu", "gpu"]])
@pytest.mark.parametrize("rebuilt", [False, True])
def test_an_image_is_called_rebuilt_only_where_all_planned_ones_are_here(study, planned, images_present, rebuilt):
    root = provenance.ROOT
    plan = {"parameters": {}, "sources": {}, "arguments": []}
    for name in ("a", "b"):
        plan["parameters"][f"results/one/{name}.prov.json"] = {"count": provenance.digest(2)}
    plan["images"] = [f"containers/{role}.sif" for role in planned]
    files.write_json(root / ".work/one/plan.json", plan)
    (root / "containers").mkdir()
    for role in images_present:
        (root / f"containers/{role}.sif").write_bytes(b"anew" if rebuilt else IMAGES[f"containers/{role}.sif"])
    judged = set(planned) <= set(images_present)
    assert states(study) == (dict.fromkeys(["a.jsonl", "b.jsonl"], "stale") if rebuilt and judged else {})
    told = [note for note in audit.audit(study)["notes"] if "image" in note]
    assert (not told) == judged


def traced(capsys, path, **options):
    trace.show(trace.trace(path, **options))
    return capsys.readouterr().out


CARD = {"model": "a-model", "form": "source", "revision": "r1", "files": {"weights.safetensors": "5" * 64}}


def test_what_is_stale_by_the_configuration_names_what_it_was_last_planned_with(study):
    plan = {"parameters": {"results/one/a.prov.json": {"count": provenance.digest(3)}, "results/one/b.prov.json": None}}
    plan |= {"sources": {}, "images": [], "arguments": ["--config", "count=3"]}
    files.write_json(provenance.ROOT / ".work/one/plan.json", plan)
    why = {name: verdict["why"] for name, verdict in audit.audit(study)["files"].items()}
    planned = "the configuration, as last planned with --config count=3,"
    assert why["results/one/a.jsonl"] == f"{planned} gives other parameters: count"
    assert why["results/one/b.jsonl"] == f"{planned} can no longer make it"


@pytest.mark.parametrize("script", ["prepare_model", "prepare_embedder"])
def test_a_lineage_names_the_files_of_every_model_behind_it(study, capsys, script):
    job(script, "card.json", json.dumps(CARD))
    job("measure", "c.csv", "x\n", ["card.json", "b.jsonl"])
    told = traced(capsys, study / "c.csv")
    assert "model a-model, source, revision r1" in told and f"{'5' * 64}  weights.safetensors" in told
    (study / "card.json").unlink()
    told = traced(capsys, study / "c.csv")
    assert "card.json is missing" in told and "weights.safetensors" not in told


def test_a_lost_file_is_said_to_be_lost_and_has_no_samples(study, capsys):
    whole = traced(capsys, study / "b.jsonl", samples=1)
    assert "id: a" in whole and "id: b" in whole and "missing" not in whole
    (study / "a.jsonl").unlink()
    told = traced(capsys, study / "b.jsonl", samples=1)
    assert "id: a" not in told and "id: b" in told
    assert [line for line in told.splitlines() if "missing" in line and "a.jsonl" in line]


def test_a_row_of_a_lost_table_is_a_clear_message(study):
    job("gather_scores", "scores.csv", "model\n")
    (study / "scores.csv").unlink()
    with pytest.raises(UserError, match=r"scores.csv: missing, but"):
        trace.trace(study / "scores.csv", 1)
    job("analyse", "claims.csv", "claim,contrast\nC1,x\n")
    record = json.loads((study / "claims.prov.json").read_text())
    lost = [{"path": "results/one/scores.csv", "sha256": "0" * 64, "bytes": 1}]
    record |= {"inputs": {"scores": lost, "misalignment": [], "manipulation": lost}, "parameters": {"declared": {}}}
    files.write_json(study / "claims.prov.json", record)
    with pytest.raises(UserError, match=r"scores.csv: missing, but"):
        trace.trace(study / "claims.csv", 1)
