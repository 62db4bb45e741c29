"""The grid is known before the run: a dry run has the right number of jobs, and its cost grows no faster than they do."""

import os
import pstats
import re
import subprocess
import sys
from functools import cache

import pytest
from bias_inheritance.study import catalog, configuration, costs
from projects import copy_project

JOBS = {  # cells × (finetune, predict, score) and what comes once
    "config.yaml": {"finetune": 40, "predict": 41, "write_pool": 15, "copy_pool": 15, "check_results": 1},
    "studies/full.yaml": {
        "finetune": 785,
        "predict": 786,
        "write_pool": 55,
        "copy_pool": 35,
        "predict_opinions": 201,
        "compare_pools": 5,
    },
    "studies/dial.yaml": {"finetune": 40, "predict": 41, "write_pool": None, "copy_pool": 35},
    "studies/misalignment.yaml": {"finetune": 34, "predict_opinions": 35, "write_pool": 10, "compare_pools": 2},
    "studies/mitigations.yaml": {"finetune": 72, "predict": 73, "write_pool": 9, "copy_pool": 6},
    "studies/rounds.yaml": {"finetune": 22, "predict": 23, "write_pool": 2, "copy_pool": 6, "rewrite_pool": 12},
    "studies/paper-rounds.yaml": {"finetune": 55, "predict": 56, "write_pool": 5, "copy_pool": 15, "rewrite_pool": 30},
    "studies/paper-models.yaml": {"finetune": 174, "predict": 176, "write_pool": 66, "copy_pool": 18},
    # two students: the probes and copies of one writer
    "studies/subliminal.yaml": {"finetune": 50, "predict": 52, "write_pool": 10, "copy_pool": 10},
    "studies/smoke.yaml": {"finetune": 26, "predict": 27, "write_pool": 6, "copy_pool": 6},
}


PAPER = {
    "finetune": 2180,
    "predict": 2185,
    "write_pool": 275,
    "copy_pool": 35,
    "predict_opinions": 30,
    "compare_pools": 25,
}


@cache
def dry_run(snakemake, project, configfile, *config):
    """A dry run of a study, once for all tests."""
    command = [snakemake, "-n", "--cores", "2", "--configfile", configfile, "--nolock"]
    command += ["--config", "study=never-run", *config]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("configfile", JOBS)
def test_the_number_of_jobs(snakemake, project, configfile):
    done = dry_run(snakemake, project, configfile)
    assert counted(done, JOBS[configfile]) == JOBS[configfile]


def test_a_pool_that_needs_labels_is_planned_in_the_domains_that_have_them(snakemake, project):
    """As in the paper's grid, whose other domains are surveys: one copy per seed, of biographies."""
    axes = "grid={domain: [gender, culture-arabic], bias: [balanced, associated-100], task: [occupation-classification, hiring]}"
    done = dry_run(snakemake, project, "config.yaml", axes)
    assert counted(done, ["copy_pool", "write_pool"]) == {"copy_pool": 5, "write_pool": 10}


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


def test_a_job_that_loads_a_model_reserves_the_memory_in_the_models_file(snakemake, project):
    """Snakemake starts jobs as long as their memory is within the profile's `mem_mb`."""
    adapter = "results/never-run/cells/tiny-random/gender/original/gamma-0.00/none/seed-1/round-1/adapter"
    command = [snakemake, "-n", "--workflow-profile", "none", "--cores", "8", "--configfile", "studies/smoke.yaml"]
    command += ["--nolock", "--config", "study=never-run", "--", adapter]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (declared,) = re.findall(r"^rule finetune:.*?\bmem_mb=(\d+)", done.stdout + done.stderr, re.DOTALL | re.MULTILINE)
    assert int(declared) == catalog.load("model", "tiny-random")["resources"]["mem_mb"]


def counted(done, rules):
    """The number of jobs that a dry run's table gives each of `rules`."""
    job_counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    return {name: int(job_counts[name]) if name in job_counts else None for name in rules}


