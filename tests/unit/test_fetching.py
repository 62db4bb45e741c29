"""A model's files match its catalog file, or the error is clear."""

import time
from concurrent.futures import ThreadPoolExecutor

import prepare_model as step
import pytest
from bias_inheritance.models import base, examine, fetching
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError


@pytest.fixture
def brought(monkeypatch):
    """Revisions that were brought, by a hub that writes the revision as the only weight."""
    revisions = []

    def bring(source, folder):
        if source["revision"] == "none":
            raise UserError("not to be found")
        revisions.append(source["revision"])
        files.write_text(folder / "weights", source["revision"])

    monkeypatch.setattr(fetching, "fetch_from_hub", bring)
    return revisions


def test_files_are_brought_once_and_again_for_another_revision(brought, tmp_path):
    folder = tmp_path / "model" / "source"
    for revision in ("a", "a", "b", "b"):
        fetching.fetch({"hub": "some/one", "revision": revision}, folder, "model")
        assert (folder / "weights").read_text() == revision
    assert brought == ["a", "b"]
    with pytest.raises(UserError):
        fetching.fetch({"hub": "some/one", "revision": "none"}, folder, "model")
    assert (folder / "weights").read_text() == "b"  # what failed to come leaves what is there


def test_files_of_unknown_origin_are_brought_anew(brought, tmp_path):
    files.write_text(tmp_path / "source" / "weights", "?")
    fetching.fetch({"hub": "some/one", "revision": "a"}, tmp_path / "source", "model")
    assert (tmp_path / "source" / "weights").read_text() == "a"


def test_a_changed_file_is_named_with_what_to_delete(brought, tmp_path):
    source, folder = {"hub": "some/one", "revision": "a"}, tmp_path / "source"
    fetching.fetch(source, folder, "model")
    (folder / "weights").write_text("b")
    with pytest.raises(UserError, match=f"{folder}/weights: changed since it was downloaded; delete {folder} and run"):
        fetching.fetch(source, folder, "model")


def test_two_studies_prepare_a_model_one_after_the_other(monkeypatch, tmp_path):
    prepared = []

    def prepare(source, form, folder):
        prepared.append("begun")
        time.sleep(0.2)
        files.write_text(folder / "weights", str(prepared))
        prepared.append("ended")

    monkeypatch.setattr(base, "STORE", tmp_path / "store")
    monkeypatch.setattr(fetching, "fetch", lambda *_: tmp_path)
    monkeypatch.setattr(base, "prepare_base", prepare)
    monkeypatch.setattr(base, "load_folder", lambda folder, compute: None)
    monkeypatch.setattr(base, "load_tokenizer", lambda folder: None)
    monkeypatch.setattr(step, "Chat", lambda tokenizer, system: None)
    monkeypatch.setattr(examine, "examine", lambda *_: {})
    source = {"hub": "some/one", "revision": "a"}
    spec = {"source": source, "form": dict.fromkeys(("cpu", "cuda"), "packed"), "system": None}
    cards = [tmp_path / f"{study}.json" for study in ("one", "two")]
    with ThreadPoolExecutor() as studies:
        list(studies.map(lambda card: step.prepare_model(card, "model", spec, None), cards))
    assert prepared == ["begun", "ended"] * 2
    assert files.read_json(cards[0])["files"] != files.read_json(cards[1])["files"]


def test_a_prepared_base_takes_its_place_in_one_move(tmp_path):
    files.write_text(tmp_path / "base" / "weights", "another's")
    files.write_text(tmp_path / "new" / "weights", "new")
    written = (tmp_path / "new" / "weights").stat().st_ino
    base.put(tmp_path / "new", tmp_path / "base")
    assert (tmp_path / "base" / "weights").stat().st_ino == written  # moved, not copied file by file
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
