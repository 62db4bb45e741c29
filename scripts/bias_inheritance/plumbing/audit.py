"""Check every file of a results folder against its record, the code and the configuration. Standard library only."""

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bias_inheritance.plumbing import files, provenance, records

STATES = ("ok", "tampered", "missing", "extra", "stale", "broken")


FINAL = {}  # planned parameters of a result that is never made again, such as a closed look


def audit(folder, expect=None):
    """The state of every file and of the whole: {files: {name: {state, why, sha256}}, root, ok, notes, …}.

    docs/provenance.md defines the states. expect: a previously saved root digest, or None. Raises UserError if `folder` is
    not a study's results.
    """
    study = records.read(folder)
    plan = _plan(study)
    outside = {
        entry["path"]
        for record in study.records.values()
        for entry in records.entries(record["inputs"])
        if not entry["path"].startswith(f"{study.name}/")
    }
    started = time.perf_counter()
    images = plan["images"] if any(map(_image_of, study.records.values())) else []
    sha256s, size = digests({name: study.path(name) for name in [*study.sizes, *outside, *images]})
    seconds = time.perf_counter() - started
    notes = []

    verdicts = {name: {"state": "extra", "why": "no record lists it as an output"} for name in study.sizes}
    for name, (state, why) in study.faults.items():
        verdicts[name] = {"state": state, "why": why}
    sources = {}
    for name, record in study.records.items():
        if name in study.sizes and name not in study.faults:
            verdicts[name] = {"state": "ok", "why": None}
            orphans = [
                entry["path"]
                for entry in records.entries(record["inputs"])
                if entry["path"].startswith(f"{study.name}/")
                and entry["path"] not in study.makers
                and entry["path"] not in study.records
                and entry["path"] not in study.faults
            ]
            if orphans:
                verdicts[name] = {"state": "broken", "why": f"no record here has made its input {_few(orphans)}"}
        reasons = [
            *_changed_inputs(study, record, sha256s),
            *changes(name, record, plan, sources),
            *_changed_image(record, [sha256s[path] for path in images]),
        ]
        for entry in records.entries(record["outputs"]):
            output = entry["path"]
            if study.makers.get(output) is not record:
                continue
            if output not in study.sizes:
                verdicts[output] = {"state": "missing", "why": f"{record['step']} wrote it"}
            elif sha256s[output] != entry["sha256"]:
                verdicts[output] = {"state": "tampered", "why": "its sha256 is not the one in its record"}
            elif reasons:
                verdicts[output] = {"state": "stale", "why": "; ".join(reasons)}
            else:
                verdicts[output] = {"state": "ok", "why": None}
    for name in study.sizes:
        verdicts[name]["sha256"] = sha256s[name]
    if plan["outdated"]:
        verdicts[plan["path"]] = {"state": "stale", "why": plan["outdated"]}
    if not plan["known"]:
        notes.append(f"parameters were not checked against a configuration: {plan['path']} is missing")
    absent = [path for path in images if sha256s[path] is None]
    if absent:
        notes.append(f"container images were not checked: {_few(absent)} is missing")
    absent = sorted(name for name in outside if sha256s[name] is None)
    if absent:
        notes.append(f"{len(absent)} inputs from outside the results are missing and were not checked: {_few(absent)}")
    root = root_digest({study.path(name).relative_to(study.folder): sha256s[name] for name in study.sizes})
    if expect is None:
        notes.append(
            "a file from which nothing was made cannot be checked if it was edited together with its record: compare "
            "the root digest with one kept elsewhere (--expect DIGEST)"
        )
    report = f"{study.name}/report.html"
    upstream_of_report = None
    if report in study.makers:
        inputs = [entry["path"] for entry in records.entries(study.makers[report]["inputs"])]
        upstream_of_report = records.upstream_digest(study, inputs)
    return {
        "results": str(folder),
        "study": study.name,
        "files": dict(sorted(verdicts.items())),
        "counts": {state: sum(v["state"] == state for v in verdicts.values()) for state in STATES},
        "root": root,
        "expected": expect,
        "upstream_of_report": upstream_of_report,
        "ok": all(v["state"] == "ok" for v in verdicts.values()) and expect in (None, root),
        "notes": notes,
        "bytes": size,
        "seconds": seconds,
    }


