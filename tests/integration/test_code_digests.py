"""Reactions of Snakemake and audit to changed code: rewording reruns nothing, a changed line reruns the steps that use
it.
"""

import re
import shutil

import pytest
from command_line import bias_inheritance
from projects import run
from rewording import reword_tree


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the project with the finished study, whose code a test may change."""
    shutil.copytree(finished, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def planned(project):
    """{rule: number of jobs} that a dry run counts."""
    output = run(project, "-n", "--cores", "1")
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
