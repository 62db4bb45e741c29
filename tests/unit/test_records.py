"""Records and audit on a folder of two files made by hand: records of a wrong form, links, container images."""

import hashlib
import json

import pytest
from bias_inheritance import audit, files, provenance, records, step

IMAGES = {"containers/cpu.sif": b"one image", "containers/gpu.sif": b"another"}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A project in which `mix` read a.jsonl, made by `draw_originals`, and wrote b.jsonl, both in the image for CPUs."""
    (tmp_path / "scripts").mkdir()
    for name in ("draw_originals", "mix"):
        (tmp_path / "scripts" / f"{name}.py").write_text("pass\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path / "scripts")
    monkeypatch.chdir(tmp_path)
    for made, script, read in (("a", "draw_originals", []), ("b", "mix", ["results/one/a.jsonl"])):
        path = f"results/one/{made}.jsonl"
        files.write_text(path, f"{made}\n")
        record = {
            "step": script,
            "study": "one",
            "record": f"results/one/{made}.prov.json",
            "wildcards": {},
            "parameters": {"count": 2},
            "inputs": {"read": [entry for name in read for entry in provenance.describe(name)]},
            "outputs": {"wrote": provenance.describe(path)},
            "code": provenance.code_digest(script),
            "git": None,
            "environment": {"container_sha256": hashlib.sha256(IMAGES["containers/cpu.sif"]).hexdigest()},
            "machine": {"host": "h", "cpu": "c", "cores": 2, "gpu": None},
            "started": "2026-01-01T00:00:00",
            "ended": "2026-01-01T00:00:01",
            "seconds": 1.0,
        }
        files.write_json(record["record"], provenance.sealed(record))
    return tmp_path / "results" / "one"


def states(folder):
    found = audit.audit(folder)["files"]
    return {name.removeprefix("results/one/"): v["state"] for name, v in found.items() if v["state"] != "ok"}


def test_the_folder_is_sound(study):
    assert states(study) == {}


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
        ("code", {"files": ["scripts/mix.py"], "digest": "0"}),
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


def test_a_record_as_a_step_writes_it_is_of_that_form(study, monkeypatch):
    monkeypatch.setattr(step, "_extra", {})
    arguments = type("Arguments", (), {"work": study.parent, "record": "", "wildcards": {}, "parameters": {}})
    written = step._record("mix", arguments, {}, {}, provenance.code_digest("mix"), 0.0)
    for key, form in FORMS.items():
        assert isinstance(written[key], form), key


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_extra_and_in_the_root_digest(study, target):
    """Whether it leads to a folder or to nothing; what lies behind it is none of the study's."""
    (study.parent / "elsewhere").mkdir()
    (study.parent / "elsewhere" / "c.jsonl").write_text("c")
    before = audit.audit(study)["root"]
    (study / "linked").symlink_to(study.parent / target)
    assert states(study) == {"linked": "extra"}
    assert audit.audit(study)["root"] != before


@pytest.mark.parametrize("planned", [["cpu"], ["cpu", "gpu"]])
@pytest.mark.parametrize("here", [[], ["cpu"], ["gpu"], ["cpu", "gpu"]])
@pytest.mark.parametrize("rebuilt", [False, True])
def test_an_image_is_called_rebuilt_only_where_all_planned_ones_are_here(study, planned, here, rebuilt):
    root = provenance.ROOT
    plan = {"parameters": {}, "sources": {}, "arguments": []}
    for name in ("a", "b"):
        plan["parameters"][f"results/one/{name}.prov.json"] = {"count": provenance.digest(2)}
    plan["images"] = [f"containers/{role}.sif" for role in planned]
    files.write_json(root / ".work/one/plan.json", plan)
    (root / "containers").mkdir()
    for role in here:
        (root / f"containers/{role}.sif").write_bytes(b"anew" if rebuilt else IMAGES[f"containers/{role}.sif"])
    judged = set(planned) <= set(here)
    assert states(study) == (dict.fromkeys(["a.jsonl", "b.jsonl"], "stale") if rebuilt and judged else {})
    told = [note for note in audit.audit(study)["notes"] if "image" in note]
    assert (not told) == judged
