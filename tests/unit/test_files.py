"""Files that a kill, a second process or damage must not spoil: locks and journals."""

import subprocess
import sys

import pytest
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import SCRIPTS

HOLD = """
from bias_inheritance.plumbing import files
lock = files.hold("work/lock")
print("held", flush=True)
input()
"""


def started(folder, code):
    """A process that runs `code` with the library, in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(SCRIPTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def holder(tmp_path):
    """A process that locks work/lock until it is killed."""
    with started(tmp_path, HOLD) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_names_the_process_that_holds_it_and_ends_with_it(holder, tmp_path):
    path = tmp_path / "work" / "lock"
    with pytest.raises(UserError, match=rf"process {holder.pid} on \S+ is using {path.parent}"):
        files.hold(path)
    holder.kill()
    holder.wait()
    with files.hold(path):
        pass


def test_a_process_that_waits_for_a_lock_says_for_whom(holder, tmp_path):
    with started(tmp_path, HOLD.replace('"work/lock"', '"work/lock", wait=True')) as waiting:
        assert (
            waiting.stdout.readline()
            == f"waiting for {(tmp_path / 'work' / 'lock').read_text()}, which is using work\n"
        )
        holder.kill()
        assert waiting.stdout.readline() == "held\n"
        waiting.kill()


def test_a_journal_keeps_what_was_finished_and_drops_what_a_kill_cut_short(tmp_path):
    path = tmp_path / "journal.jsonl"
    files.Journal(path).append([{"text": "finished"}, {"text": "été"}])
    with open(path, "ab") as file:
        file.write('{"text": "ét'.encode())
    journal = files.Journal(path)
    assert journal.rows == [{"text": "finished"}, {"text": "été"}]
    journal.append([{"text": "later"}])
    assert files.Journal(path).rows == [{"text": "finished"}, {"text": "été"}, {"text": "later"}]


def test_a_damaged_line_of_a_journal_is_named_and_no_line_is_lost(tmp_path):
    path = tmp_path / "journal.jsonl"
    files.Journal(path).append([{"number": 1}, {"number": 2}])
    damaged = path.read_bytes().replace(b'{"number": 1}', b'{"number" 1}')
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"journal\.jsonl, line 1: "):
        files.Journal(path)
    assert path.read_bytes() == damaged


def test_a_table_keeps_names_that_look_like_missing_values(tmp_path):
    import pandas as pd

    names = ["None", "NA", "null", "nan", "women"]
    files.write_csv(
        tmp_path / "scores.csv", pd.DataFrame({"group": [*names, None], "value": [0.5, None, 1.0, 2.0, 3.0, 4.0]})
    )
    table = files.read_table(tmp_path / "scores.csv")
    assert table["group"].tolist()[:5] == names and table["group"].isna().tolist()[5]
    assert table["value"].dtype == float and table["value"].isna().tolist() == [False, True, False, False, False, False]
