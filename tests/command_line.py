"""The command line `bias-inheritance` as a user calls it, with the code of any checkout."""

import os
import subprocess
import sys

from bias_inheritance.plumbing.provenance import ROOT

COMMAND = [sys.executable, "-m", "bias_inheritance.tools"]  # what `.venv/bin/bias-inheritance` starts


def environment(project=ROOT, **variables):
    """Environment variables for COMMAND, with the library of `project`; `variables` are added to this process's own."""
    places = [f"{project}/scripts", *filter(None, [variables.get("PYTHONPATH")])]
    return {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(places)}


def bias_inheritance(*words, project=ROOT, **variables):
    """The finished process of `bias-inheritance WORDS`, started in the folder of `project`."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=project,
        env=environment(project, **variables),
        capture_output=True,
        text=True,
    )
