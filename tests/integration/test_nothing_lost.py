"""A study that is killed, starved of disk, locked out or damaged loses nothing and computes nothing wrong."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bias_inheritance.plumbing import progress, warm
from command_line import bias_inheritance
from projects import copy_project, run, start

WITH_A_CLOCK = ("training.csv", "report.html", ".prov.json", "ro-crate-metadata.json")


def tables(project, study="one"):
    """{relative path: bytes} of every result without a clock in it."""
    folder = project / "results" / study
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(WITH_A_CLOCK) and path.name != ".snakemake_timestamp"
    }


def records_of(journal):
    """The records of a journal: in a pool's, every finished attempt of a batch."""
    return [json.loads(line) for line in journal.read_text().splitlines()]


def journals_of(project, study="one"):
    """The records of every generated pool of a study, pools in a fixed order; no attempt of a batch was made twice."""
    journals = [records_of(path) for path in (project / ".work" / study / "write_pool").glob("*/journal.jsonl")]
    for rows in journals:
        assert len({(row["batch"], row["attempt"]) for row in rows}) == len(rows)
    return sorted(journals, key=str)


def journal_of(project):
    """The records of the one-cell study's only pool."""
    (records,) = journals_of(project)
    return records


def assert_same(project, finished, study="one"):
    """The results are those of the undisturbed run, byte for byte; each record was made once; audit passes."""
    results, undisturbed = tables(project, study), tables(finished, study)
    assert results.keys() == undisturbed.keys()
    assert [name for name in results if results[name] != undisturbed[name]] == []
    # in folders named by a key that includes the environment, and the undisturbed run may have run in an image
    assert journals_of(project, study) == journals_of(finished, study) != []
    for journal in (project / ".work" / study / "predict").glob("*/*.jsonl"):
        portions = [row["portion"] for row in records_of(journal)]
        assert len(set(portions)) == len(portions), f"{journal}: a portion was asked twice"
    audit = bias_inheritance("audit", f"results/{study}", project=project)
    assert audit.returncode == 0, audit.stdout


def size_of(project, pattern):
    """Total bytes of all matching files, 0 without any; files may disappear meanwhile."""
    total = 0
    for path in project.glob(pattern):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


# What a moment waits for: growth of these files since the start of the run.
MOMENTS = {
    "generation": ".work/one/write_pool/*/journal.jsonl",
    "training": ".work/one/finetune/*/checkpoint.pt",
    "prediction": ".work/one/predict/*/*.jsonl",
    "results": "results/one/cells/**/adapter_config.json",
    "predictions": "results/one/cells/**/*.parquet",
    "scores": "results/one/cells/**/scores/*.json",
    "pool": "results/one/pools/**/pool.jsonl",
    "records": "results/one/**/*.prov.json",
    "originals": "results/one/originals/**/*.jsonl",
}


def killed(project, moment, delay=0.0, by=signal.SIGKILL):
    """Start the study and signal its process group `delay` seconds after an event; True if that ended it too early."""
    before = size_of(project, MOMENTS[moment])
    started = start(project)
    while started.poll() is None and size_of(project, MOMENTS[moment]) <= before:
        time.sleep(0.005)
    time.sleep(delay)
    if started.poll() is None:
        os.killpg(started.pid, by)
    return started.wait(timeout=60) == (-by if by == signal.SIGKILL else 1)


def failing(project, *words):
    """Run Snakemake, which must fail, and return its output."""
    (project / "run.log").write_bytes(b"")
    assert start(project, *words).wait() != 0
    return (project / "run.log").read_text(errors="replace")


