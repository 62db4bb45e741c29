"""Fetch models of the catalog, as published, on a machine with a network; cluster nodes often have none.

    bias-inheritance fetch llama-3.1-8b-instruct

Files already present are verified and kept; versions that the catalog no longer names are replaced. For a gated model,
accept its licence on its page and set HF_TOKEN.
"""

import argparse
import sys

from bias_inheritance.models import base, fetching
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog


def main(words):
    models = {name: catalog.load("model", name) for name in catalog.names("model")}
    models = {name: spec for name, spec in models.items() if "api" not in spec["source"]}
    models[catalog.embedder()["name"]] = catalog.embedder()
    parser = argparse.ArgumentParser(
        prog="bias-inheritance fetch",
        description=__doc__.split("\n")[0],
        epilog="models: " + ", ".join(models),
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", choices=models)
    for name in parser.parse_args(words).models:
        source = models[name]["source"]
        lender = models.get(source.get("tokenizer_of"))
        try:
            folder = fetching.fetch(source, base.STORE / name / "source", name, lender)
        except UserError as fault:
            sys.exit(f"{name}: {fault}")
        print(f"{name}: {folder.relative_to(base.STORE.parent)}")
