"""Data sets of the hub: fetched once, and their commit on record."""

from pathlib import Path

from bias_inheritance.plumbing import step
from bias_inheritance.plumbing.errors import UserError


def fetched(name, revision, files, instead):
    """The folder with the hub's copy of the data set `name`, of the files that match the pattern `files` (None: of all).

    The job's record names the commit that `revision`, which may be a branch, stood for. instead: what the user can do
    without the hub, for the UserError where the data set cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=files and [files]))
    except Exception as fault:
        raise UserError(
            f"data set {name} could not be fetched at revision {revision} ({type(fault).__name__}); check the network and the revision in the catalog, or {instead}"
        ) from None
    step.note_data_set(name, revision, folder.name)  # …/snapshots/COMMIT
    return folder
