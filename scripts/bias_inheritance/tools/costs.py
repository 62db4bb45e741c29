"""Print the compute of a study: trainings, training tokens and GPU-hours, per claim, pool, mitigation, γ and seed.

    bias-inheritance costs [--configfile studies/NAME.yaml] [--config KEY=VALUE …]

Nothing is run; only the configuration and local data are read. Cells used by several claims count for each of them.
GPU-hours assume the throughput in docs/slurm.md. Of a study with looks, the figures are those of all looks, which it needs
if no claim is decided before the last one; the first look is given in addition.
"""

import argparse
import os
import sys

from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import checks, configuration, costs, looks

HEADINGS = {
    "study": "study",
    "claim": "claim (what it reads; alone: what no other claim reads)",
    "pool": "pool (with its cells)",
    "mitigation": "mitigation",
    "gamma": "γ",
    "seed": "seed",
}


def main(words):
    parser = argparse.ArgumentParser(
        prog="bias-inheritance costs",
        description=__doc__.split("\n\n")[0],
        epilog=__doc__.split("\n\n")[2],
        allow_abbrev=False,
    )
    configuration.add_options(parser)
    arguments = parser.parse_args(words)
    os.chdir(ROOT)
    try:
        config, sources = configuration.read(arguments.configfile, arguments.config)
        checks.check(config, sources)
    except UserError as fault:
        sys.exit(str(fault))
    print(table(rows_of(config)))


def rows_of(config):
    """The rows of `costs.computing`, with a second row of the study if it has looks: its first one."""
    rows = costs.computing(config)
    if not config["looks"]:
        return rows
    one = costs.computing(looks.first(config))[0]
    every = f"{config['study']}, all {len(config['looks']['seeds'])} looks"
    return [rows[0] | {"name": every}, one | {"name": f"first look, {config['looks']['seeds'][0]} seeds"}, *rows[1:]]


def table(rows):
    """The rows of `costs.computing` as a text table."""
    width, lines, part = 40, [], None
    for row in rows:
        if row["part"] != part:
            part = row["part"]
            lines += ["", f"{HEADINGS[part]}"] if lines else [HEADINGS[part]]
            lines.append(
                f"  {'':{width}}{'trainings':>11}{'tokens':>16}{'GPU-hours':>11}{'alone' if part == 'claim' else '':>9}"
            )
        alone = f"{row['alone']:>9.1f}" if row["alone"] is not None else ""
        lines.append(
            f"  {row['name']:{width}}{row['trainings']:>11,}{row['tokens']:>16,.0f}{row['hours']:>11.1f}{alone}"
        )
    return "\n".join(lines)