def damage(path, at=0.5):
    """Overwrite one byte of a file with one that is invalid in text."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] = 0xFF
    path.write_bytes(content)


def test_kills_and_damaged_journal_and_checkpoint(finished, tmp_path):
    """Killed while it generates, trains and predicts; a journal line and a checkpoint are damaged on the way.

    The last signal is the SIGTERM of `timeout` and of batch systems, which also reaches Snakemake and every step.
    """
    project = copy_project(tmp_path / "project")

    assert killed(project, "generation")
    (journal,) = (project / ".work/one/write_pool").glob("*/journal.jsonl")
    damage(journal, at=0.1)
    told = failing(project)
    assert f"{journal.relative_to(project)}, line 1: " in told and "remove the line" in told
    assert "Traceback" not in told
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[1:]))

    assert killed(project, "training")
    checkpoint = max((project / ".work/one/finetune").glob("*/checkpoint.pt"), key=lambda path: path.stat().st_mtime)
    damage(checkpoint)
    (project / "run.log").write_bytes(b"")
    assert killed(project, "prediction", 0.05, by=signal.SIGTERM)
    told = (project / "run.log").read_text()
    assert f"predict {progress.STOPPED}" in told and "failed" not in told and "Traceback" not in told, told
    run(project)
    assert checkpoint.with_suffix(".broken").exists()
    rows = journal_of(project)
    # the line that was mended away was made anew, behind the others
    assert sorted(rows, key=lambda r: (r["batch"], r["attempt"])) == journal_of(finished)
    journal.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in journal_of(finished)))
    assert_same(project, finished)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_twenty_kills(finished, tmp_path, seed):
    """Four kills at random moments for each of five seeds, in chronological order; finished work is never repeated."""
    project = copy_project(tmp_path / "project")
    chance = random.Random(seed)
    early = ["originals", "records", "generation", "pool"]
    late = ["training", "results", "prediction", "predictions", "scores"]
    for moment in [
        *sorted(chance.sample(early, 2), key=early.index),
        *sorted(chance.sample(late, 2), key=late.index),
    ]:
        assert killed(project, moment, chance.choice([0.0, 0.0, chance.uniform(0, 1.0)])), moment
    run(project)
    assert_same(project, finished)


@pytest.mark.long
def test_twenty_kills_of_the_smoke_study(tmp_path):
    """The whole smoke study, its process group killed 20 times, each time at a random moment within one of its jobs."""
    undisturbed, project = copy_project(tmp_path / "undisturbed"), copy_project(tmp_path / "project")
    smoke, words = "studies/smoke.yaml", ("--cores", "2")
    run(undisturbed, *words, configfile=smoke)
    jobs = len(list((undisturbed / "results" / "smoke").rglob("*.prov.json")))
    chance = random.Random(1)
    for done in sorted(chance.sample(range(jobs - 2), 20)):
        process = start(project, *words, configfile=smoke)
        while process.poll() is None and len(list((project / "results" / "smoke").rglob("*.prov.json"))) < done:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 3))
        assert process.poll() is None, f"it ended before job {done} of {jobs}"
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    run(project, *words, configfile=smoke)
    assert_same(project, undisturbed, "smoke")


@pytest.fixture
def cold(monkeypatch):
    """No worker with PyTorch is started, for runs whose steps load no model."""
    monkeypatch.setenv(warm.VARIABLE, warm.OFF)


def test_two_runs_at_once(tmp_path, cold):
    """The second run reports the first, which continues undisturbed."""
    project = copy_project(tmp_path / "project")
    target = "results/one/originals/gender/items/salary.jsonl"
    (project / ".work/one").mkdir(parents=True)
    hold = (
        f"import sys, time; sys.path.insert(0, {str(project / 'scripts')!r}); from bias_inheritance.plumbing import files; "
        "held = files.hold('.work/one/lock'); print('held', flush=True); time.sleep(600)"
    )
    first = subprocess.Popen([sys.executable, "-c", hold], cwd=project, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "held\n"
    told = failing(project, target)
    assert f"process {first.pid} on " in told and "is using .work/one" in told
    assert "Traceback" not in told and not (project / target).exists()
    first.kill()
    first.wait()
    run(project, target)
    assert (project / target).exists()


def mount(*words):
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount a small tmpfs: {done.stderr.strip()}")


def test_full_disk_and_read_only_results(finished, tmp_path, cold):
    """On a results folder of 100 KB, then on one that may not be written, then on a sound one."""
    project = copy_project(tmp_path / "project")
    target = "results/one/originals/gender/items/salary.jsonl"
    results = project / "results"
    results.mkdir()
    mount("-t", "tmpfs", "-o", "size=100k", "none", str(results))
    try:
        told = failing(project, target)
        assert "prepare_originals: the disk is full (results/one/originals/gender" in told
        assert "Traceback" not in told
        assert not list(results.rglob("*.tmp")) and not list(results.rglob("*.prov.json")), "half a result"
        mount("-o", "remount,size=10m,ro", str(results))
        told = failing(project, target)
        assert "Read-only file system" in told or "no permission to read or write" in told
        assert "results" in told and "Traceback" not in told
        mount("-o", "remount,size=10m,rw", str(results))
        run(project, target)
        ready = {
            name: content for name, content in tables(finished).items() if name.startswith("originals/gender/test")
        }
        assert ready.items() <= tables(project).items()
    finally:
        subprocess.run(["umount", "--lazy", str(results)], check=True)


@pytest.mark.parametrize("name", [".work", ".snakemake"])
def test_a_folder_that_planning_cannot_write(tmp_path, name):
    """Read-only, then full: one line without a stack trace."""
    project = copy_project(tmp_path / "project")
    folder = project / name
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=4k,ro", "none", str(folder))
    try:
        told = failing(project, "-n")
        assert f"{folder}: no permission to write" in told and "  File " not in told, told
        if name == ".work":
            mount("-o", "remount,size=4k,rw", str(folder))
            told = failing(project, "-n")
            assert ".work/one: cannot be written (No space left on device)" in told and "  File " not in told, told
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_every_writer_is_understood_when_the_disk_is_full(tmp_path):
    """Adapters and tables: each library reports a full disk in its own way; error_number understands all of them."""
    import errno

    import pandas as pd
    import tokenizers
    import torch
    from bias_inheritance.plumbing import files, step
    from safetensors.torch import save_file

    mount("-t", "tmpfs", "-o", "size=40k", "none", str(tmp_path))
    weights = [torch.nn.Parameter(torch.randn(100, 1000))]
    words = {f"word-{number:08}": number for number in range(10_000)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="word-00000000"))
    frame = pd.DataFrame({"text": [os.urandom(500).hex() for _ in range(200)]})

    def parquet(path):
        with files.replacing(path) as temporary:
            frame.to_parquet(temporary, index=False)

    def pytorch(path):
        with open(path, "wb") as file:
            torch.save(weights, file)

    def journal(path):
        files.Journal(path).append([{"text": "x" * 100_000}])

    writers = [
        lambda path: save_file({"a": weights[0].detach()}, path),
        lambda path: files.write_csv(path, frame),
        parquet,
        pytorch,
        lambda path: tokenizer.save(str(path)),
        lambda path: files.write_text(path, "x" * 100_000),
        lambda path: shutil.copyfile("/dev/zero", path),
        journal,
    ]
    try:
        for number, write in enumerate(writers):
            path = tmp_path / f"{number}.out"
            with pytest.raises(Exception) as raised:
                write(path)
            assert step.error_number(raised.value) == errno.ENOSPC, (number, repr(raised.value))
            for left in tmp_path.iterdir():
                assert left == path or not left.name.endswith(".tmp"), left
                left.unlink()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_below_the_journal_and_the_checkpoint(finished, tmp_path):
    """`.work` runs out of space during a study: a one-line message, and the same command resumes once there is space."""
    project = copy_project(tmp_path / "project")
    work = project / ".work"
    work.mkdir()
    # a checkpoint has 140 kB, and twice that while a slow training replaces its first one
    mount("-t", "tmpfs", "-o", "size=400k", "none", str(work))
    target = "results/one/cells/tiny-random/gender/original/gamma-0.00/none/seed-1/round-1/adapter"
    try:
        filler = Path(work / "filler")
        filler.write_bytes(b"x" * 280_000)
        told = failing(project, target)
        assert "the disk is full" in told and "Traceback" not in told, told[-3000:]
        filler.unlink()
        run(project, target)
        name = "adapter_model.safetensors"
        assert (project / target / name).read_bytes() == (finished / target / name).read_bytes()
    finally:
        subprocess.run(["umount", "--lazy", str(work)], check=True)
