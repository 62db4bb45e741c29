"""The command line `bias-inheritance COMMAND …`: each command is a module of this package, imported on demand."""

import argparse
import os
import sys
from importlib import import_module

# command: (module with main(words), what the command does)
COMMANDS = {
    "audit": ("audit", "verify every file of a study's results against its record, code and configuration"),
    "trace": ("trace", "show where a file, or a row of scores.csv or claims.csv, comes from"),
    "doctor": ("doctor", "check what this machine lacks for a study, and print the command that fixes it"),
    "costs": ("costs", "count trainings, tokens and GPU-hours of a study, by claim, pool, mitigation, γ and seed"),
    "add-domain": ("add_domain", "set up a study of a file of labelled texts with groups"),
    "add-pool": ("add_pool", "add a file of synthetic samples to a study"),
    "power": ("power", "estimate how many seeds and items each claim needs"),
    "export": ("export", "write a tuned cell as a plain folder that lm-evaluation-harness and TRL load"),
    "fetch": ("fetch_model", "download models of the catalog, for machines without a network"),
    "datasets": ("describe_datasets", "write the table of the corpora, docs/datasets.md"),
}


def main():
    try:
        run(sys.argv[1:])
    except BrokenPipeError:  # the reader of a pipe, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run(words):
    if words and words[0] in COMMANDS:
        module, _ = COMMANDS[words[0]]
        status = import_module(f"bias_inheritance.tools.{module}").main(words[1:])
        sys.stdout.flush()
        sys.exit(status)
    parser = argparse.ArgumentParser(
        prog="bias-inheritance", epilog="Options of a command: bias-inheritance COMMAND --help"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    parser.parse_args(words)


if __name__ == "__main__":
    main()
