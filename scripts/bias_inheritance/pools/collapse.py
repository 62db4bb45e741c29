"""Collapsed chains of rounds: a pool had too few valid samples for the exact γ.

The DAG is fixed before the run, so the cells downstream of such a pool still run. Their files hold the reason instead of
a mix, an adapter, predictions or scores, and nothing that could be mistaken for a value.
"""

from bias_inheritance.plumbing import files

NAME = "collapsed.json"


def mark(folder, why):
    """Write the reason as the only content of a folder that would otherwise hold an adapter, predictions or scores."""
    files.write_json(folder / NAME, {"collapsed": why})


def reason(folder):
    """The reason (one sentence) why the chain of an adapter or prediction folder collapsed; None if it holds results."""
    path = folder / NAME
    return files.read_json(path)["collapsed"] if path.exists() else None
