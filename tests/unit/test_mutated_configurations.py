"""Two hundred seeded mutations of sound configurations: each is refused with a line that names the key, or runs."""

import copy
import datetime
import random
import re
import subprocess
import sys
from functools import cache

import pytest
import yaml
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import checks, costs, grid
from projects import copy_project
from snakemake.utils import update_config

STUDIES = ["culture", "gpt-4o-mini", "paper", "rounds", "smoke"]
OTHER_TYPES = [None, True, False, 0, 3, 0.5, "", "text", "2e-4", [], [[]], [None], [1, "a"], {}, {"a": 1}, {1: 2}]
OTHER_TYPES += [datetime.date(2025, 2, 4), b"bytes", {"set"}, (1, 2), [{}], {None: None}, {"a": {"b": []}}]
NUMBERS = [
    -1,
    -0.0,
    0,
    1,
    2,
    0.5,
    0.999,
    1.5,
    1e-300,
    1e9,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e300,
    101,
    10**7,
]
TEXTS = [
    "überall",
    "データ",
    "👩‍🔬",
    "a\u202eb",
    "\x00",
    "\ud800",
    "a\nb",
    "../..",
    "/etc/passwd",
    "ﬁ",
    "\u0301",
    " ",
    "%s{}",
    "Infinity",
]
HUGE = ["x" * 10**6, 10**400, -(10**400), 10**16, 1e308, list(range(1, 200_000)), ["a" * 1000] * 1000, "é" * 100_000]
KINDS = ["type", "range", "missing", "extra", "unicode", "huge", "double"]


def paths(node, above=()):
    """The path of every value in a configuration."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from paths(value, (*above, key))


def mutated(config, chance, kind):
    """(path, configuration) with one value changed, taken away or added."""
    made = copy.deepcopy(config)
    path = chance.choice(list(paths(made)))
    if kind == "range":
        path = chance.choice([p for p in paths(made) if type(at(made, p)) in (int, float)])
    node = at(made, path[:-1])
    if kind == "missing":
        del node[path[-1]]
    elif kind == "extra" and isinstance(node, dict):
        path = (*path[:-1], chance.choice([*TEXTS, "originls", "gama", "seeds", 7, None, True, 1.5]))
        node[path[-1]] = chance.choice(OTHER_TYPES)
    elif kind == "extra":
        node.append(chance.choice([*OTHER_TYPES, *NUMBERS, *TEXTS]))
    elif kind == "double" and isinstance(node, list):
        node.append(copy.deepcopy(node[path[-1]]))
    else:
        choices = {"type": OTHER_TYPES, "double": OTHER_TYPES, "range": NUMBERS, "unicode": TEXTS, "huge": HUGE}
        value = chance.choice(choices.get(kind, OTHER_TYPES))
        node[path[-1]] = value if chance.random() < 0.7 or kind == "range" else [value]
    return path, made


def at(node, path):
    for key in path:
        node = node[key]
    return node


def plan(config):
    """Reads that the rules make of a configuration before the first job."""
    cells = grid.cells(config)
    assert cells and grid.probed(config) is not None
    grid.pools(config), grid.later_pools(config), costs.estimate(config)
    for domain in config["grid"]["domain"]:
        assert grid.tasks_of(config, domain)
        assert grid.pool_size(config, domain) >= 0
        for task in grid.tasks_of(config, domain):
            grid.items_of(config, task)
        for model in config["grid"]["model"]:
            grid.finetune_settings(config, model, domain)
        for gamma in config["grid"]["gamma"]:
            assert re.fullmatch(r"0\.\d\d", grid.gamma_text(gamma))
    return len(cells)


def names_the_key(lines, path, made):
    """Whether a line names the changed key; of a list's value, the list's."""
    known = [key for key in path if isinstance(key, str)]
    expected = {".".join(known), known[-1]} if known else set()
    if not isinstance(at(made, path[:-1]), list):
        expected |= {str(path[-1]), repr(path[-1])}
    return any(name in line for line in lines for name in expected)


@cache
def read(path):
    return yaml.safe_load(path.read_text())


def mutation(root, number):
    """(description, path, configuration) of one of the 200."""
    config = copy.deepcopy(read(root / "config.yaml"))
    chance = random.Random(number)
    overlay = chance.choice([None, *STUDIES])
    if overlay:
        update_config(config, copy.deepcopy(read(root / "studies" / f"{overlay}.yaml")))
    if overlay == "paper":
        config["data_dir"] = str(root / "resources" / "fixtures")  # a hub model is refused without a folder
    if overlay in ("paper", "culture"):
        config["domains"] = {"culture-arabic": {"originals": 96, "finetune": {"epochs": 5}}}
    path, made = mutated(config, chance, KINDS[number % len(KINDS)])
    return f"mutation {number} of {overlay or 'the default study'}: {path}", path, made


@pytest.mark.parametrize("part", range(10))
def test_each_is_refused_by_its_key_or_runs(root, part):
    for number in range(20 * part, 20 * part + 20):
        what, path, made = mutation(root, number)
        try:
            checks.check(made, [("config.yaml", made)])
        except UserError as fault:
            message = str(fault)
            message.encode()  # a terminal can show it
            lines = message.splitlines()
            assert all(len(line) < 1000 and line.startswith("config.yaml: ") for line in lines), (
                f"{what}\n{message[:3000]}"
            )
            assert names_the_key(lines, path, made), f"{what}\n{message[:3000]}"
        else:
            assert plan(made) > 0, what


def test_an_index_of_a_list_is_no_name_of_a_key():
    made = {"grid": {"gamma": [0.0, 7]}, "domains": {7: "a"}}
    assert names_the_key(["config.yaml: grid.gamma[1]: 7 is above 1"], ("grid", "gamma", 1), made)
    assert not names_the_key(["config.yaml: something is 1 too many"], ("grid", "gamma", 1), made)
    assert names_the_key(["config.yaml: domains: no domain 7"], ("domains", 7), made)


def test_accepted_ones_are_planned_by_snakemake(root, tmp_path):
    """Three of the accepted ones with a small grid, chosen by seed, in a copy of the project."""
    project = copy_project(tmp_path / "project")
    planned_studies = 0
    for number in random.Random(1).sample(range(200), 200):
        what, _, made = mutation(root, number)
        try:
            checks.check(made, [("config.yaml", made)])
        except UserError:
            continue
        if plan(made) >= 50:
            continue
        (project / "config.yaml").write_text(yaml.safe_dump(made, allow_unicode=True))
        command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules"]
        dry_run = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert dry_run.returncode == 0, f"{what}\n{dry_run.stdout}{dry_run.stderr}"
        (planned,) = project.glob(".work/*/plan.json")
        assert planned.parent.name == made["study"], what
        planned.unlink()
        planned_studies += 1
        if planned_studies == 3:
            return
