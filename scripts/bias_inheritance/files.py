"""Reading and writing small files so that a crash never leaves half of one, and a bad line is named."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

from bias_inheritance.errors import UserError


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it takes its place in one move, on failure it is removed."""
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


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


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
                    f"{path}, line {number}: not a JSON object in UTF-8 ({fault}); mend or remove it"
                ) from None
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: found {type(row).__name__}, want a JSON object")
            missing = [key for key in required if key not in row]
            if missing:
                raise UserError(
                    f"{path}, line {number}: lacks the field {missing[0]!r}; every line needs {', '.join(required)}"
                )
            rows.append(row)
    return rows


class Journal:
    """An append-only JSON Lines file of finished records, flushed to disk per call, that survives a kill.

    A last line that a crash cut short is dropped at opening; a broken line before it is an error, because records
    after it would otherwise be lost in silence.
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
            self.rows = read_jsonl(self.path)
        else:
            self.rows = []
        self._file = open(self.path, "ab")  # noqa: SIM115 open as long as the journal

    def append(self, rows):
        """Add `rows` (a list of dicts) and return only when the disk has them."""
        self._file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.extend(rows)
