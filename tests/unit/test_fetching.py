"""A model's files are those that its catalog file asks for, or a clear error."""

import pytest
from bias_inheritance import fetching, files, models
from bias_inheritance.errors import UserError


@pytest.fixture
def brought(monkeypatch):
    """Revisions that were brought, by a hub that writes the revision as the only weight."""
    revisions = []

    def bring(source, folder):
        if source["revision"] == "none":
            raise UserError("not to be found")
        revisions.append(source["revision"])
        files.write_text(folder / "weights", source["revision"])

    monkeypatch.setattr(models, "fetch_from_hub", bring)
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
    with pytest.raises(UserError, match=f"{folder}/weights: not the file that was fetched; delete {folder} and run"):
        fetching.fetch(source, folder, "model")
