"""The grid is known before the run: dry runs in seconds, with the right number of jobs."""

import re
import subprocess
import time

import pytest

JOBS = {  # cells × (mix, finetune, predict, score) and what comes once
    "config.yaml": {"finetune": 21, "predict": 22, "write_pool": 6, "copy_pool": 3, "check_results": 1},
    "studies/full.yaml": {
        "finetune": 965,
        "predict": 966,
        "write_pool": 35,
        "copy_pool": 25,
        "predict_opinions": 246,
        "compare_pool": 60,
    },
    "studies/dial.yaml": {"finetune": 15, "predict": 16, "write_pool": 3, "copy_pool": 9},
    "studies/misalignment.yaml": {"finetune": 42, "predict_opinions": 43, "write_pool": 6, "compare_pool": 10},
    "studies/smoke.yaml": {"finetune": 26, "predict": 27, "write_pool": 4, "copy_pool": 2},
}


PAPER = {
    "finetune": 3625,
    "predict": 3630,
    "write_pool": 175,
    "copy_pool": 50,
    "predict_opinions": 930,
    "compare_pool": 225,
}


def dry_run(snakemake, root, tmp_path, configfile, *config):
    command = [snakemake, "-n", "--cores", "2", "--configfile", configfile, "--nolock"]
    command += ["--config", "study=never-run", *config]
    started = time.time()
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done, time.time() - started


@pytest.mark.parametrize("configfile", JOBS)
def test_the_number_of_jobs(snakemake, root, tmp_path, configfile):
    done, _ = dry_run(snakemake, root, tmp_path, configfile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert counted(done, JOBS[configfile]) == JOBS[configfile]


@pytest.mark.long
def test_the_number_of_jobs_of_the_papers_grid(snakemake, root, tmp_path):
    done, _ = dry_run(snakemake, root, tmp_path, "studies/paper.yaml", "data_dir=resources/fixtures")
    assert done.returncode == 0, done.stdout + done.stderr
    assert counted(done, PAPER) == PAPER


@pytest.mark.parametrize("profile", ["none", "profiles/default"])
def test_a_dry_run_lists_jobs_where_the_profile_does_not_keep_them_quiet(snakemake, root, profile):
    """A job on a cluster's node reads the Snakefile without a profile too."""
    command = [snakemake, "-n", "--workflow-profile", profile, "--cores", "1", "--configfile", "studies/smoke.yaml"]
    command += ["--nolock", "--config", "study=never-run"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("rule prepare_model:" in done.stdout + done.stderr) == (profile == "none")


def counted(done, rules):
    """The number of jobs that a dry run's table gives each of `rules`."""
    found = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    return {name: int(found[name]) if name in found else None for name in rules}


@pytest.mark.long
def test_the_full_grid_is_planned_within_ten_seconds(snakemake, root, tmp_path):
    done, seconds = dry_run(snakemake, root, tmp_path, "studies/full.yaml")
    assert done.returncode == 0
    assert seconds < 10


def test_a_wrong_configuration_stops_before_any_job_with_one_line(snakemake, root):
    command = [snakemake, "-n", "--config", "originals=many"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode != 0
    assert "--config: originals: 'many' is text, not a whole number" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plan_imports_nothing_heavy(root):
    code = (
        "import sys; sys.path.insert(0, 'scripts'); "
        "from bias_inheritance import catalog, files, progress, provenance, study, warm; "
        "from bias_inheritance.families import gender; "
        "print([name for name in ('torch', 'pandas', 'transformers', 'numpy') if name in sys.modules])"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
