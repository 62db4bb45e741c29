"""Datasets from the Hub: fetched once, with their commit recorded in the provenance."""

from pathlib import Path

from bias_inheritance.plumbing import step
from bias_inheritance.plumbing.errors import UserError


def fetched(name, revision, files, instead):
    """The local folder of the Hub dataset `name`, with the files that match the pattern `files` (None: all).

    The job's record contains the commit to which `revision`, possibly a branch, resolved. instead: an alternative for the
    user, included in the UserError if the dataset cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=files and [files]))
    except Exception as fault:
        raise UserError(
            f"dataset {name} could not be fetched at revision {revision} ({type(fault).__name__}); check the network and the revision in the catalog, or {instead}"
        ) from None
    step.note_data_set(name, revision, folder.name)  # …/snapshots/COMMIT
    return folder
