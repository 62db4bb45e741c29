"""Read and write small files: crashes never leave partial files, and invalid lines are reported by number."""

import errno
import glob
import json
import os
import socket
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bias_inheritance.plumbing.errors import UserError


@contextmanager
def replacing(path):
    """Yield a temporary path next to `path`; on success it atomically replaces `path`, on failure it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(path):
    """Remove temporary files of `path` left by a killed process."""
    for leftover in Path(path).parent.glob(f".{glob.escape(Path(path).name)}.*.tmp"):
        leftover.unlink()


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value):
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path, value):
    write_text(path, json_text(value))


def write_jsonl(path, rows):
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_csv(path, frame):
    """Write a data frame as CSV with full precision and no index."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)


def read_table(path, **options):
    """A CSV table as a data frame; only empty cells are missing, since None and NA may be names of groups."""
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""], **options)


def read_json(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: not readable as JSON ({fault}); restore it, or delete it and run again") from None


def read_jsonl(path, required=()):
    """Rows of a JSON Lines file, as a list of dicts.

    Raises UserError with file and line for a line that is not a JSON object in UTF-8 or that lacks one of the `required`
    keys.
    """
    rows = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, UnicodeDecodeError) as fault:
                raise UserError(
                    f"{path}, line {number}: not a JSON object in UTF-8 ({fault}); fix or remove the line and run again"
                ) from None
            if not isinstance(row, dict):
                raise UserError(
                    f"{path}, line {number}: a JSON {type(row).__name__}, not an object; fix or remove the line and run again"
                )
            missing = [key for key in required if key not in row]
            if missing:
                raise UserError(
                    f"{path}, line {number}: the field {missing[0]!r} is missing; every line needs {', '.join(required)}"
                )
            rows.append(row)
    return rows


def hold(path, wait=False):
    """Lock the file `path` until the returned lock is released, by `with` or `.lock.release()`, or this process ends.

    The caller must keep the returned object, whose deletion releases the lock. The system releases it however the process
    ends, including kill -9. If another process holds it, wait for that process, or raise UserError that names it. On a file
    system without locks nothing is locked.
    """
    import filelock

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, on_acquired=_sign)
    try:
        try:
            return lock.acquire(timeout=0)
        except filelock.Timeout:
            holder = path.read_text(encoding="utf-8") or "another process"
            if not wait:
                raise UserError(f"{holder} is using {path.parent}; let it finish or stop it, then run again") from None
            print(f"waiting for {holder}, which is using {path.parent}", flush=True)
            return lock.acquire()
    except OSError as fault:
        if fault.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return nullcontext()


def _sign(descriptor):
    """Write the name of the process that holds a lock into the open lock file."""
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())


class Journal:
    """An append-only JSON Lines file of finished records, flushed to disk after each call, so that they survive a kill.

    An incomplete last line is dropped on opening; any other invalid line is an error, since dropping it would lose a record
    silently.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")  # noqa: SIM115 open as long as the journal
        self._file.seek(0)
        content = self._file.read()
        self._file.truncate(content.rfind(b"\n") + 1)
        self.rows = read_jsonl(self.path)

    def append(self, rows):
        """Add `rows` (a list of dicts) and return once they are on disk."""
        self._file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.extend(rows)
