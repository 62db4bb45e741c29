"""A study's configuration: config.yaml, then the overlays of --configfile, then the values of --config."""

import argparse
import re
import sys
from functools import reduce

import yaml

from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog, checks

DEFAULT = "config.yaml"


def read(overlays=(), assignments=()):
    """(configuration, sources) of a study: overlays are paths of YAML files, assignments KEY=VALUE with YAML values.

    sources: [(file name, its content)], later ones take precedence. Raises UserError in one line with file and line for a
    file that is missing or not YAML, and for overlays without `study`, whose results would replace those of the default
    study.
    """
    sources = checks.sources([DEFAULT, *map(str, overlays)])
    values = _assigned(assignments)
    if overlays and "study" not in values and not any("study" in content for _, content in sources[1:]):
        default = sources[0][1].get("study")
        raise UserError(
            f"{sources[-1][0]}: lacks 'study', so its results would replace those of {DEFAULT} in results/{default}; "
            "add a line `study: NAME`, or give --config study=NAME"
        )
    return reduce(catalog.merged, [*(content for _, content in sources), values]), sources


def _assigned(assignments):
    """{key: value} of the arguments of --config. Raises UserError unless each is KEY=VALUE with a YAML value."""
    values = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not (separator and re.fullmatch(r"[a-zA-Z_][\w-]*\w", key)):
            raise UserError(
                f"--config: {assignment}: not KEY=VALUE with a key of {DEFAULT}; a key within another is written as "
                "'grid={seed: [1]}'"
            )
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(
                f"--config: {assignment}: the value is not valid YAML; quote the argument, and close its brackets"
            ) from None
    return values


def add_options(parser):
    """Add Snakemake's two options that select a study to a parser."""
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--config", "-C", nargs="*", default=[], metavar="KEY=VALUE")


def stop_if_unreadable(words):
    """Exit with a one-line error if Snakemake's options name an unreadable configuration file or value.

    The default profile calls this, since Snakemake reads both, and fails on them, before it reads the Snakefile.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    options, _ = parser.parse_known_args(words)
    try:
        checks.sources([DEFAULT, *options.configfile])
        _assigned(options.config)
    except UserError as fault:
        sys.exit(str(fault))
