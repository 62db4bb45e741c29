"""Hold every file of a results folder against the records, the code and the configuration. Standard library only."""

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bias_inheritance.plumbing import files, provenance, records

STATES = ("ok", "tampered", "missing", "extra", "stale", "broken")
CHUNK = 1 << 20


def audit(folder, expect=None):
    """What stands where: {files: {name: {state, why, sha256}}, root, ok, notes, …}; see docs/provenance.md for the words.

    expect: a root digest that was kept elsewhere, or None. Raises UserError where `folder` is no study's results.
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
    digests, size = _digests({name: study.path(name) for name in [*study.sizes, *outside, *images]})
    seconds = time.perf_counter() - started
    notes = []

    verdicts = {name: {"state": "extra", "why": "no record says where it is from"} for name in study.sizes}
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
                verdicts[name] = {"state": "broken", "why": f"nothing that is here made its input {_few(orphans)}"}
        reasons = [
            *_changed_inputs(study, record, digests),
            *_changed_code(record, sources),
            *_changed_parameters(name, record, plan),
            *_changed_image(record, [digests[path] for path in images]),
        ]
        for entry in records.entries(record["outputs"]):
            output = entry["path"]
            if study.makers.get(output) is not record:
                continue
            if output not in study.sizes:
                verdicts[output] = {"state": "missing", "why": f"{record['step']} wrote it"}
            elif digests[output] != entry["sha256"]:
                verdicts[output] = {"state": "tampered", "why": "its bytes are not those that its record names"}
            elif reasons:
                verdicts[output] = {"state": "stale", "why": "; ".join(reasons)}
            else:
                verdicts[output] = {"state": "ok", "why": None}
    for name in study.sizes:
        verdicts[name]["sha256"] = digests[name]
    if plan["outdated"]:
        verdicts[plan["path"]] = {"state": "stale", "why": plan["outdated"]}
    if not plan["known"]:
        notes.append(f"parameters were not held against a configuration: {plan['path']} is not here")
    absent = [path for path in images if digests[path] is None]
    if absent:
        notes.append(f"whether a container image was rebuilt cannot be told: {_few(absent)} is not here")
    away = sorted(name for name in outside if digests[name] is None)
    if away:
        notes.append(f"{len(away)} inputs from outside the results are not here and were not compared: {_few(away)}")
    root = root_digest({study.path(name).relative_to(study.folder): digests[name] for name in study.sizes})
    if expect is None:
        notes.append(
            "a last file, one that nothing was made from, cannot be told when it was edited together with its record: "
            "hold the root digest against one kept elsewhere (--expect DIGEST)"
        )
    report = f"{study.name}/report.html"
    shown = records.upstream_digest(
        study, [e["path"] for e in records.entries(study.makers[report]["inputs"])]
    ) if report in study.makers else None  # fmt: skip
    return {
        "results": str(folder),
        "study": study.name,
        "files": dict(sorted(verdicts.items())),
        "counts": {state: sum(v["state"] == state for v in verdicts.values()) for state in STATES},
        "root": root,
        "expected": expect,
        "upstream_of_report": shown,
        "ok": all(v["state"] == "ok" for v in verdicts.values()) and expect in (None, root),
        "notes": notes,
        "bytes": size,
        "seconds": seconds,
    }


def root_digest(digests):
    """One digest of a whole folder, from {relative path: sha256}; what `sha256sum` says of its own sorted list."""
    lines = [f"{sha256}  {path}\n" for path, sha256 in sorted((str(path), sha) for path, sha in digests.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digests(paths):
    """({name: sha256, or None for a file that is not there}, bytes read), on all cores, large files first."""
    sizes = {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ordered = sorted(sizes, key=sizes.get, reverse=True)
        found = dict(zip(ordered, pool.map(lambda name: _sha256(paths[name]), ordered), strict=True))
    return {name: found.get(name) for name in paths}, sum(sizes.values())


def _sha256(path):
    """As provenance.sha256, with fewer and larger reads."""
    digest, view = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with open(path, "rb", buffering=0) as file:
        while read := file.readinto(view):
            digest.update(view[:read])
    return digest.hexdigest()


def _changed_inputs(study, record, digests):
    """Inputs that are no longer those that the job read: made anew since, or, from outside the results, changed."""
    for entry in records.entries(record["inputs"]):
        path = entry["path"]
        if path in study.makers:
            if study.made(path)["sha256"] != entry["sha256"]:
                yield f"its input {path} was made anew since, or was another then"
        elif path in study.records and path in study.sizes:
            # a record that was tampered with is named itself
            if digests[path] != entry["sha256"] and path not in study.faults:
                yield f"the record {path} that it read is another now"
        elif digests.get(path) and digests[path] != entry["sha256"]:
            yield f"its input {path} has changed since"


def _changed_code(record, sources):
    """Code files that no longer mean what they meant when they ran, by the checkout that this module lies in."""
    script = record["step"]
    if not (provenance.SCRIPTS / f"{script}.py").is_file():
        yield f"scripts/{script}.py that made it is gone"
        return
    then, now = record["code"]["files"], provenance.code_digest(script, record["parameters"], sources)["files"]
    changed = sorted(path for path in {*then, *now} if then.get(path) != now.get(path))
    if changed:
        yield f"its code has changed since: {_few(changed)}"


def _changed_parameters(name, record, plan):
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
    """A container's digest that none of the study's images has any more; where one of them is not here, nothing is said."""
    image = _image_of(record)
    if image and planned and None not in planned and not any(sha256.startswith(image) for sha256 in planned):
        yield "its container image was rebuilt since"


def _image_of(record):
    return record["environment"].get("container_sha256")


def _plan(study):
    """The plan that the workflow wrote when it last read its configuration (rules/plan.smk), renewed where need be.

    {known, path, outdated (why, or None), parameters {record: {name: digest} or None}, images [path], arguments [word]}.
    """
    path = f".work/{study.name.removeprefix('results/')}/plan.json"
    nothing = {"known": False, "path": path, "outdated": None, "parameters": {}, "images": [], "arguments": []}
    if not (provenance.ROOT / path).is_file():
        return nothing
    plan = files.read_json(provenance.ROOT / path)
    unknown = [name for name in study.records if name not in plan["parameters"] and (provenance.ROOT / name).is_file()]
    if unknown or _sources_changed(plan):
        # Snakemake reads the configuration and the rules, and runs nothing
        own = provenance.ROOT / ".venv" / "bin" / "python"
        command = [str(own) if own.exists() else sys.executable, "-m", "snakemake", "--list-rules", *plan["arguments"]]
        asked = subprocess.run(command, cwd=provenance.ROOT, capture_output=True, text=True)
        plan = files.read_json(provenance.ROOT / path)
        changed = _sources_changed(plan)
        if changed:
            why = (asked.stderr.strip().splitlines() or ["?"])[-1]
            return nothing | {
                "known": True,
                "outdated": f"{_few(changed)} changed since it was made, and Snakemake made no new one ({why})",
            }
    return nothing | {"known": True} | {key: plan[key] for key in ("parameters", "images", "arguments")}


def _sources_changed(plan):
    root = provenance.ROOT
    return [
        path
        for path, sha256 in plan["sources"].items()
        if not (root / path).is_file() or provenance.sha256(root / path) != sha256
    ]


def _few(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
