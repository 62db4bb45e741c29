"""How much of the machine jobs may use, and which variables and files containers get."""

import pytest
from bias_inheritance.plumbing import machine


def test_a_container_sees_certificates_and_caches_of_the_host_and_no_other_variable(monkeypatch, tmp_path):
    certificates = tmp_path / "own.pem"
    certificates.write_text("x")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "not made yet"))
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("APPTAINER_BIND", "/data:/data:ro")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates))
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    names = ["SSL_CERT_FILE", "HF_HOME", "HF_ENDPOINT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
    assert machine.container_environment(names) == {
        "APPTAINERENV_SSL_CERT_FILE": str(certificates),
        "APPTAINERENV_HF_HOME": str(tmp_path / "not made yet"),
        "APPTAINERENV_HF_ENDPOINT": "https://mirror.example",
        "APPTAINERENV_REQUESTS_CA_BUNDLE": str(certificates),
        "APPTAINER_BIND": f"/data:/data:ro,{certificates}",
    }


def test_without_a_path_nothing_is_bound(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert machine.container_environment(["HF_ENDPOINT"]) == {"APPTAINERENV_HF_ENDPOINT": "https://mirror.example"}


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine of 64 GB in the folder whose control groups tests write."""
    for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    monkeypatch.setattr(machine.os, "sysconf", {"SC_PHYS_PAGES": 16 * 10**6, "SC_PAGE_SIZE": 4000}.__getitem__)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "PROCESS_CGROUPS", tmp_path / "own")
    return tmp_path


@pytest.mark.parametrize(
    ("process_groups", "limits", "megabytes"),
    [
        (None, {}, 64_000),  # macOS
        ("0::/\n", {"memory.max": "8000000000"}, 8000),  # a container
        ("0::/\n", {"memory.max": "max"}, 64_000),
        # a job of SLURM, whose limit stands above the step's own group
        ("0::/slurm/job_7/step_0\n", {"slurm/job_7/memory.max": "4000000000", "slurm/memory.max": "max"}, 4000),
        ("4:memory:/slurm/job_7\n2:cpu:/\n", {"memory/slurm/job_7/memory.limit_in_bytes": "5000000000"}, 5000),
        ("4:cpu,memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 64_000),
    ],
)
def test_memory_is_what_the_control_groups_allow(bare, process_groups, limits, megabytes):
    if process_groups:
        (bare / "own").write_text(process_groups)
    for path, text in limits.items():
        (bare / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (bare / "cgroup" / path).write_text(text + "\n")
    assert machine.memory_mb() == megabytes


@pytest.mark.parametrize(
    ("granted", "megabytes"),
    [
        ({"MEM_PER_NODE": "16000"}, 16_000),
        ({"MEM_PER_CPU": "2000", "CPUS_ON_NODE": "4"}, 8000),
        ({"MEM_PER_NODE": "0"}, 64_000),  # all of the node
    ],
)
def test_memory_is_what_an_allocation_grants(bare, monkeypatch, granted, megabytes):
    for name, text in granted.items():
        monkeypatch.setenv(f"SLURM_{name}", text)
    assert machine.memory_mb() == megabytes
