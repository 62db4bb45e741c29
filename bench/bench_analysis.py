"""Analysis and report of a simulated study of the full grid, in a separate process, for bench.py.

    PYTHONPATH=scripts:tests python bench/bench_analysis.py JOB.json RESULT.json

A job says what to `do` (simulate, analyse, report) in which folder; only the work itself is timed, as for the peers.
"""

import json
import pickle
import sys
import time
from pathlib import Path

import simulated_study
from bias_inheritance.study import grid

ALL_TABLES = ("values", "groups", "distributions")  # of misalignment/, which claims read


def study(job):
    return simulated_study.configuration("full", seed=list(range(1, job["seeds"] + 1)))


def simulate(job):
    """Write the tables of the study and the arguments of the report."""
    folder = Path(job["folder"]) / "results" / "full"
    arguments = simulated_study.write(folder, study(job), misalignment=True)
    (folder / "arguments.pickle").write_bytes(pickle.dumps(arguments))


def analyse(job):
    """The step analyse, without items of single cells, which a simulated study has none of."""
    from analyse import analyse

    config, given = study(job), arguments(job)
    cells, folder = grid.cells(config), given["scores"].parent
    analyse(
        scores=given["scores"],
        manipulation=given["manipulation"],
        predictions=[folder / "predictions-of-no-cell" for _ in cells],
        misalignment=[path for path in given["misalignment"] if path.stem in ALL_TABLES],
        inherited=given["inherited"][:1],
        earlier=[],
        effects=given["effects"],
        verdicts=given["claims"],
        declared=grid.declared(config),
        cells=cells,
    )


def report(job):
    """The step report, with all its sections."""
    from report import report

    given = arguments(job)
    report(page=given["scores"].with_name("report.html"), **given)


def arguments(job):
    return pickle.loads((Path(job["folder"]) / "results" / "full" / "arguments.pickle").read_bytes())


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    started = time.perf_counter()
    {"simulate": simulate, "analyse": analyse, "report": report}[job["do"]](job)
    result = {"seconds": time.perf_counter() - started, "cells": len(grid.cells(study(job)))}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
