"""Two hundred seeded mutations of sound configurations: each is refused with a line that names the key, or runs."""

import copy
import datetime
import random
import re

import pytest
import yaml
from bias_inheritance import costs, study
from bias_inheritance.errors import UserError
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
    """What the rules ask of a configuration before the first job."""
    cells = study.cells(config)
    assert cells and study.probed(config) is not None
    study.pools(config), study.later_pools(config), costs.estimate(config)
    for domain in config["grid"]["domain"]:
        assert study.tasks_of(config, domain)
        assert study.pool_size(config, domain) >= 0
        for task in study.tasks_of(config, domain):
            study.items_of(config, task)
        for model in config["grid"]["model"]:
            study.finetune_settings(config, model, domain)
        for gamma in config["grid"]["gamma"]:
            assert re.fullmatch(r"0\.\d\d", study.gamma_text(gamma))
    return len(cells)


def names_the_key(lines, path):
    """Whether a line names the changed key; of a list's value, the list's."""
    names = [key for key in path if not isinstance(key, int) or isinstance(key, bool)]
    known = [name for name in names if isinstance(name, str)]
    wanted = {str(path[-1]), repr(path[-1]), ".".join(map(str, known)), known[-1] if known else str(path[-1])}
    return any(name in line for line in lines for name in wanted)


@pytest.mark.parametrize("part", range(10))
def test_each_is_refused_by_its_key_or_runs(root, part):
    default = yaml.safe_load((root / "config.yaml").read_text())
    for number in range(20 * part, 20 * part + 20):
        chance = random.Random(number)
        config = copy.deepcopy(default)
        overlay = chance.choice([None, *STUDIES])
        if overlay:
            update_config(config, yaml.safe_load((root / "studies" / f"{overlay}.yaml").read_text()))
        if overlay == "paper":
            config["data_dir"] = str(root / "resources" / "fixtures")  # a hub model is refused without a folder
        if overlay in ("paper", "culture"):
            config["domains"] = {"culture-arabic": {"originals": 96, "finetune": {"epochs": 5}}}
        path, made = mutated(config, chance, KINDS[number % len(KINDS)])
        what = f"mutation {number} of {overlay or 'the default study'}: {path}"
        try:
            study.check(made, [("config.yaml", made)])
        except UserError as fault:
            told = str(fault)
            told.encode()  # a terminal can show it
            lines = told.splitlines()
            assert all(len(line) < 1000 and line.startswith("config.yaml: ") for line in lines), (
                f"{what}\n{told[:3000]}"
            )
            assert names_the_key(lines, path), f"{what}\n{told[:3000]}"
        else:
            assert plan(made) > 0, what
