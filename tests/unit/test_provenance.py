"""Which code counts as an input of a step, and which changes of it count."""

import ast
import os
import re
import shutil

import pytest
from bias_inheritance.plumbing import provenance
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT, SCRIPTS
from rewording import reword_tree

LABELLED, SURVEY = (f"scripts/bias_inheritance/data/{name}.py" for name in ("labelled", "survey"))
TASKS = "scripts/bias_inheritance/tasks"
STEPS = sorted(path.stem for path in SCRIPTS.glob("*.py"))
CHOOSING = [step for step in STEPS if provenance.read_source(SCRIPTS / f"{step}.py").choices]
CHOICES = {"domain": {"family": "labelled"}, "task": {"kind": "salary"}}


@pytest.mark.parametrize("script", CHOOSING)
def test_a_step_of_one_family_does_not_depend_on_the_other(script):
    keys = {key for _, key in provenance.read_source(SCRIPTS / f"{script}.py").choices}
    for family, chosen, other in (("labelled", LABELLED, SURVEY), ("survey", SURVEY, LABELLED)):
        code = provenance.code_digest(script, {"domain": {"family": family}, "task": {"kind": "salary"}})["files"]
        assert (chosen in code) == ("family" in keys) and other not in code
        assert (f"{TASKS}/salary.py" in code) == ("kind" in keys) and f"{TASKS}/perplexity.py" not in code


@pytest.mark.parametrize("script", CHOOSING)
def test_every_rule_of_such_a_step_says_what_chooses(script):
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert re.search(rf'code\(\s*"{script}",\s*lambda', rules)
    assert not re.search(rf'code\(\s*"{script}",?\s*\)', rules)


def test_a_module_that_is_chosen_in_another_way_is_any_of_its_package(tmp_path):
    path = tmp_path / "step.py"
    path.write_text("import_module(f'bias_inheritance.data.{name}')")
    source = provenance.read_source(path)
    assert {LABELLED, SURVEY} <= source.uses and not source.choices


@pytest.mark.parametrize("path", sorted(map(str, SCRIPTS.rglob("__init__.py"))))
def test_a_package_itself_holds_no_code(path):
    """Digests cover the modules of a package, not its __init__.py."""
    with open(path, encoding="utf-8") as file:
        assert [type(node) for node in ast.parse(file.read()).body] == [ast.Expr]


def test_data_files_are_read_again_only_if_something_about_them_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "shards").mkdir()
    for name in ("one.csv", "shards/a.csv"):
        (tmp_path / name).write_text("before")
    read, sha256 = [], provenance.sha256
    monkeypatch.setattr(provenance, "sha256", lambda path: read.append(path.name) or sha256(path))

    def digests():
        read.clear()
        return provenance.digests(["one.csv", "shards", "lacking.csv"], tmp_path / ".work" / "digests.json")

    first = digests()
    assert first.keys() == {"one.csv", "shards/a.csv"} and read == ["one.csv", "a.csv"]
    assert digests() == first and read == []
    times = (tmp_path / "one.csv").stat()
    (tmp_path / "one.csv").write_text("after!")  # as many bytes, and by its date no newer
    os.utime(tmp_path / "one.csv", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "shards" / "b.csv").write_text("new")
    second = digests()
    assert second["one.csv"] != first["one.csv"] and second.keys() - first.keys() == {"shards/b.csv"}
    assert read == ["one.csv", "b.csv"]
    for changed, name in ((second, "one.csv"), ({"one.csv": first["one.csv"]}, "shards/a.csv")):
        with pytest.raises(UserError, match=f"{name}: changed after the run was planned; run again"):
            provenance.refuse_unplanned(changed, first)
    provenance.refuse_unplanned(first, first)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the project's code, whose digests are computed."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path / "scripts")
    return tmp_path


def digests():
    sources = {}
    return {step: provenance.code_digest(step, CHOICES, sources) for step in STEPS}


def test_rewording_the_whole_tree_changes_no_digest(tree):
    before = digests()
    text = (tree / "scripts" / "finetune.py").read_text()
    reword_tree(tree / "scripts")
    assert (tree / "scripts" / "finetune.py").read_text() != text
    assert digests() == before


def test_a_changed_line_changes_the_digests_of_the_steps_that_use_it_and_of_no_others(tree):
    before = digests()
    for path in [
        "scripts/score.py",
        "scripts/bias_inheritance/pools/mixing.py",
        "scripts/bias_inheritance/data/cues.py",
    ]:
        text = (tree / path).read_text()
        (tree / path).write_text(text + "\nx = 1\n")
        using = {step for step, code in before.items() if path in code["files"]}
        assert {step for step, code in digests().items() if code != before[step]} == using
        assert using and using != set(STEPS)
        (tree / path).write_text(text)


PROGRAM = '''
def count(rows, limit=3):
    """Docstring."""
    if len(rows) > limit:
        raise UserError(f"{len(rows)} rows are too many")
    print(f"{limit} rows", flush=True)
    progress.update(1, 2, "rows")
    print("a row", file=table)
    return {"prompt": f"Write about {rows[0]}.", "kept": len(rows)}  # comment
'''


def digest_of(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return provenance.read_source(path).digest


@pytest.mark.parametrize(
    "old, new",
    [
        ('"""Docstring."""', '"""Other words."""'),
        ('    """Docstring."""\n', ""),
        ("  # comment", ""),
        ("limit=3", "limit = 3"),
        ('f"{len(rows)} rows are too many"', '"too many rows: " + str(len(rows))'),
        ("{limit} rows", "limit of rows: {limit:,}"),
        ('2, "rows"', '2, "lines"'),
    ],
)
def test_the_digest_ignores_wording_and_layout(tmp_path, old, new):
    assert old in PROGRAM
    assert digest_of(tmp_path, PROGRAM.replace(old, new)) == digest_of(tmp_path, PROGRAM)


@pytest.mark.parametrize(
    "old, new",
    [
        ("limit=3", "limit=4"),
        ("> limit", ">= limit"),
        ("Write about", "Write on"),
        ('"kept"', '"rows"'),
        ("raise UserError", "raise KeyError"),
        ('"a row"', '"one row"'),
        ("{limit} rows", "{limit} {rows.pop()} rows"),
        ('    """Docstring."""\n', '    text = """Docstring."""\n'),
    ],
)
def test_the_digest_tells_what_can_change_a_result(tmp_path, old, new):
    assert old in PROGRAM
    assert digest_of(tmp_path, PROGRAM.replace(old, new)) != digest_of(tmp_path, PROGRAM)


def test_a_file_that_is_not_python_counts_byte_by_byte(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("name\n")
    assert provenance.read_source(path).digest == provenance.sha256(path)
