"""A study inside Apptainer: the host's packages are out of reach, and the image's digest is in every record."""

import os
import subprocess
import sysconfig

import pytest
import yaml
from integration.running import IMAGE, finish, image_digest, project, records, results, start

pytestmark = pytest.mark.containers
NAME = "integration-apptainer"


@pytest.fixture(scope="module")
def finished():
    finish(start(NAME, "--sdm", "apptainer"), NAME)


def test_every_record_holds_the_digest_of_the_image(finished):
    assert {record["environment"]["container_sha256"] for record in records(NAME).values()} == {image_digest()}


def test_results_are_those_of_the_host(finished):
    finish(start("integration-host"), "integration-host")
    assert results(NAME) == results("integration-host")


def test_a_second_run_does_nothing_and_a_rebuilt_image_reruns_everything(finished, tmp_path):
    finish(start(NAME, "--sdm", "apptainer"), NAME)
    assert "Nothing to be done" in (project() / "logs" / NAME / "snakemake.log").read_text()
    rebuilt = tmp_path / f"cpu.{'0' * 64}.sif"
    rebuilt.symlink_to(IMAGE.resolve())
    (tmp_path / "cpu.sif").symlink_to(rebuilt.name)
    other = f"containers={{cpu: {tmp_path}/cpu.sif, gpu: {tmp_path}/cpu.sif}}"
    printed = finish(start(NAME, "--sdm", "apptainer", "--dry-run", "--quiet", "progress", config=[other]), NAME)
    assert "Software environment definition has changed" in printed
    planned = printed.count("\nrule ") + printed.count("\nlocalrule ") - printed.count("\nlocalrule all:")
    assert planned >= len(records(NAME))


@pytest.mark.parametrize("package", ["pytest", "ruff"])
def test_package_missing_in_the_image_is_missing_inside(package):
    """The test has the package, and hands its folder on by the variable that Python looks at."""
    site = sysconfig.get_path("purelib")
    assert os.path.isdir(os.path.join(site, package))
    options = yaml.safe_load((project() / "profiles" / "default" / "config.yaml").read_text())["apptainer-args"].split()
    inside = subprocess.run(
        [
            "apptainer",
            "exec",
            "--home",
            project(),
            "--bind",
            site,
            *options,
            IMAGE,
            "python3",
            "-c",
            f"import {package}",
        ],
        env={**os.environ, "PYTHONPATH": site},
        capture_output=True,
        text=True,
    )
    assert inside.returncode == 1
    assert f"No module named '{package}'" in inside.stderr


def test_variables_of_the_host_stay_outside_but_for_those_that_are_named():
    options = yaml.safe_load((project() / "profiles" / "default" / "config.yaml").read_text())["apptainer-args"].split()
    inside = subprocess.run(
        ["apptainer", "exec", "--home", project(), *options, IMAGE, "env"],
        env={**os.environ, "SECRET_OF_THE_HOST": "1", "APPTAINERENV_HANDED_IN": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "HANDED_IN=1" in inside
    assert not [line for line in inside if line.startswith("SECRET_OF_THE_HOST")]


def test_a_missing_image_is_named_before_anything_runs(tmp_path):
    other = f"containers={{cpu: {tmp_path}/none.sif, gpu: {tmp_path}/none.sif}}"
    process = start("integration-no-image", "--sdm", "apptainer", "--dry-run", config=[other])
    assert process.wait(timeout=600) != 0
    printed = (project() / "logs" / "integration-no-image" / "snakemake.log").read_text()
    assert f"{tmp_path}/none.sif: is not an image built by `make containers`" in printed
    assert "Traceback" not in printed
