"""Slips in YAML are one line that names file and line."""

import pytest
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import checks, reading


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "x.yaml, line 2: not valid YAML (did not find expected ',' or ']')"),
        ("a:\n\t- b\n", "x.yaml, line 2: not valid YAML ("),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml, line 4: not valid YAML (duplicate key 'c', first in line 3)"),
        ("a: {b: 1, b: 1}\n", "x.yaml, line 1: not valid YAML (duplicate key 'b', first in line 1)"),
        ("a: 1\nb: 2025-13-45\n", "x.yaml, line 2: not valid YAML (month must be in 1..12)"),
        ("a: " + "1" * 5000 + "\n", "x.yaml, line 1: not valid YAML (Exceeds the limit"),
        ("a: 1\n? {b: c}\n: d\n", "x.yaml, line 2: not valid YAML (found unhashable key)"),
        ("a: !!python/name:os.system x\n", "x.yaml, line 1: not valid YAML (could not determine a constructor"),
        ("a: *b\n", "x.yaml, line 1: not valid YAML (found undefined alias"),
        ("a: 1\n---\nb: 1\n", "x.yaml, line 2: not valid YAML (but found another document)"),
        ("a: \x07\n", "x.yaml: not valid YAML ("),
        ("a: " + "[" * 5000, "x.yaml"),
    ],
)
def test_a_slip_is_one_line_with_its_place(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        checks.sources(["x.yaml"])
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_bytes("title: Bücher\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"^x.yaml: byte 9 is not UTF-8; save the file as UTF-8$"):
        checks.sources(["x.yaml"])


def test_a_missing_file_and_a_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^none.yaml: No such file or directory; name a file of studies/$"):
        checks.sources(["none.yaml"])
    with pytest.raises(UserError, match=r"^\.: Is a directory; name a file of studies/$"):
        checks.sources(["."])


def test_merged_keys_are_no_duplicates(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "a: &a {k: 1, l: 1}\nb: &b {<<: *a, k: 2}\nc: {<<: *b, k: 3}\nd: [*b, {1: x, '1': y}]\n"
    )
    content = reading.read(tmp_path / "x.yaml")
    assert content["c"] == {"k": 3, "l": 1} and content["d"] == [{"k": 2, "l": 1}, {1: "x", "1": "y"}]