def root_digest(sha256s):
    """One digest of a whole folder, from {relative path: sha256}: the sha256 of what `sha256sum` prints, sorted by path."""
    lines = [f"{sha256}  {path}\n" for path, sha256 in sorted((str(path), sha) for path, sha in sha256s.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digests(paths):
    """({name: sha256, or None for a missing file}, bytes read) of {name: path}, on all cores, large files first."""
    sizes = {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        names = sorted(sizes, key=sizes.get, reverse=True)
        sha256s = dict(zip(names, pool.map(lambda name: provenance.sha256(paths[name]), names), strict=True))
    return {name: sha256s.get(name) for name in paths}, sum(sizes.values())


def _changed_inputs(study, record, sha256s):
    """Inputs that differ from those that the job read: regenerated since or, outside the results, changed."""
    inputs = records.entries(record["inputs"])
    for entry in inputs:
        path = entry["path"]
        if path in study.makers:
            if study.made(path)["sha256"] != entry["sha256"]:
                yield f"its input {path} was regenerated or replaced since"
        elif path in study.records and path in study.sizes:
            # a tampered record is reported separately
            if sha256s[path] != entry["sha256"] and path not in study.faults:
                yield f"the record {path} that it read has changed since"
        elif sha256s.get(path) and sha256s[path] != entry["sha256"]:
            yield f"its input {path} has changed since"
    read = {entry["path"] for entry in inputs}
    for folder in sorted({entry["folder"] for entry in inputs if "folder" in entry}):
        if not folder.startswith(f"{study.name}/"):
            root = provenance.ROOT / folder
            present = [f"{folder}/{path.relative_to(root)}" for path in provenance.files_in(root) if root.is_dir()]
            if new := [name for name in present if name not in read]:
                yield f"its input folder {folder} has got {_few(new)} since"


def changes(name, record, plan, sources):
    """What has changed in the code and the planned parameters since a job ran."""
    if plan["parameters"].get(name) != FINAL:
        yield from changed_code(record, sources)
    yield from _changed_parameters(name, record, plan)


def changed_code(record, sources):
    """Code files whose digests in this checkout differ from those of the code that ran."""
    script = record["step"]
    if not (provenance.SCRIPTS / f"{script}.py").is_file():
        yield f"scripts/{script}.py that made it is gone"
        return
    then, now = record["code"]["files"], provenance.code_digest(script, record["parameters"], sources)["files"]
    changed = sorted(path for path in {*then, *now} if then.get(path) != now.get(path))
    if changed:
        yield f"its code has changed since: {_few(changed)}"


def _changed_parameters(name, record, plan):
    """Parameters of the job that differ from those of the configuration as last planned."""
    planned = plan["parameters"].get(name, {})
    arguments = f" with {' '.join(plan['arguments'])}" if plan["arguments"] else ""
    configuration = f"the configuration, as last planned{arguments},"
    if planned is None:
        yield f"{configuration} can no longer make it"
    elif planned:
        then = {key: provenance.digest(value) for key, value in record["parameters"].items()}
        changed = sorted(key for key in {*then, *planned} if then.get(key) != planned.get(key))
        if changed:
            yield f"{configuration} gives other parameters: {_few(changed)}"


def _changed_image(record, planned):
    """A container image that differs from the study's current ones; nothing if one of those is missing (None)."""
    image = _image_of(record)
    if image and planned and None not in planned and not any(sha256.startswith(image) for sha256 in planned):
        yield "its container image was rebuilt since"


def _image_of(record):
    return record["environment"].get("container_sha256")


def _plan(study):
    """The plan that the workflow wrote when it last read its configuration (rules/plan.smk), regenerated if outdated.

    {known, path, outdated (why, or None), parameters {record: {name: digest} or None}, images [path], arguments [word]}.
    """
    path = f".work/{study.name.removeprefix('results/')}/plan.json"
    unknown = {"known": False, "path": path, "outdated": None, "parameters": {}, "images": [], "arguments": []}
    if not (provenance.ROOT / path).is_file():
        return unknown
    plan = files.read_json(provenance.ROOT / path)
    unplanned = [
        name for name in study.records if name not in plan["parameters"] and (provenance.ROOT / name).is_file()
    ]
    if unplanned or _sources_changed(plan):
        # Snakemake reads the configuration and the rules, and runs nothing
        python = provenance.ROOT / ".venv" / "bin" / "python"
        interpreter = str(python) if python.exists() else sys.executable
        command = [interpreter, "-m", "snakemake", "--list-rules", *plan["arguments"]]
        listing = subprocess.run(command, cwd=provenance.ROOT, capture_output=True, text=True)
        plan = files.read_json(provenance.ROOT / path)
        changed = _sources_changed(plan)
        if changed:
            why = (listing.stderr.strip().splitlines() or ["?"])[-1]
            return unknown | {
                "known": True,
                "outdated": f"{_few(changed)} changed since it was written, and Snakemake could not renew it ({why})",
            }
    return unknown | {"known": True} | {key: plan[key] for key in ("parameters", "images", "arguments")}


def _sources_changed(plan):
    root = provenance.ROOT
    return [
        path
        for path, sha256 in plan["sources"].items()
        if not (root / path).is_file() or provenance.sha256(root / path) != sha256
    ]


def _few(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
