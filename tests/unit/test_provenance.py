"""Which code counts as an input of a step."""

import re

import pytest
from bias_inheritance.plumbing import provenance
from bias_inheritance.plumbing.provenance import ROOT, SCRIPTS

BIOGRAPHIES, SURVEY = (f"scripts/bias_inheritance/data/{name}.py" for name in ("biographies", "survey"))
TASKS = "scripts/bias_inheritance/tasks"
CHOOSING = sorted(path.stem for path in SCRIPTS.glob("*.py") if provenance._choices(path))


@pytest.mark.parametrize("script", CHOOSING)
def test_a_step_of_one_family_does_not_hold_the_other(script):
    keys = {key for _, key in provenance._choices(SCRIPTS / f"{script}.py")}
    for own, other, family in ((BIOGRAPHIES, SURVEY, "biographies"), (SURVEY, BIOGRAPHIES, "survey")):
        code = provenance.code_of(script, {"domain": {"family": family}, "task": {"kind": "salary"}})
        assert (own in code) == ("family" in keys) and other not in code
        assert (f"{TASKS}/salary.py" in code) == ("kind" in keys) and f"{TASKS}/perplexity.py" not in code


@pytest.mark.parametrize("script", CHOOSING)
def test_every_rule_of_such_a_step_says_what_chooses(script):
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert re.search(rf'code\("{script}", lambda', rules) and f'code("{script}")' not in rules


def test_a_module_that_is_chosen_in_another_way_is_any_of_its_package(tmp_path):
    path = tmp_path / "step.py"
    path.write_text("import_module(f'bias_inheritance.data.{name}')")
    assert {"biographies.py", "survey.py"} <= {module.name for module in provenance._imports(path)}
    assert not provenance._choices(path)
