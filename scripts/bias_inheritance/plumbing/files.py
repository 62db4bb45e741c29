"""Read and write small files: a crash never leaves a partial file, and an invalid line is reported by number."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import socket
from contextlib import contextmanager
from pathlib import Path

from bias_inheritance.plumbing.errors import UserError


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it atomically replaces `path`, on failure it is removed."""
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


def read_json(path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as fault:
        raise UserError(
            f"{path}: not readable as JSON ({fault}); restore the file or delete it and run again"
        ) from None


def read_jsonl(path, required=()):
    """Rows of a JSON Lines file, as a list of dicts.

    Raises UserError that names file and line for a line that is not a JSON object in UTF-8 or that lacks one of the
    `required` keys.
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
                    f"{path}, line {number}: lacks the field {missing[0]!r}; every line needs {', '.join(required)}"
                )
            rows.append(row)
    return rows


def hold(path, wait=False):
    """Lock the file `path` for the lifetime of this process, and return it; the caller keeps it open.

    The system releases the lock however the process ends, kill -9 included. If another process holds it, wait for it or
    raise UserError that names it. On a file system without locks nothing is locked.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 open as long as it is held
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        if not wait:
            raise UserError(f"{holder} is using {path.parent}; let it finish or stop it, then run again") from None
        print(f"waiting for {holder}, which is using {path.parent}", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as fault:
        if fault.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


class Journal:
    """An append-only JSON Lines file of finished records, flushed to disk per call, that survives a kill.

    Each line carries a digest of itself (`_sha256`), so a line whose bytes changed is reported and never used. A last line
    that a crash cut short is dropped on opening; an invalid line before it is an error, since the records after it would
    otherwise be lost silently.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            content = self.path.read_bytes()
            complete = content[: content.rfind(b"\n") + 1]
            if len(complete) < len(content):
                with open(self.path, "r+b") as file:
                    file.truncate(len(complete))
            self.rows = [self._verified(row, number) for number, row in enumerate(read_jsonl(self.path), start=1)]
        else:
            self.rows = []
        self._file = open(self.path, "ab")  # noqa: SIM115 open as long as the journal

    def append(self, rows):
        """Add `rows` (a list of dicts) and return once they are on disk."""
        lines = [json.dumps({**row, "_sha256": _line_digest(row)}, ensure_ascii=False) + "\n" for row in rows]
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.extend(rows)

    def _verified(self, row, number):
        expected = row.pop("_sha256", None)
        if expected != _line_digest(row):
            raise UserError(
                f"{self.path}, line {number}: its content has changed since it was written; remove the line and run again to regenerate the record"
            )
        return row


def _line_digest(row):
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
