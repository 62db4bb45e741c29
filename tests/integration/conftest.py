"""Finished studies, run by Snakemake once per session on the random tiny model, for audit, trace and the crate."""

import pytest
from projects import WIDER, copy_project, run_in_image, shared


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a project with the finished one-cell study; to be read, never changed."""
    return shared(tmp_path_factory, "finished", lambda folder: run_in_image(copy_project(folder)))


@pytest.fixture(scope="session")
def wider(tmp_path_factory):
    """The same of a study that has more kinds of files."""

    def make(folder):
        copy_project(folder)
        (folder / "studies" / "one.yaml").write_text(WIDER)
        run_in_image(folder)

    return shared(tmp_path_factory, "wider", make)
