"""Shared by all rings: where tests may write, the catalog's gender domain, and the random two-layer model."""

import os
import shutil
import tempfile

import pytest
from bias_inheritance.data import labelled
from bias_inheritance.models import base
from bias_inheritance.models.chat import Chat
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.study import catalog
from projects import copy_project, link_models, written_to_checkout

if "PYTEST_XDIST_WORKER" in os.environ:  # set before torch is imported: workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(tempfile.gettempdir(), "hypothesis"))
BEFORE = pytest.StashKey()


def pytest_sessionstart(session):
    session.config.stash[BEFORE] = written_to_checkout()


def pytest_sessionfinish(session):
    """Fail a session whose tests wrote into the checkout."""
    written = sorted(written_to_checkout() - session.config.stash[BEFORE])
    if written and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nwritten into the checkout: {', '.join(written)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def domain():
    return catalog.load("domain", "gender")


@pytest.fixture(scope="session")
def splits(domain):
    return labelled.load(domain)[0]


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory):
    """A separate store of models for the tests, with links to the models of the checkout's store."""
    folder = tmp_path_factory.mktemp("store") / "models"
    link_models(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "STORE", folder)
        yield folder


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the project for dry runs; no test changes its code."""
    return copy_project(tmp_path_factory.mktemp("copy") / "project")


@pytest.fixture(scope="session")
def card_path(store, tmp_path_factory):
    """Card of the tiny random model, prepared in the tests' store."""
    from prepare_model import prepare_model

    name = "tiny-random"
    spec = catalog.load("model", name)
    borrowed = spec["source"]["tokenizer_of"]
    path = tmp_path_factory.mktemp("model") / f"{name}.json"
    prepare_model(
        path,
        name,
        {"source": spec["source"], "form": spec["form"], "system": spec["system"]},
        {"source": catalog.load("model", borrowed)["source"]},
    )
    return path


@pytest.fixture
def tiny(card_path):
    """(model, tokenizer, chat) of the tiny random model, fresh for each test."""
    model, tokenizer = base.load_base(files.read_json(card_path))
    return model, tokenizer, Chat(tokenizer, "")


@pytest.fixture
def plain(card_path):
    """The tiny random model by the plain path: transformers' own attention and layers."""
    card = files.read_json(card_path)
    return base.load_folder(base.STORE / card["model"] / card["form"], card["compute"])


@pytest.fixture(scope="session")
def snakemake():
    """Path of this environment's snakemake."""
    import sys
    from pathlib import Path

    program = Path(sys.executable).parent / "snakemake"
    return str(program if program.exists() else shutil.which("snakemake"))


@pytest.fixture(scope="session")
def root():
    return provenance.ROOT