@pytest.mark.long
def test_the_cost_of_a_plan_grows_no_faster_than_its_jobs(snakemake, project, tmp_path):
    """Function calls of two plans, which depend on no machine: 2,700 jobs against 120."""
    calls, jobs = [], []
    for study in ("smoke", "full"):
        command = [sys.executable, "-m", "cProfile", "-o", tmp_path / study, snakemake, "-n", "--nolock"]
        command += ["--configfile", f"studies/{study}.yaml", "--config", "study=never-run"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        jobs.append(counted(done, ["total"])["total"])
        calls.append(pstats.Stats(str(tmp_path / study)).total_calls)
    assert jobs[1] > 20 * jobs[0]
    assert calls[1] < jobs[1] / jobs[0] * calls[0]


@pytest.mark.parametrize(
    "configfile",
    [
        "config.yaml",
        "studies/full.yaml",
        "studies/rounds.yaml",
        "studies/paper-rounds.yaml",
        "studies/paper-models.yaml",
    ],
)
def test_the_counted_costs_are_those_of_the_dag(snakemake, project, configfile):
    done = dry_run(snakemake, project, configfile)
    config, _ = configuration.read([configfile], ["study=never-run"])
    rows = costs.computing(config)
    (study,) = [row for row in rows if row["part"] == "study"]
    jobs = counted(done, ["finetune", "predict"])
    assert study["trainings"] == jobs["finetune"] == jobs["predict"] - len(config["grid"]["model"])
    for part in ("mitigation", "gamma", "seed"):
        assert sum(row["trainings"] for row in rows if row["part"] == part) == study["trainings"]


@pytest.mark.parametrize(("arm", "samples"), [("replace", 2 + 2 + 2), ("accumulate", 2 + 3 + 4)])
def test_the_counted_tokens_follow_the_arm_of_the_rounds(snakemake, project, arm, samples):
    given = ["study=never-run", f"rounds={{arm: {arm}}}"]
    config, _ = configuration.read(["studies/paper-rounds.yaml"], given)
    rows = {(row["part"], row["name"]): row for row in costs.computing(config)}
    original, neutral = rows["pool", "original"], rows["pool", "neutral"]
    assert neutral["tokens"] == pytest.approx(original["tokens"] * samples)
    done = dry_run(snakemake, project, "studies/paper-rounds.yaml", given[1])
    assert counted(done, ["finetune"]) == {"finetune": rows["study", config["study"]]["trainings"]}


def test_cells_that_no_claim_reads_are_left_out_of_the_dag(snakemake, project):
    """No claim uses `shifted` and the hiring task here; of the mitigated cells, only those of C9 at γ 0.50 are used."""
    given = "grid={bias: [contrastive-explicit, neutral, associated-000, shifted], gamma: [0, 0.2, 0.5], mitigation: [none, mask], seed: [1]}"
    leaner = ["claimed_only=true", "mitigated=null", "mitigated_gamma=[0.5]"]
    # original; per pool two γ, and the mitigated ones of the type and of neutral
    assert counted(dry_run(snakemake, project, "config.yaml", given, *leaner[:2]), ["finetune"]) == {
        "finetune": 1 + 6 + 4
    }
    assert counted(dry_run(snakemake, project, "config.yaml", given, *leaner), ["finetune"]) == {"finetune": 1 + 6 + 2}
    assert counted(dry_run(snakemake, project, "config.yaml", given, leaner[1]), ["finetune"]) == {
        "finetune": 1 + 8 + 4
    }


def test_a_wrong_configuration_stops_before_any_job_with_one_line(snakemake, project):
    command = [snakemake, "-n", "--config", "originals=many"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode != 0
    assert "--config: originals: 'many' is text, not a whole number" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory; name a file of studies/"),
        ("study: x\ngrid: {seed: [1, 2\n", ", line 3: not valid YAML (did not find expected ',' or ']')"),
        ("study: x\nstudy: y\n", ", line 2: not valid YAML (duplicate key 'study', first in line 1)"),
    ],
)
def test_a_missing_or_broken_configuration_file_is_one_line(snakemake, project, tmp_path, content, says):
    overlay = tmp_path / "mine.yaml"
    if content:
        overlay.write_text(content)
    done = subprocess.run([snakemake, "-n", "--configfile", overlay], cwd=project, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    assert lines[0].startswith(os.path.relpath(overlay, project)) and says in lines[0]


@pytest.mark.parametrize("word", ["grid.seed=1", "originals", "grid={seed: [1"])
def test_a_value_that_snakemake_cannot_read_is_one_line(snakemake, project, word):
    done = subprocess.run([snakemake, "-n", "--config", word], cwd=project, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    assert lines[0].startswith(f"--config: {word}: ")


def test_an_overlay_without_a_study_does_not_replace_the_default_studys_results(snakemake, project, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("originals: 48\n")
    command = [snakemake, "-n", "--configfile", overlay]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "mine.yaml: lacks 'study', so its results would replace those of config.yaml in results/demo" in done.stderr
    done = subprocess.run([*command, "--config", "study=mine"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nested_values_of_the_command_line_keep_their_type(snakemake, project):
    done = dry_run(
        snakemake, project, "studies/smoke.yaml", "grid={seed: [1, 2, 3]}", "finetune={learning_rate: 2.0e-4}"
    )
    assert counted(done, ["finetune"]) == {"finetune": 39}


def test_a_method_of_ones_own_gets_the_whole_domain_and_known_ones_what_they_read(snakemake, tmp_path):
    project = copy_project(tmp_path / "project")
    for place, arguments in (("text", "sample"), ("weights", "rows")):
        module = project / "scripts" / "bias_inheritance" / "pools" / "mitigations" / f"my_{place}.py"
        module.write_text(
            f'"""A method."""\n\n\ndef {place}({arguments}, settings, setting):\n    return {arguments}\n'
        )
        mine = f"title: Mine\ndoes: changes it\n{place}: [{{method: my_{place}}}]\n"
        (project / "catalog" / "mitigations" / f"my-{place}.yaml").write_text(mine)
    names = ["none", "token", "mask", "mask-neutral", "reweight", "swap", "my-text", "my-weights"]
    command = [snakemake, "-n", "-p", "--workflow-profile", "none", "--cores", "1", "--nolock"]
    command += ["--configfile", "studies/one.yaml", "--config", "mitigated=[neutral]"]
    command += [f"grid={{mitigation: [{', '.join(names)}]}}"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reads = {
        re.search(r'"mitigation":"([\w-]+)"', line)[1]: all(f'"{key}":' in line for key in ("stereotypes", "swap"))
        for line in done.stdout.splitlines()
        if "scripts/finetune.py" in line
    }
    assert reads == {name: name in ("mask-neutral", "swap", "my-text", "my-weights") for name in names}


@pytest.mark.parametrize("folder", ["with a space", 'it\'s {a} "test" & more'])
def test_a_step_runs_in_a_checkout_of_any_name(folder, tmp_path):
    project = copy_project(tmp_path / folder)
    if not (project / ".venv").exists():
        (project / ".venv").symlink_to(sys.prefix)
    command = [project / ".venv/bin/python", "-m", "snakemake", "--cores", "1", "results/demo/config.yaml"]
    done = subprocess.run(
        command, cwd=project, capture_output=True, text=True, env={**os.environ, "BIAS_INHERITANCE_WARM": "0"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "results/demo/config.yaml").is_file()


def test_the_plan_imports_nothing_heavy(project):
    code = (
        "import sys; sys.path.insert(0, 'scripts'); "
        "from bias_inheritance.plumbing import files, progress, provenance, warm; from bias_inheritance.study import catalog, grid; "
        "from bias_inheritance.data import labelled; "
        "print([name for name in ('torch', 'pandas', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
