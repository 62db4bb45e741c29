"""Export a tuned cell as a folder that lm-evaluation-harness and TRL load: merged weights, tokenizer, chat template.

    bias-inheritance export results/demo/cells/MODEL/DOMAIN/BIAS/gamma-0.50/MITIGATION/seed-1/round-1 FOLDER

The cell `untuned` exports the base model.
"""

import argparse
import sys
from pathlib import Path

from bias_inheritance.models import base, export
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.pools import collapse
from bias_inheritance.study import catalog


def main(words):
    parser = argparse.ArgumentParser(prog="bias-inheritance export", description=__doc__.split("\n")[0])
    parser.add_argument("cell", metavar="CELL", type=Path, help="folder of the cell in results/STUDY/cells")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder to write, not in results/")
    parser.add_argument(
        "--dtype",
        choices=export.DTYPES,
        default="float32",
        help="type of the weights; bfloat16 halves the size and rounds away small changes",
    )
    arguments = parser.parse_args(words)
    try:
        card, adapter, name = resolve_cell(arguments.cell)
        refuse_target(arguments.folder)
        system = catalog.load("model", card["model"])["system"]
        export.export(card, adapter, arguments.folder, system, name, arguments.dtype)
    except UserError as fault:
        sys.exit(str(fault))
    print("\n".join([f"written: {arguments.folder}", *export.commands(arguments.folder)]))


def resolve_cell(cell):
    """(model card, adapter folder or None for the untuned model, the cell's name) of a cell's folder.

    Raises UserError for a folder that is not a cell, and for the cell of a served model, an untrained, or a collapsed cell.
    """
    parts = cell.resolve().parts
    at = len(parts) - 1 - parts[::-1].index("cells") if "cells" in parts else None
    if at is None or len(parts) != at + 8:
        raise UserError(
            f"{cell}: not the folder of a cell; name results/STUDY/cells/MODEL/DOMAIN/BIAS/gamma-G/MITIGATION/seed-S/round-R"
        )
    model, bias, name = parts[at + 1], parts[at + 3], "/".join(parts[at - 1 :])
    path = Path(*parts[:at]) / "models" / f"{model}.json"
    if not path.is_file():
        raise UserError(f"{cell}: {path} is missing; run the study first")
    card, adapter = base.read_card(path), cell / "adapter"
    if card["form"] == "api":
        raise UserError(f"{cell}: {model} runs on a server, which has its weights; only local models can be exported")
    if bias == "untuned":
        return card, None, name
    if not adapter.is_dir():
        raise UserError(f"{cell}: has no adapter; run the study until this cell is trained")
    why = collapse.reason(adapter)
    if why:
        raise UserError(f"{cell}: the cell has collapsed and was not trained ({why})")
    return card, adapter, name


def refuse_target(folder):
    """Raise UserError for a folder that is not empty, or is inside results/, where audit would report it as extra."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists already; remove it or name another folder")
    if (ROOT / "results") in folder.resolve().parents:
        raise UserError(f"{folder}: is inside results/, where audit checks all files; choose a folder elsewhere")
