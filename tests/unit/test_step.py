"""The tree and environment of a step in its record."""

import errno
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata

import pytest
from bias_inheritance.plumbing import files, progress, provenance, records, step
from rewording import reword_tree


@pytest.fixture
def tree(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e", *words], check=True)

    git("init", "--quiet")
    (tmp_path / "scripts" / "library").mkdir(parents=True)
    (tmp_path / "scripts" / "step.py").write_text("1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "x")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def raised_while(handling, error):
    """`error` as it is raised while `handling` is handled, as PyTorch's writer does."""
    try:
        try:
            raise handling
        except Exception:
            raise error  # noqa: B904
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (OSError(errno.ENOSPC, "kein Platz"), errno.ENOSPC),
        (Exception("I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (raised_while(OSError(errno.EDQUOT, "quota"), RuntimeError("unexpected pos 704 vs 598")), errno.EDQUOT),
        (RuntimeError("the server said: Permission denied, No space left on device"), None),
        (ValueError("x"), None),
    ],
)
def test_the_number_behind_an_error_is_read_and_its_words_are_not(fault, number):
    assert step.error_number(fault) == number


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        (None, True),
        ("notes.txt", True),
        ("results/x.py", True),
        ("scripts/step.py", False),
        ("scripts/new.py", False),
        ("scripts/library/new.py", False),
        ("rules/new.smk", False),
        ("catalog/models/new.yaml", False),
    ],
)
def test_a_tree_with_a_new_module_is_not_clean(tree, path, clean):
    if path:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text("2\n")
    assert step.git_state()["clean"] is clean


def test_the_lock_file_is_the_one_that_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    versions = {"torch": "2.0+cpu"}

    def version(package):
        if package not in versions:
            raise metadata.PackageNotFoundError
        return versions[package]

    monkeypatch.setattr(metadata, "version", version)
    (tmp_path / "envs").mkdir()
    assert step.environment()["lock_sha256"] is None
    (tmp_path / "envs" / "requirements.txt").write_text("# pins\ntorch==2.0\n")
    (tmp_path / "envs" / "requirements-gpu.txt").write_text("torch===2.0\nnvidia-x==1\n")
    assert step.environment()["lock"] == "requirements.txt"
    versions["nvidia-x"] = "1"
    assert step.environment()["lock"] == "requirements-gpu.txt"
    versions["torch"] = "2.1"
    assert step.environment()["lock"] is step.environment()["lock_sha256"] is None


def test_versions_of_packages_are_read_without_importing_them(root):
    code = (
        "import json, sys; from bias_inheritance.plumbing import step; "
        "print(json.dumps([step.environment()['packages']['torch'], 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root / "scripts", capture_output=True, text=True)
    version, imported = json.loads(done.stdout)
    assert version == metadata.version("torch") and not imported


WAITING = """
from bias_inheritance.plumbing import step
def waiting():
    print("waiting", flush=True)
    time.sleep(60)
import time
step.warm.hand_over = waiting
step.run(waiting)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_line_and_no_failure(root, tmp_path, number):
    """Ctrl-C in a terminal and the SIGTERM of `timeout` reach every step; the display then says that it stopped, without a log."""
    log = tmp_path / "step.log"
    with open(log, "wb") as file:
        started = subprocess.Popen(
            [sys.executable, "-c", WAITING], cwd=root / "scripts", stdout=file, stderr=file, start_new_session=True
        )
    while "waiting" not in log.read_text():
        time.sleep(0.02)
    started.send_signal(number)
    assert started.wait() != 0
    assert log.read_text() == f"waiting\n{progress.STOPPED}\n"

    shown = io.StringIO()
    display = progress.Display(tmp_path, shown)
    display.emit(logging.makeLogRecord({"event": "job_error", "rule_name": "finetune", "log": [log], "output": []}))
    display.stop()
    assert shown.getvalue() == f"finetune {progress.STOPPED}\n"


def test_a_stop_by_the_cluster_shows_its_reason(tmp_path):
    """A job that SLURM cancels gets a SIGTERM first: the reason is the cluster's, such as its time limit."""
    log = tmp_path / "step.log"
    log.write_text(f"{progress.STOPPED}\n")
    shown = io.StringIO()
    display = progress.Display(tmp_path, shown)
    job = {"event": "job_error", "rule_name": "finetune", "log": [log], "output": [], "rule_msg": "state TIMEOUT"}
    display.emit(logging.makeLogRecord(job))
    display.stop()
    assert "finetune failed. state TIMEOUT" in shown.getvalue() and progress.STOPPED in shown.getvalue()


TOY = """
import subprocess
from bias_inheritance.plumbing import files, provenance, step


def toy(text: step.Output, work: step.Work, groups: dict):
    journal = files.Journal(work / "journal.jsonl")
    print("continued after", len(journal.rows))
    journal.append([{"finished": True}])
    files.write_text(text, "x")
    git = ["git", "-C", provenance.ROOT, "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "later"], check=True)


if __name__ == "__main__":
    step.run(toy)
"""


def copy_plumbing(tree):
    library = tree / "scripts" / "bias_inheritance"
    shutil.copytree(provenance.SCRIPTS / "bias_inheritance" / "plumbing", library / "plumbing")
    (library / "__init__.py").touch()  # without it an installed bias_inheritance would be imported instead


@pytest.fixture
def toy(tree, tmp_path):
    """Run a step that finishes one record of work a run, and commits meanwhile: (records before, its record)."""
    copy_plumbing(tree)
    (tree / "scripts" / "toy.py").write_text(TOY)

    def run(groups='{"a": 0, "b": 0}', **environment):
        paths = {"--text": tmp_path / "text", "--work": tmp_path / "work", "--record": tmp_path / "text.prov.json"}
        words = [str(word) for option in paths.items() for word in option]
        words += ["--parameters", f'{{"groups": {groups}}}']
        done = subprocess.run(
            [sys.executable, tree / "scripts" / "toy.py", *words],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1]), files.read_json(paths["--record"])

    return run


