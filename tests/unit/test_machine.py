"""What a container is given of the machine."""

from bias_inheritance.plumbing import machine


def test_a_container_sees_certificates_and_caches_of_the_host_and_no_other_variable(monkeypatch, tmp_path):
    certificates = tmp_path / "own.pem"
    certificates.write_text("x")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "not made yet"))
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("APPTAINER_BIND", "/data:/data:ro")
    names = ["SSL_CERT_FILE", "HF_HOME", "HF_ENDPOINT", "REQUESTS_CA_BUNDLE"]
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    assert machine.container_environment(names) == {
        "APPTAINERENV_SSL_CERT_FILE": str(certificates),
        "APPTAINERENV_HF_HOME": str(tmp_path / "not made yet"),
        "APPTAINERENV_HF_ENDPOINT": "https://mirror.example",
        "APPTAINER_BIND": f"/data:/data:ro,{certificates}",
    }


def test_without_a_path_nothing_is_bound(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert machine.container_environment(["HF_ENDPOINT"]) == {"APPTAINERENV_HF_ENDPOINT": "https://mirror.example"}
