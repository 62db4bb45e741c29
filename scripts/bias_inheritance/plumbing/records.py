"""Read the records of a results folder: the job that produced a file, and its inputs. Standard library only.

Records contain the paths used by the job, `results/STUDY/…`, wherever the folder is now.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError

# keys of every record, and their types
FIELDS = {
    **dict.fromkeys(("step", "study", "record", "started", "ended", "seal"), str),
    **dict.fromkeys(("wildcards", "parameters", "inputs", "outputs", "code", "environment", "machine"), dict),
    "git": (dict, type(None)),
    "seconds": (int, float),
}


@dataclass
class Study:
    """A results folder and its records; all keys are names as in the records (`results/STUDY/…`)."""

    folder: Path
    name: str  # results/STUDY
    records: dict = field(default_factory=dict)  # record's name → its content
    faults: dict = field(default_factory=dict)  # name of a changed or unreadable record → (state, reason)
    makers: dict = field(default_factory=dict)  # output's name → the record of the job that produced it
    sizes: dict = field(default_factory=dict)  # name of every existing file → bytes

    def path(self, name):
        """The current path of a file by its `name` in records; files outside the results are under the project's root."""
        inside = name.removeprefix(f"{self.name}/")
        return self.folder / inside if inside != name else provenance.ROOT / name

    def made(self, name):
        """The record's entry {path, sha256, bytes} of a job's output."""
        return next(entry for entry in entries(self.makers[name]["outputs"]) if entry["path"] == name)

    def upstream(self, names):
        """Names of all records upstream of the files `names`, nearest first, without repeats."""
        upstream, remaining = {}, [self.makers[name] for name in names if name in self.makers]
        while remaining:
            record = remaining.pop(0)
            if record["record"] not in upstream:
                upstream[record["record"]] = record
                remaining += [self.makers[e["path"]] for e in entries(record["inputs"]) if e["path"] in self.makers]
        return list(upstream)


def entries(described):
    """All {path, sha256, bytes} of a record's `inputs` or `outputs`; files in a folder also have `folder`."""
    return [entry for group in described.values() for entry in group]


def read(folder):
    """The Study in a results folder. Raises UserError if there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a study's results, such as results/demo")
    sizes = {}
    for parent, folders, names in os.walk(folder):
        # a link to a folder counts as one file: its target is not part of the study
        for name in names + [name for name in folders if Path(parent, name).is_symlink()]:
            path = Path(parent, name)
            size = path.stat().st_size if path.exists() else 0
            if name != provenance.MARKER or size:
                sizes[path.relative_to(folder).as_posix()] = size
    contents = {name: parse(folder / name) for name in sorted(sizes) if name.endswith(provenance.SUFFIX)}
    studies = [content["study"] for content, _ in contents.values() if content]
    if not studies:
        raise UserError(f"{folder}: contains no readable record (*{provenance.SUFFIX}); give a study's results folder")
    study = Study(folder, f"results/{max(set(studies), key=studies.count)}")
    inside = {
        name: content["record"].removeprefix(f"{study.name}/") for name, (content, _) in contents.items() if content
    }
    if all(path != name and (name.endswith(f"/{path}") or path.endswith(f"/{name}")) for name, path in inside.items()):
        raise UserError(f"{folder}: holds records of {study.name}, not a whole study; give the folder {study.name}")
    study.sizes = {f"{study.name}/{name}": size for name, size in sizes.items()}
    placed = {f"{study.name}/{name}": content for name, content in contents.items()}
    # a record at its original path takes precedence over copies of it
    for name, (content, fault) in sorted(placed.items(), key=lambda item: (item[1][0] or {}).get("record") != item[0]):
        if fault:
            study.faults[name] = fault
        if content is None:
            continue
        if content["record"] != name:
            study.faults[name] = ("tampered", f"it is the record {content['record']}, not the one that belongs here")
        if content["record"] in study.records:
            continue
        study.records[content["record"]] = content
        for entry in entries(content["outputs"]):
            maker = study.makers.setdefault(entry["path"], content)
            if maker is not content:
                study.faults[name] = ("broken", f"it and {maker['record']} both claim to have made {entry['path']}")
    return study


def parse(path):
    """(content, fault) of a record file: its content, None if unusable, and (state, reason) if it was changed."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        missing = [key for key in FIELDS if key not in content]
        if missing:
            return None, ("broken", f"it lacks {', '.join(missing)}")
        wrong = [key for key, kind in FIELDS.items() if not isinstance(content[key], kind)]
        if wrong:
            return None, ("broken", f"wrong type of {', '.join(wrong)}")
        named = entries(content["inputs"]) + entries(content["outputs"])
        if not all(isinstance(entry[key], str) for entry in named for key in ("path", "sha256")):
            return None, ("broken", "a file's path or sha256 is not text")
        if not all(isinstance(entry.get("folder", ""), str) for entry in named):
            return None, ("broken", "a file's folder is not text")
        if not isinstance(content["code"]["files"], dict) or not isinstance(content["code"]["digest"], str):
            return None, ("broken", "its code is not given as files and digests")
        if not isinstance(content["environment"]["container_sha256"], (str, type(None))):
            return None, ("broken", "its container is not text")
        if not content["record"].startswith(f"results/{content['study']}/"):
            return None, ("broken", f"it gives its own place outside results/{content['study']}")
    except OSError as fault:
        return None, ("broken", f"it cannot be read ({fault.strerror})")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, ("broken", "it cannot be read as a record")
    written = {key: value for key, value in content.items() if key != "seal"}
    if files.json_text(provenance.sealed(written)) != text:
        return content, ("tampered", "its content does not match its seal")
    return content, None


def study_of(path):
    """The Study that a file of a results folder belongs to. Raises UserError if no folder above it contains a record."""
    path = Path(path).resolve()
    for parent in path.parents:
        for record in parent.glob(f"*{provenance.SUFFIX}"):
            content, _ = parse(record)
            if content:
                depth = len(Path(content["record"]).relative_to(f"results/{content['study']}").parts)
                return read(record.parents[depth - 1])
    raise UserError(f"{path}: no record in its folder or above; give a file of a study's results folder")


def upstream_digest(study, names):
    """One digest over name and sha256 of the files `names` and of everything upstream of them."""
    upstream = {(name, study.made(name)["sha256"]) for name in names if name in study.makers}
    for record in map(study.records.get, study.upstream(names)):
        upstream |= {(e["path"], e["sha256"]) for e in [*entries(record["inputs"]), *entries(record["outputs"])]}
    return provenance.digest(sorted((name.removeprefix(f"{study.name}/"), sha256) for name, sha256 in upstream))


def plain(text):
    """The text as one line without control characters, since content of files and samples is not trusted."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)
