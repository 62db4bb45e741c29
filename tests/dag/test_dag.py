"""The grid is known before the run: a dry run has the right number of jobs, and its cost grows no faster than they do."""

import re
import resource
import subprocess
import sys

import pytest

JOBS = {  # cells × (mix, finetune, predict, score) and what comes once
    "config.yaml": {"finetune": 40, "predict": 41, "write_pool": 15, "copy_pool": 15, "check_results": 1},
    "studies/full.yaml": {
        "finetune": 785,
        "predict": 786,
        "write_pool": 55,
        "copy_pool": 35,
        "predict_opinions": 201,
        "compare_pool": 90,
    },
    "studies/dial.yaml": {"finetune": 40, "predict": 41, "write_pool": None, "copy_pool": 35},
    "studies/misalignment.yaml": {"finetune": 34, "predict_opinions": 35, "write_pool": 10, "compare_pool": 14},
    "studies/smoke.yaml": {"finetune": 26, "predict": 27, "write_pool": 6, "copy_pool": 6},
}


PAPER = {
    "finetune": 3325,
    "predict": 3330,
    "write_pool": 275,
    "copy_pool": 25,
    "predict_opinions": 855,
    "compare_pool": 300,
}


def dry_run(snakemake, project, configfile, *config):
    command = [snakemake, "-n", "--cores", "2", "--configfile", configfile, "--nolock"]
    command += ["--config", "study=never-run", *config]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("configfile", JOBS)
def test_the_number_of_jobs(snakemake, project, configfile):
    done = dry_run(snakemake, project, configfile)
    assert counted(done, JOBS[configfile]) == JOBS[configfile]


@pytest.mark.long
def test_the_number_of_jobs_of_the_papers_grid(snakemake, project):
    done = dry_run(snakemake, project, "studies/paper.yaml", "data_dir=resources/fixtures")
    assert counted(done, PAPER) == PAPER


@pytest.mark.parametrize("profile", ["none", "profiles/default"])
def test_a_dry_run_lists_jobs_where_the_profile_does_not_keep_them_quiet(snakemake, project, profile):
    """A job on a cluster's node reads the Snakefile without a profile too."""
    command = [snakemake, "-n", "--workflow-profile", profile, "--cores", "1", "--configfile", "studies/smoke.yaml"]
    command += ["--nolock", "--config", "study=never-run"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("rule prepare_model:" in done.stdout + done.stderr) == (profile == "none")


def counted(done, rules):
    """The number of jobs that a dry run's table gives each of `rules`."""
    found = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    return {name: int(found[name]) if name in found else None for name in rules}


@pytest.mark.long
def test_the_cost_of_a_plan_grows_no_faster_than_its_jobs(snakemake, project):
    """CPU time of two plans beside each other, which does not depend on the machine: 3600 jobs against 150."""
    seconds, jobs = [], []
    for study in ("smoke", "full"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        jobs.append(counted(dry_run(snakemake, project, f"studies/{study}.yaml"), ["total"])["total"])
        seconds.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    assert jobs[1] > 20 * jobs[0]
    assert seconds[1] < 8 * seconds[0]


def test_a_wrong_configuration_stops_before_any_job_with_one_line(snakemake, project):
    command = [snakemake, "-n", "--config", "originals=many"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode != 0
    assert "--config: originals: 'many' is text, not a whole number" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plan_imports_nothing_heavy(project):
    code = (
        "import sys; sys.path.insert(0, 'scripts'); "
        "from bias_inheritance.plumbing import files, progress, provenance, warm; from bias_inheritance.study import catalog, grid; "
        "from bias_inheritance.data import labelled; "
        "print([name for name in ('torch', 'pandas', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
