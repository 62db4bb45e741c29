"""A live progress line: steps report their progress, and Snakemake's own process displays it.

A step calls `update(done, total, unit)`, which writes a small file under `.work/STUDY/progress/`. In Snakemake's own
process, `show` hooks into its log events and redraws one line: finished jobs, running steps, their rate and time left.
"""

import hashlib
import json
import logging
import os
import re
import shlex
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

_job = None
REDRAW_SECONDS = 0.5
PLAIN_SECONDS = 30  # between lines if the output is not a terminal
STOPPED = "stopped; run the same command again to resume"  # the last line of an interrupted step's log
RUNS = "runs.jsonl"  # in .work/STUDY: {started, ended} of each run that ended, successfully or not


@contextmanager
def job_reported(work, step, wildcards):
    """During the job, `update` writes to the job's own file, which is removed at the end."""
    global _job
    folder = Path(work) / "progress"
    folder.mkdir(parents=True, exist_ok=True)
    label = _label(step, wildcards)
    _job = {
        "path": _state_file(folder, label),
        "label": label,
        "started": time.time(),
        "written": 0.0,
        "first": None,
    }
    try:
        yield
    finally:
        _job["path"].unlink(missing_ok=True)
        _job = None


def _label(step, wildcards):
    return " ".join([step, *(str(value) for value in wildcards.values())])


def _state_file(folder, label):
    return folder / f"{hashlib.sha256(label.encode()).hexdigest()[:16]}.json"


def update(done, total, unit):
    """Report that `done` of `total` units (records, steps, items) are finished; writes at most twice a second."""
    now = time.time()
    if _job is None:
        return
    if _job["first"] is None:
        _job["first"] = (done, now)
    if now - _job["written"] < REDRAW_SECONDS and done < total:
        return
    _job["written"] = now
    done_before, since = _job["first"]
    rate = (done - done_before) / (now - since) if now > since else 0.0
    state = {"label": _job["label"], "done": done, "total": total, "unit": unit, "rate": rate, "pid": os.getpid()}
    _job["path"].write_text(json.dumps(state))
    print(f"{done} of {total} {unit}, {rate:.1f}/s", flush=True)


