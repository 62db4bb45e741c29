"""A chain of rounds that ended: a pool had too few valid samples for the exact γ (study, section 7).

The DAG is fixed before the run, so the cells behind such a pool are still there. Their files hold the reason in place of
a mix, an adapter, predictions or scores, and nothing that could be read as a value.
"""

from bias_inheritance.plumbing import files

NAME = "collapsed.json"


def mark(folder, why):
    """Leave the reason as the only content of a folder that would hold an adapter, predictions or scores."""
    files.write_json(folder / NAME, {"collapsed": why})


def reason(folder):
    """Why the chain of this adapter or prediction folder ended, one sentence, or None for one that holds results."""
    path = folder / NAME
    return files.read_json(path)["collapsed"] if path.exists() else None
