"""Reactions of Snakemake and audit to changed code: rewording reruns nothing, a changed line reruns the steps that use
it.
"""

import os
import re
import shutil

import pytest
from command_line import bias_inheritance
from projects import run, start
from rewording import reword_tree


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the project with the finished study, whose code a test may change."""
    shutil.copytree(finished, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def planned(project, *words):
    """{rule: number of jobs} that a dry run counts."""
    output = run(project, "-n", "--cores", "1", *words)
    return {} if "Nothing to be done" in output else dict(re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE))


def test_rewording_every_docstring_comment_and_message_reruns_nothing(project):
    reword_tree(project / "scripts")
    assert planned(project) == {}
    audit = bias_inheritance("audit", "results/one", project=project)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_a_changed_line_reruns_its_step_and_what_follows_from_it(project):
    script = project / "scripts" / "score.py"
    script.write_text(script.read_text() + "\nchanged = True\n")
    jobs = planned(project)
    assert jobs["score"] == "3" and "gather_scores" in jobs  # of the base and two cells
    assert not {"prepare_model", "write_pool", "finetune", "predict"} & jobs.keys()


def test_a_result_that_snakemake_wrongly_believes_current_stops_the_run(project):
    """Results copied without .snakemake, and a setting changed: Snakemake alone sees nothing to be done."""
    shutil.rmtree(project / ".snakemake")
    assert "Nothing to be done" in run(project)
    study = project / "studies" / "one.yaml"
    study.write_text(study.read_text().replace("epochs: 8", "epochs: 9"))
    for words in [(), ("-n",)]:
        assert start(project, *words).wait() == 1
    told = (project / "run.log").read_text()
    assert "/finetune.prov.json, " in told and "Traceback" not in told
    (rules,) = set(re.findall(r"--forcerun ([\w ]+)", told))
    assert set(rules.split()) == {"finetune", "report", "write_config"}
    assert planned(project, "--forcerun", *rules.split())["finetune"] == "2"
    (project / "results/one/scores.csv").unlink()
    assert start(project).wait() == 1, "also if there are other jobs to run"
    assert not (project / "results/one/scores.csv").exists()


def test_an_input_replaced_by_an_older_file_stops_the_run(project):
    """Snakemake compares contents only of files that are newer than what was made from them."""
    world = project / "resources" / "occupations" / "occupations-stats.tsv"
    world.write_text("".join(world.read_text().splitlines(keepends=True)[:-1]))
    os.utime(world, (0, 0))
    assert start(project).wait() == 1
    told = (project / "run.log").read_text()
    assert "misalignment/groups.prov.json: made with other" in told and "--forcerun measure_groups\n" in told
    assert planned(project, "--forcerun", "measure_groups")["measure_groups"] == "1"


def test_a_run_of_something_else_does_not_present_the_report_as_current(project):
    report = f"The report: {project}/results/one/report.html"
    assert report in run(project)
    study = project / "studies" / "one.yaml"
    study.write_text(study.read_text().replace("epochs: 8", "epochs: 9"))
    for words in [("--until", "draw_originals"), ("results/one/originals/gender/items/salary.jsonl",)]:
        assert "The report" not in run(project, *words), words