def clock(seconds):
    """'1:05' or '2:03:04'."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Display(logging.Handler):
    """Listens to Snakemake's log events and redraws the line from a separate thread."""

    def __init__(self, work, stream):
        super().__init__()
        self.folder, self.stream = Path(work) / "progress", stream
        self.done, self.total, self.started, self.running = 0, 0, time.time(), {}
        self.drawn, self.last_plain = 0, time.time()
        self.terminal = stream.isatty()
        self.stopped = threading.Event()
        threading.Thread(target=self._redraw, daemon=True).start()

    def emit(self, record):
        event = str(getattr(record, "event", "") or "")
        if event == "job_info":
            self.running[record.jobid] = _label(record.rule_name, dict(record.wildcards))
        elif event == "progress":
            self.done, self.total = record.done, record.total
        elif event in ("job_finished", "job_error"):
            label = self.running.pop(getattr(record, "job_id", getattr(record, "jobid", None)), None)
            if event == "job_error":
                if label:  # a step that was killed could not remove it
                    _state_file(self.folder, label).unlink(missing_ok=True)
                self._explain(record)
        elif record.getMessage().startswith("Trying to restart job"):
            print("  retrying\n", file=self.stream, flush=True)

    def _explain(self, record):
        """Print why a job failed: the executor's reason, the end of the job's log, and the command that reruns it.

        For a local job that was interrupted, print only that it stopped.
        """
        self._clear()
        ends = {path: _end_of(path) for path in record.log or []}
        # a cluster's reason without the submission command and the advice after it; empty for a local step
        message = getattr(record, "rule_msg", None) or ""
        reason = re.split(r"\n +sbatch call:|For further error details see", message)[0].strip()
        if not reason and any(lines[-1:] == [STOPPED] for lines in ends.values()):
            print(f"{record.rule_name} {STOPPED}", file=self.stream, flush=True)
            return
        print(f"\n{record.rule_name} failed. {reason or 'The end of its log:'}", file=self.stream)
        for path, lines in ends.items():
            print("\n".join(f"    {line}" for line in lines), file=self.stream)
            print(f"  full log: {path}", file=self.stream)
        command = shlex.join([sys.argv[0], *(record.output or [])[:1], *sys.argv[1:]])
        print(f"  to rerun it: {command}", file=self.stream, flush=True)

    def line(self):
        """The current line: time, finished jobs, and the progress of running ones."""
        share = f"{self.done}/{self.total} jobs" if self.total else "planning"
        parts = [f"{clock(time.time() - self.started)}  {share}"]
        states = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                states.append(json.loads(path.read_text()))
            except (OSError, ValueError):
                continue  # removed or half written between listing and reading: wait for the next redraw
        for state in states[:2]:
            left = clock((state["total"] - state["done"]) / state["rate"]) + " left" if state["rate"] else "starting"
            parts.append(
                f"{state['label']}: {state['done']}/{state['total']} {state['unit']}, {state['rate']:.1f}/s, {left}"
            )
        if not states and self.running:
            parts.append(next(iter(list(self.running.values()))))
        return "  |  ".join(parts)

    def on_sigterm(self, handler):
        """Say what SIGTERM does, and let Snakemake's handler do it.

        In a thread, since the handler acquires the scheduler's lock: the main thread, which a signal interrupts anywhere,
        may hold it already and would wait for itself.
        """
        text = "SIGTERM: no new jobs start; running ones finish (Ctrl-C stops them too). The same command resumes."

        def stop():
            self._clear()
            print(text, file=self.stream, flush=True)
            handler(signal.SIGTERM, None)

        threading.Thread(target=stop).start()

    def _clear(self):
        if self.terminal and self.drawn:
            self.stream.write("\r\x1b[K")
            self.drawn = 0

    def _redraw(self):
        while not self.stopped.wait(REDRAW_SECONDS):
            cancel_timers()
            line = self.line()
            if self.terminal:
                width = os.get_terminal_size(self.stream.fileno()).columns - 1
                self.stream.write("\r\x1b[K" + line[:width])
                self.stream.flush()
                self.drawn = 1
            elif time.time() - self.last_plain >= PLAIN_SECONDS:
                self.last_plain = time.time()
                print(line, file=self.stream, flush=True)

    def stop(self):
        """Stop redrawing, and record when Snakemake started and ended, from which the overhead of a run is computed."""
        import psutil

        self.stopped.set()
        cancel_timers()
        self._clear()
        run = {"started": psutil.Process().create_time(), "ended": time.time()}
        with open(self.folder.parent / RUNS, "a", encoding="utf-8") as file:
            file.write(json.dumps(run) + "\n")


def cancel_timers():
    """Cancel the timers that Snakemake's scheduler starts to wait for its limit on jobs per timespan.

    Each scheduling pass starts a timer that triggers another pass: their number grows with the number of finished jobs, and
    the process would wait for all of them before exiting. The profile's limit is never reached, so they are not needed.
    """
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread.function.__module__.startswith("snakemake.scheduling"):
            thread.cancel()


def _end_of(path):
    """The last lines of a job's log, preceded by SLURM's own messages in it, such as an out-of-memory kill."""
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return ["(no log was written)"]
    return [line for line in lines[:-12] if line.startswith(("slurmstepd", "srun: error"))] + lines[-12:]


def _worth_reading(record):
    """Whether to show a line of Snakemake: warnings and errors that the display does not cover."""
    displayed = str(getattr(record, "event", "") or "") in (
        "job_error",
        "job_info",
        "job_started",
        "job_finished",
        "progress",
        "shellcmd",
    )
    text = record.getMessage()
    repeated = text.startswith(("RuleException", "CalledProcessError", "WorkflowError:\nAt least one job"))
    return record.levelno >= logging.WARNING and not displayed and not repeated


def show(work):
    """Start the display in this (Snakemake's) process and return it; its `stop()` ends it."""
    from snakemake.logging import logger

    for stale in (Path(work) / "progress").glob("*.json"):
        stale.unlink(missing_ok=True)
    display = Display(work, sys.stderr)
    for handler in logger.handlers:
        handler.addFilter(_worth_reading)
    logger.addHandler(display)
    handler = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: display.on_sigterm(handler))
    return display


class _Idle(logging.Handler):
    def __init__(self, callback):
        super().__init__()
        self.callback = callback

    def emit(self, record):
        from snakemake.common import NOTHING_TO_BE_DONE_MSG

        if record.getMessage() == NOTHING_TO_BE_DONE_MSG:
            self.callback()


def when_idle(callback):
    """Call `callback` if Snakemake has nothing to do, in which case it does not run onsuccess."""
    from snakemake.logging import logger

    logger.addHandler(_Idle(callback))
