"""The command line: --help of every command is quick, since it imports nothing heavy; wrong commands are refused."""

import json
import os
import subprocess
import sys
import tomllib

import pytest
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.tools.__main__ import COMMANDS
from command_line import COMMAND, bias_inheritance, environment

HEAVY = ["torch", "transformers", "datasets", "pandas", "numpy", "scipy", "snakemake"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_imports_nothing_heavy(command):
    code = (
        "import json, sys\n"
        "from bias_inheritance.tools.__main__ import main\n"
        f"sys.argv = ['bias-inheritance', {command!r}, '--help']\n"
        "try:\n    main()\nfinally:\n"
        f"    print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: bias-inheritance {command} "), done.stderr
    assert json.loads(done.stderr) == []


def test_help_lists_every_command():
    done = bias_inheritance("--help")
    assert done.returncode == 0 and {
        line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ") and line[4] != " "
    } == {*COMMANDS}


def test_a_reader_that_has_enough_is_no_error():
    words = ["power", "--run-sd", "0.02", "--item-sd", "0.6", "--items", "100"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, *words], env=environment(), stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 1 and done.stderr == ""


@pytest.mark.parametrize("words", [[], ["audti"]])
def test_no_or_an_unknown_command_is_refused(words):
    done = bias_inheritance(*words)
    assert done.returncode == 2 and done.stderr.startswith("usage: bias-inheritance") and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["power", ROOT / "README.md"], "README.md: not readable as CSV"),
        (["power", "absent.csv"], "absent.csv: No such file or directory; give a pilot's scores.csv"),
        (["add-pool", "bought", "bought.jsonl", "--domain", "gendre"], "argument --domain: invalid choice: 'gendre'"),
        (["costs", "--config", "originals"], "--config: originals: not KEY=VALUE"),
        (["costs", "--config", "grid.seed=1"], "--config: grid.seed=1: not KEY=VALUE with a key of config.yaml"),
    ],
)
def test_a_wrong_word_of_a_command_is_one_line(words, says):
    done = bias_inheritance(*words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("usage:", " "))]
    assert done.returncode and len(lines) == 1 and says in lines[0], done.stderr


def test_the_installed_command_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["bias-inheritance"].partition(":")
    assert (module, function) == ("bias_inheritance.tools.__main__", "main")
