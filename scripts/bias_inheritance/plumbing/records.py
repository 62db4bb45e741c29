"""The records of a results folder, read back: which job made a file, and from what. Standard library only.

Records name files as the job saw them, `results/STUDY/…`, wherever the folder lies now.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError

# what every record holds, and as what
FIELDS = {
    **dict.fromkeys(("step", "study", "record", "started", "ended", "seal"), str),
    **dict.fromkeys(("wildcards", "parameters", "inputs", "outputs", "code", "environment", "machine"), dict),
    "git": (dict, type(None)),
    "seconds": (int, float),
}


@dataclass
class Study:
    """A results folder and what its records say; all keys are names as the records use them (`results/STUDY/…`)."""

    folder: Path
    name: str  # results/STUDY
    records: dict = field(default_factory=dict)  # record's name → its content
    faults: dict = field(default_factory=dict)  # record's name → (state, why) of those that are not what was written
    makers: dict = field(default_factory=dict)  # output's name → the record of the job that made it
    sizes: dict = field(default_factory=dict)  # name of every file that is there → bytes

    def path(self, name):
        """Where a file that records call `name` lies now; one outside the results lies under the project's root."""
        inside = name.removeprefix(f"{self.name}/")
        return self.folder / inside if inside != name else provenance.ROOT / name

    def made(self, name):
        """The record's entry {path, sha256, bytes} of a file that a job made."""
        return next(entry for entry in entries(self.makers[name]["outputs"]) if entry["path"] == name)

    def upstream(self, names):
        """Names of all records behind the files `names`, nearest first; each stands once."""
        found, todo = {}, [self.makers[name] for name in names if name in self.makers]
        while todo:
            record = todo.pop(0)
            if record["record"] not in found:
                found[record["record"]] = record
                todo += [self.makers[e["path"]] for e in entries(record["inputs"]) if e["path"] in self.makers]
        return list(found)


def entries(described):
    """All {path, sha256, bytes} of a record's `inputs` or `outputs`."""
    return [entry for group in described.values() for entry in group]


def read(folder):
    """The Study in a results folder. Raises UserError where there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a study's results, as in results/demo")
    sizes = {}
    for parent, folders, names in os.walk(folder):
        # a link to a folder is a thing of its own: what lies behind it is none of the study's
        for name in names + [name for name in folders if Path(parent, name).is_symlink()]:
            path = Path(parent, name)
            size = path.stat().st_size if path.exists() else 0
            if name != provenance.MARKER or size:
                sizes[path.relative_to(folder).as_posix()] = size
    contents = {name: _parse(folder / name) for name in sorted(sizes) if name.endswith(provenance.SUFFIX)}
    studies = [content["study"] for content, _ in contents.values() if content]
    if not studies:
        raise UserError(f"{folder}: holds no readable record (*{provenance.SUFFIX}); give a study's results folder")
    study = Study(folder, f"results/{max(set(studies), key=studies.count)}")
    study.sizes = {f"{study.name}/{name}": size for name, size in sizes.items()}
    placed = {f"{study.name}/{name}": content for name, content in contents.items()}
    # a record in its own place has the word before a copy of it elsewhere
    for name, (content, fault) in sorted(placed.items(), key=lambda item: (item[1][0] or {}).get("record") != item[0]):
        if fault:
            study.faults[name] = fault
        if content is None:
            continue
        if content["record"] != name:
            study.faults[name] = ("tampered", f"it is the record {content['record']}, not the one of this place")
        if content["record"] in study.records:
            continue
        study.records[content["record"]] = content
        for entry in entries(content["outputs"]):
            maker = study.makers.setdefault(entry["path"], content)
            if maker is not content:
                study.faults[name] = ("broken", f"it and {maker['record']} both say that they made {entry['path']}")
    return study


def _parse(path):
    """(content, fault): a record's content, None where it cannot be used, and (state, why) where it was changed."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        lacking = [key for key in FIELDS if key not in content]
        if lacking:
            return None, ("broken", f"it lacks {', '.join(lacking)}")
        wrong = [key for key, kind in FIELDS.items() if not isinstance(content[key], kind)]
        if wrong:
            return None, ("broken", f"it has {', '.join(wrong)} of a wrong type")
        named = entries(content["inputs"]) + entries(content["outputs"])
        if not all(isinstance(entry[key], str) for entry in named for key in ("path", "sha256")):
            return None, ("broken", "it names a file by something else than text")
        if not isinstance(content["code"]["files"], dict) or not isinstance(content["code"]["digest"], str):
            return None, ("broken", "it does not name the code that ran by files and digests")
        if not isinstance(content["environment"]["container_sha256"], (str, type(None))):
            return None, ("broken", "it names a container by something else than text")
        if not content["record"].startswith(f"results/{content['study']}/"):
            return None, ("broken", f"it says that it lies outside results/{content['study']}")
    except OSError as fault:
        return None, ("broken", f"it cannot be read ({fault.strerror})")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, ("broken", "it cannot be read as a record")
    written = {key: value for key, value in content.items() if key != "seal"}
    if files.json_text(provenance.sealed(written)) != text:
        return content, ("tampered", "its bytes are not those that were sealed")
    return content, None


def study_of(path):
    """The Study that a file of a results folder belongs to. Raises UserError where no record is near it."""
    path = Path(path).resolve()
    for parent in path.parents:
        for record in parent.glob(f"*{provenance.SUFFIX}"):
            content, _ = _parse(record)
            if content:
                depth = len(Path(content["record"]).relative_to(f"results/{content['study']}").parts)
                return read(record.parents[depth - 1])
    raise UserError(f"{path}: no record lies beside or above it; give a file of a study's results folder")


def upstream_digest(study, names):
    """One digest of everything that lies behind the files `names`, themselves included: sha256 and name of each."""
    behind = {(name, study.made(name)["sha256"]) for name in names if name in study.makers}
    for record in map(study.records.get, study.upstream(names)):
        behind |= {(e["path"], e["sha256"]) for e in [*entries(record["inputs"]), *entries(record["outputs"])]}
    return provenance.digest(sorted((name.removeprefix(f"{study.name}/"), sha256) for name, sha256 in behind))


def plain(text):
    """Text of one line without control characters: what a file or a sample says is not trusted."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)
