"""The warm worker runs a step like a separate process, and leaves nothing behind when that process dies."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from bias_inheritance.plumbing import warm


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    before = os.environ.pop(warm.VARIABLE, None)
    lifeline = warm.start(folder)
    yield {**os.environ}
    os.environ.pop(warm.VARIABLE)
    os.close(lifeline)
    if before is not None:
        os.environ[warm.VARIABLE] = before


def script(tmp_path, text, root):
    path = tmp_path / "script.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(root / 'scripts')!r})\nfrom bias_inheritance.plumbing import warm\nwarm.hand_over()\n{text}"
    )
    return [sys.executable, str(path)]


def test_arguments_environment_output_and_status_are_the_steps_own(worker, tmp_path, root):
    command = script(
        tmp_path,
        "import os\nprint(sys.argv[1:], os.environ['MARK'], os.getcwd(), 'torch' in sys.modules)\nsys.exit('one line')",
        root,
    )
    done = subprocess.run(
        [*command, "a", "b c"], env={**worker, "MARK": "m"}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == f"['a', 'b c'] m {tmp_path} True\n"
    assert done.stderr == "one line\n"
    assert done.returncode == 1


def test_a_killed_step_takes_its_fork_along(worker, tmp_path, root):
    note = tmp_path / "pid"
    command = script(
        tmp_path, f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)", root
    )
    process = subprocess.Popen(command, env=worker)
    while not note.exists() or not note.read_text():
        time.sleep(0.05)
    fork = int(note.read_text())
    assert fork != process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(1200):
        if not os.path.exists(f"/proc/{fork}"):
            return
        time.sleep(0.05)
    raise AssertionError("the fork outlived its step")


def test_without_a_worker_a_step_runs_by_itself(tmp_path, root):
    command = script(tmp_path, "print('torch' in sys.modules)", root)
    for address in ("", warm.OFF, "nobody-listens-here"):
        done = subprocess.run(command, env={**os.environ, warm.VARIABLE: address}, capture_output=True, text=True)
        assert done.stdout == "False\n"


def test_a_worker_that_ends_while_it_is_asked_leaves_the_step_to_itself(tmp_path, root):
    command = script(tmp_path, "print('torch' in sys.modules)", root)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0a-worker-that-crashes")
        listener.listen()
        process = subprocess.Popen(
            command, env={**os.environ, warm.VARIABLE: "a-worker-that-crashes"}, stdout=subprocess.PIPE, text=True
        )
        connection, _ = listener.accept()
        select.select([connection], [], [], 120)
        connection.close()  # unread bytes are left: the step's connection is reset
        assert process.communicate(timeout=120)[0] == "False\n"


@pytest.mark.parametrize("warmly", [False, True])
def test_a_step_that_asks_for_no_gpu_sees_none(worker, tmp_path, root, warmly):
    """In a separate process and in a fork of the worker, which has imported torch."""
    path = tmp_path / "look.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(root / 'scripts')!r})\n"
        "import os\nfrom bias_inheritance.plumbing import files, provenance, step\n\n"
        "provenance.code_digest = lambda *_: {'digest': ''}\n\n"
        "def look(seen: step.Output):\n    files.write_json(seen, os.environ['CUDA_VISIBLE_DEVICES'])\n\n"
        "step.run(look)\n"
    )
    words = ["--seen", "seen.json", "--work", "work", "--record", "seen.prov.json"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1", warm.VARIABLE: worker[warm.VARIABLE] if warmly else ""}
    done = subprocess.run([sys.executable, path, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "seen.json").read_text() == '""\n'


@pytest.mark.parametrize(("visible", "preloaded"), [("", True), ("0", False)])
def test_peft_is_preloaded_only_without_a_gpu(monkeypatch, tmp_path, visible, preloaded):
    """It imports bitsandbytes, which initialises CUDA; no step could be forked then."""
    commands = []
    monkeypatch.setattr(warm.subprocess, "Popen", lambda command, **_: commands.append(command))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv(warm.VARIABLE, "")
    monkeypatch.delenv(warm.VARIABLE)
    os.close(warm.start(tmp_path))
    assert ("peft" in commands[0]) == preloaded and "torch" in commands[0]


@pytest.mark.parametrize(("platform", "variable"), [("darwin", None), ("linux", warm.OFF)])
def test_no_worker_starts_outside_linux_or_where_it_is_switched_off(monkeypatch, tmp_path, platform, variable):
    monkeypatch.setattr(warm.sys, "platform", platform)
    monkeypatch.delenv(warm.VARIABLE, raising=False)
    if variable:
        monkeypatch.setenv(warm.VARIABLE, variable)
    warm.start(tmp_path)
    assert os.environ.get(warm.VARIABLE) == variable and not list(tmp_path.iterdir())
