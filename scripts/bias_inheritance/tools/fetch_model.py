"""Fetch models of the catalog, as published, on a machine with a network: cluster nodes often have none.

    bias-inheritance fetch llama-3.1-8b-instruct

Files already present are verified and kept; versions that the catalog no longer specifies are replaced. A gated model
needs its licence accepted and the variable HF_TOKEN.
"""

import argparse
import sys

from bias_inheritance.models import base, fetching
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog


def main(words):
    known = [name for name in catalog.names("model") if "api" not in catalog.load("model", name)["source"]]
    parser = argparse.ArgumentParser(
        prog="bias-inheritance fetch",
        description=__doc__.split("\n")[0],
        epilog="models: " + ", ".join([*known, catalog.embedder()["name"]]),
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", choices=[*known, catalog.embedder()["name"]])
    for name in parser.parse_args(words).models:
        spec = catalog.embedder() if name == catalog.embedder()["name"] else catalog.load("model", name)
        borrowed = spec["source"].get("tokenizer_of")
        try:
            folder = fetching.fetch(
                spec["source"],
                base.STORE / name / "source",
                name,
                {"source": catalog.load("model", borrowed)["source"]} if borrowed else None,
            )
        except UserError as fault:
            sys.exit(f"{name}: {fault}")
        print(f"{name}: {folder.relative_to(base.STORE.parent)}")