def test_a_step_resumes_after_rewording_and_not_after_a_change_of_its_code(toy, tree):
    assert [toy()[0], toy()[0]] == [0, 1]
    reword_tree(tree / "scripts")
    assert toy()[0] == 2
    script = tree / "scripts" / "toy.py"
    script.write_text(script.read_text().replace("'x'", "'y'"))
    assert [toy()[0], toy()[0]] == [0, 1]


def test_a_step_goes_on_from_what_its_own_environment_computed_and_from_no_other(toy):
    assert [toy()[0], toy()[0]] == [0, 1]
    image = {"APPTAINER_CONTAINER": "/images/cpu.0123.sif"}
    records_before, record = toy(**image)
    assert (records_before, record["environment"]["container_sha256"]) == (0, "0123")
    assert [toy(**image)[0], toy()[0]] == [1, 2]


def test_a_step_does_not_resume_from_groups_in_another_order(toy):
    assert [toy()[0], toy()[0]] == [0, 1]
    assert toy(groups='{"b": 0, "a": 0}')[0] == 0


def test_the_commit_of_a_record_is_the_one_that_the_step_began_with(toy, tree):
    def commit():
        return subprocess.run(["git", "-C", tree, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()

    before = commit()
    _, record = toy()
    assert record["git"]["commit"] == before != commit()


def test_the_record_of_a_step_has_every_field_and_is_read_back_without_fault(toy, tmp_path):
    _, record = toy(APPTAINER_CONTAINER="/images/cpu.0123.sif")
    assert records.FIELDS.keys() <= record.keys()
    assert all(isinstance(record[key], kind) for key, kind in records.FIELDS.items())
    record |= {"study": "one", "record": "results/one/text.prov.json", "seal": None}
    files.write_json(tmp_path / "text.prov.json", provenance.sealed({k: v for k, v in record.items() if k != "seal"}))
    assert records.parse(tmp_path / "text.prov.json")[1] is None


READER = """
from pathlib import Path

from bias_inheritance.plumbing import files, step


def reader(data: step.Input, text: step.Output, appended: str):
    content = data.read_text()
    data.write_text(content + appended)
    files.write_text(text, content)


if __name__ == "__main__":
    step.run(reader)
"""


@pytest.mark.parametrize(("appended", "told"), [("", False), ("more", True)])
def test_an_input_that_changes_under_a_step_is_told_and_a_touch_is_not(tree, tmp_path, appended, told):
    copy_plumbing(tree)
    (tree / "scripts" / "reader.py").write_text(READER)
    (tmp_path / "data").write_text("content")
    words = ["--data", "data", "--text", "text", "--record", "text.prov.json", "--work", "work"]
    done = subprocess.run(
        [sys.executable, tree / "scripts" / "reader.py", *words, "--parameters", json.dumps({"appended": appended})],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0, (tmp_path / "text.prov.json").exists()) == (told, not told)
    assert done.stderr == (
        "reader: data: changed while the step read it; run again once it is complete\n" if told else ""
    )
