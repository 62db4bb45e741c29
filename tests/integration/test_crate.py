"""The finished study's crate passes the public validator, which finds its context documents in a cache and no network."""

import io
import json
import shutil
import socket
from pathlib import Path

import pytest
import requests
from bias_inheritance.plumbing import files, provenance
from write_crate import write_crate

CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": "ro-crate-1.1-context.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": "workflow-run-context.jsonld",
}
PROFILE = "provenance-run-crate"


@pytest.fixture(scope="module")
def cache(root, tmp_path_factory):
    """The validator's HTTP cache, filled with the documents in tests/data/ro-crate under the addresses that it
    requests.
    """
    from requests_cache import CachedSession
    from urllib3 import HTTPResponse

    path = tmp_path_factory.mktemp("validator") / "http"
    session = CachedSession(cache_name=str(path), backend="sqlite", expire_after=-1)
    for url, name in CONTEXTS.items():
        content = (root / "tests" / "data" / "ro-crate" / name).read_bytes()
        response = requests.Response()
        response.status_code, response.url, response._content = 200, url, content
        response.headers["Content-Type"] = "application/ld+json"
        response.request = requests.Request("GET", url).prepare()
        response.raw = HTTPResponse(
            io.BytesIO(content), dict(response.headers), 200, preload_content=False, request_url=url
        )
        session.cache.save_response(response)
    session.close()
    return path


@pytest.fixture
def faults(cache, monkeypatch):
    """The validator's findings for a folder, using only its cache instead of the network."""
    from rocrate_validator import models, services

    def refused(*_):
        raise AssertionError("the validator asked the network")

    def ask(folder):
        monkeypatch.setattr(socket.socket, "connect", refused)
        settings = services.ValidationSettings(
            rocrate_uri=str(folder),
            profile_identifier=PROFILE,
            requirement_severity=models.Severity.REQUIRED,
            offline=True,
            cache_path=cache,
        )
        validation = services.validate(settings)
        told = [
            f"{issue.check.identifier}: {issue.message} ({issue.violatingEntity})" for issue in validation.get_issues()
        ]
        assert validation.passed() == (not told)
        return told

    return ask


def test_the_crate_passes_the_public_validator(finished, faults):
    assert faults(finished / "results" / "one") == []


def test_data_in_paths_with_spaces_and_brackets_leave_the_crate_valid(finished, faults, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("results", "one")
    shutil.copytree(finished / folder, folder)
    record = folder / "originals" / "gender" / "prepare_originals.prov.json"
    content = json.loads(record.read_text())
    content["inputs"]["data"][0]["path"] = "my data [1]/Ärzte #1.csv"
    del content["seal"]
    files.write_json(record, provenance.sealed(content))
    write_crate([folder / "report.html"], folder / "ro-crate-metadata.json", folder / "workflow", "one", [])
    assert faults(folder) == []
    things = {entry["@id"]: entry for entry in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]}
    data = things["#outside/my%20data%20%5B1%5D/%C3%84rzte%20%231.csv"]
    assert data["name"] == "my data [1]/Ärzte #1.csv (not part of the crate)"


@pytest.mark.parametrize("what", ["no engine", "a file that is not there"])
def test_the_validator_tells_a_crate_that_is_none(finished, faults, tmp_path, what):
    """That it passes is worth something: the same crate with a part taken away does not."""
    folder = tmp_path / "one"
    shutil.copytree(finished / "results" / "one", folder)
    path = folder / "ro-crate-metadata.json"
    crate = json.loads(path.read_text())
    things = {entry["@id"]: entry for entry in crate["@graph"]}
    if what == "no engine":
        del things["#engine"]["instrument"]
    else:
        (folder / "scores.csv").unlink()
    files.write_json(path, crate)
    assert faults(folder) != []


def test_the_crate_names_every_file_with_its_digest(finished):
    """The crate contains every file that audit checks, and for each job its record, code, inputs and results."""
    from bias_inheritance.plumbing import records

    folder = finished / "results" / "one"
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())
    things = {entry["@id"]: entry for entry in crate["@graph"]}
    assert len(things) == len(crate["@graph"])
    names = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != provenance.MARKER and not path.name.startswith("ro-crate-metadata")
    }
    assert {name for name in names if name not in things} == set()
    for name in names:
        assert things[name]["sha256"] == provenance.sha256(folder / name), name
    jobs = [entry for entry in crate["@graph"] if entry["@id"].startswith("#job-")]
    of_jobs = {job["subjectOf"]["@id"] for job in jobs}
    assert of_jobs == {name for name in names if name.endswith(provenance.SUFFIX)}
    for job in jobs:
        record = json.loads((folder / job["subjectOf"]["@id"]).read_text())
        results = job["result"] if isinstance(job["result"], list) else [job["result"]]
        assert {things[result["@id"]]["sha256"] for result in results} == {
            entry["sha256"] for entry in records.entries(record["outputs"])
        }
        assert job["instrument"]["@id"] == f"workflow/scripts/{record['step']}.py"
        assert things[job["instrument"]["@id"]]["@type"] == ["File", "SoftwareSourceCode"]
