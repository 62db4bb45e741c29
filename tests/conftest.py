"""Shared by all rings: the catalog's gender domain, and the random two-layer model (built once a session)."""

import shutil

import pytest
from bias_inheritance.data import labelled
from bias_inheritance.models import base
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.study import catalog


@pytest.fixture(scope="session")
def domain():
    return catalog.load("domain", "gender")


@pytest.fixture(scope="session")
def splits(domain):
    return labelled.load(domain)[0]


@pytest.fixture(scope="session")
def card_path(tmp_path_factory):
    """Card of the tiny random model in a store of its own; the tokenizer's source is shared with the project's store."""
    from prepare_model import prepare_model

    name = "tiny-random"
    spec = catalog.load("model", name)
    borrowed = spec["source"]["tokenizer_of"]
    path = tmp_path_factory.mktemp("model") / f"{name}.json"
    prepare_model(
        path,
        name,
        {"source": spec["source"], "form": spec["form"]},
        {"source": catalog.load("model", borrowed)["source"]},
    )
    return path


@pytest.fixture
def tiny(card_path):
    """(model, tokenizer, chat) of the tiny random model, fresh for each test."""
    model, tokenizer = base.load_base(files.read_json(card_path))
    return model, tokenizer, base.Chat(tokenizer, "")


@pytest.fixture(scope="session")
def snakemake():
    """Path of the snakemake beside this interpreter."""
    import sys
    from pathlib import Path

    found = Path(sys.executable).parent / "snakemake"
    return str(found if found.exists() else shutil.which("snakemake"))


@pytest.fixture(scope="session")
def root():
    return provenance.ROOT
