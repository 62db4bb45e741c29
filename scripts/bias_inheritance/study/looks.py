"""The current look of a study: the first declared one without a closed file, as long as claims are open."""

from pathlib import Path

from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import grid


def path(results, look):
    """The file in a study's results that closes a look (scripts/close_look.py)."""
    return f"{results}/looks/{look}.json"


def narrowed(config, results):
    """The configuration of a study's current look: grid.seed up to it, and in `looks` also look, its number, and decided,
    [claim, contrast, look] of what earlier looks decided.

    After a closed look comes the next one if a contrast that uses a cell or a pool of the study is still open. A
    configuration without looks is returned unchanged. Raises UserError if looks were declared, changed or removed after a
    run.
    """
    design = config["looks"]
    if not design:
        if Path(path(results, 1)).exists():
            raise UserError(
                f"looks: null, but {path(results, 1)} closed a look of this study; restore the looks that it names, or give the "
                "study another name"
            )
        return config
    now = first(config)
    if Path(results, "claims.csv").exists() and not Path(path(results, 1)).exists():
        _refuse_unplanned(results)
    while (file := Path(path(results, now["looks"]["look"]))).exists() and now["looks"]["look"] < len(design["seeds"]):
        closed = files.read_json(file)
        planned = {key: closed.get(key) for key in design}
        if planned != design:
            raise UserError(
                f"looks: {file} was planned as {planned}; looks are declared before a run, so restore them, or give the "
                "study another name"
            )
        if closed.get("planned") != planned_digest(config, now["looks"]["look"]):
            raise UserError(
                f"looks: the claims or the seeds of the study have changed since {file} closed a look; restore catalog/ and "
                "grid, or give the study another name"
            )
        if not open_contrasts(config, closed["decided"]):
            break
        now = _at(config, now["looks"]["look"] + 1, closed["decided"])
    return now


def first(config):
    """The configuration of a study's first look, with `looks` as `narrowed` leaves it; the study's own without looks."""
    return _at(config, 1, []) if config["looks"] else config


def planned_digest(config, look):
    """The digest of what may not change after a look: the claims as they apply to the study, and its seeds so far in order."""
    declared = {key: value for key, value in grid.declared(config).items() if key != "looks"}
    return provenance.digest([declared, config["grid"]["seed"][: config["looks"]["seeds"][look - 1]]])


def _at(config, look, decided):
    seeds = config["grid"]["seed"][: config["looks"]["seeds"][look - 1]]
    looks = {**config["looks"], "look": look, "decided": decided}
    return {**config, "grid": {**config["grid"], "seed": seeds}, "looks": looks}


def open_contrasts(config, decided):
    """[(claim, contrast)] that a study can test and has not decided."""
    known = {(claim, name) for claim, name, _ in decided}
    readings = grid.contrast_readings(config).items()
    return [key for key, reading in readings if (reading["answers"] or reading["pools"]) and key not in known]


def _refuse_unplanned(results):
    """Raise UserError if claims were tested before looks were declared."""
    with open(Path(results, "claims.csv"), encoding="utf-8") as file:
        if "boundary" not in file.readline():
            raise UserError(
                f"looks: {results}/claims.csv was tested without looks, which are declared before a run; give the study "
                "another name, or remove looks"
            )


def lines(config, results):
    """One line on the current look and the number of open contrasts; [] without looks."""
    design = config["looks"]
    if not design:
        return []
    file = Path(path(results, design["look"]))
    decided = files.read_json(file)["decided"] if file.exists() else design["decided"]
    remaining, last = len(open_contrasts(config, decided)), design["look"] == len(design["seeds"])
    then = "; run the same command again for the next look" if file.exists() and remaining and not last else ""
    return [
        f"look {design['look']} of {len(design['seeds'])}: {len(config['grid']['seed'])} of {design['seeds'][-1]} seeds, "
        f"{remaining} contrasts of claims open{then}"
    ]
