"""What pages of the documentation name exists."""

import re

import pytest
from bias_inheritance.plumbing.provenance import ROOT

TESTS = ROOT / "tests"


@pytest.mark.parametrize("page", ["faults.md", "performance.md"])
def test_tests_that_a_page_names_exist(page):
    """Pages name a function, a file from the project's root, or `folder/file.py::function` from `tests/`."""
    existing = set()
    for path in TESTS.rglob("test_*.py"):
        functions = re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        existing |= {str(path.relative_to(ROOT)), *functions}
        existing |= {f"{path.relative_to(TESTS)}::{function}" for function in functions}
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w/]+/)?test_[\w.]+(?:::\w+)?)`", text))
    assert named and named <= existing, named - existing
