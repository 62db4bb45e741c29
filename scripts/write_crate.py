"""Describe the finished study as a Provenance Run Crate (RO-Crate): every file, every job, and their relations."""

import shutil
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from bias_inheritance.plumbing import provenance, records, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.files import json_text, write_text
from bias_inheritance.plumbing.step import Inputs, Output

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".py": "text/x-python",
    ".safetensors": "application/octet-stream",
}
TERMS = "On the terms of its sources: those of the original data and of the models, which each pool's card names."


def write_crate(products: Inputs, crate: Output, workflow: Output, title: str, closed: list):
    """Write ro-crate-metadata.json, and the folder `workflow` with the workflow and the code that ran.

    products: the final files of the study; the crate contains everything upstream of them, according to their records.
    closed: the records of closed looks, whose jobs are never repeated; if their code has changed since, the crate refers to
    it without containing it. Raises UserError if other code has changed since a step ran, since the crate would contain
    code other than what ran.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    study = records.read(crate.parent)
    jobs = [study.records[name] for name in study.upstream(map(str, products))]
    jobs.sort(key=lambda job: (job["started"], job["record"]))
    step.also_read([Path(job["record"]) for job in jobs])
    described = ROCrate(version="1.1")
    described.metadata.extra_contexts.append(CONTEXT)

    def thing(identifier, **properties):
        return described.add(ContextEntity(described, identifier, properties={**properties}))

    root = described.root_dataset
    terms = thing("#terms", **{"@type": "CreativeWork", "name": "terms of use", "description": TERMS})
    root["name"], root["license"] = title, terms
    root["description"] = (
        f"{len(jobs)} jobs and the files that they made, each with its sha256 and its provenance record."
    )
    root["datePublished"] = max(job["ended"] for job in jobs)
    root["conformsTo"] = [
        thing(uri, **{"@type": "CreativeWork", "name": name, "version": version})
        for uri, (name, version) in PROFILES.items()
    ]
    tools = _copy_code(described, jobs, workflow, study, closed)
    main = tools["Snakefile"]
    described.mainEntity = main
    snakemake = thing(
        "#snakemake",
        **{
            "@type": "SoftwareApplication",
            "name": "Snakemake",
            "url": "https://snakemake.github.io",
            "softwareVersion": jobs[-1]["environment"]["packages"]["snakemake"] or "unknown",
        },
    )
    steps = {}
    for position, name in enumerate(dict.fromkeys(job["step"] for job in jobs)):
        steps[name] = thing(
            f"#step-{name}",
            **{"@type": "HowToStep", "name": name, "position": str(position), "workExample": tools[name]},
        )
    main["hasPart"], main["step"] = [tools[name] for name in steps], list(steps.values())

    entities = {}
    for job in jobs:
        for entry in [*records.entries(job["inputs"]), *records.entries(job["outputs"])]:
            if entry["path"] not in entities:
                entities[entry["path"]] = _file(described, study, entry["path"], entry["sha256"], entry["bytes"])
    actions, controls = [], []
    for number, job in enumerate(jobs):
        note = _file(described, study, job["record"], provenance.sha256(job["record"]), study.sizes[job["record"]])
        place = " ".join(str(value) for value in job["wildcards"].values())
        action = described.add_action(
            tools[job["step"]],
            identifier=f"#job-{number}",
            object=_one_or_more(entities[entry["path"]] for entry in records.entries(job["inputs"])),
            result=_one_or_more(entities[entry["path"]] for entry in records.entries(job["outputs"])),
            properties={
                "name": f"{job['step']} {place}".strip(),
                "description": f"{job['seconds']:.1f} s, {job['peak_memory_bytes'] / 1e6:.0f} MB at its peak",
                "startTime": _moment(job["started"]),
                "endTime": _moment(job["ended"]),
                "actionStatus": "http://schema.org/CompletedActionStatus",
                "subjectOf": {"@id": note.id},
            },
        )
        controls.append(
            thing(
                f"#control-{number}",
                **{"@type": "ControlAction", "name": f"orchestrate {action['name']}", "instrument": steps[job["step"]]},
            )
        )
        controls[-1]["object"] = action
        actions.append(action)
    run = described.add_action(
        main,
        identifier="#run",
        object=[entities[name] for name in sorted(entities) if name not in study.makers],
        result=[entities[str(path)] for path in products],
        properties={
            "name": f"run of the study {title}",
            "description": f"{len(jobs)} jobs",
            "startTime": _moment(jobs[0]["started"]),
            "endTime": _moment(max(job["ended"] for job in jobs)),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    engine = thing(
        "#engine",
        **{"@type": "OrganizeAction", "name": "Snakemake's run", "instrument": snakemake, "result": run},
    )
    engine["object"] = controls
    root["mentions"] = [run, engine, *actions]
    write_text(crate, json_text(described.metadata.generate()))


def _copy_code(described, jobs, folder, study, closed):
    """Copy the workflow and the code that ran to `folder`; returns {step or 'Snakefile': its entity}."""
    ran, repeated = {}, set()
    for job in jobs:
        ran |= job["code"]["files"]
        repeated |= set() if job["record"] in closed else {*job["code"]["files"]}
    changed = [path for path, digest in ran.items() if not provenance.has_digest(path, digest)]
    if stale := [path for path in changed if path in repeated]:
        raise UserError(f"{stale[0]} has changed since the study ran it; run the study again, or restore the file")
    rules = [str(path.relative_to(provenance.ROOT)) for path in sorted((provenance.ROOT / "rules").rglob("*.*"))]
    kinds = {
        "Snakefile": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        **{f"scripts/{job['step']}.py": ["File", "SoftwareSourceCode"] for job in jobs},
    }
    entities = {}
    for path in changed:
        name = f"{path} (changed since a look was closed; not part of the crate)"
        facts = {"@type": "SoftwareApplication", "name": name, "version": ran[path][:12]}
        entities[path] = described.add_jsonld({"@id": _outside(path), **facts})
    for path in ["Snakefile", *rules, *sorted({*ran} - {*changed})]:
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(provenance.ROOT / path, copy)
        name, size = f"{study.name}/{folder.name}/{path}", copy.stat().st_size
        entities[path] = _file(described, study, name, provenance.sha256(copy), size, kinds.get(path, "File"))
        if path in kinds:
            entities[path]["version"] = ran.get(path, provenance.sha256(copy))[:12]
    main = entities["Snakefile"]
    main["name"], main["license"] = "the study's workflow", described.root_dataset["license"]
    main["conformsTo"] = {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"}
    described.metadata["conformsTo"] = [
        {"@id": "https://w3id.org/ro/crate/1.1"},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ]
    main["programmingLanguage"] = described.add_jsonld(
        {
            "@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
            "url": {"@id": "https://snakemake.github.io"},
        }
    )
    return {"Snakefile": main, **{job["step"]: entities[f"scripts/{job['step']}.py"] for job in jobs}}


def _file(described, study, name, sha256, size, kind="File"):
    """The entity of a file of the study, or of an external file, which the crate references but does not contain."""
    inside = name.removeprefix(f"{study.name}/")
    facts = {"name": Path(name).name, "sha256": sha256, "contentSize": str(size)}
    if inside == name:
        facts |= {"@type": "CreativeWork", "name": f"{name} (not part of the crate)"}
        return described.add_jsonld({"@id": _outside(name), **facts})
    facts["@type"], facts["encodingFormat"] = kind, FORMATS.get(Path(name).suffix, "text/plain")
    return described.add_file(study.path(name), inside, properties=facts)


def _outside(name):
    """The identifier of a file that is not part of the crate; `rocrate` itself encodes those of the files that are."""
    return f"#outside/{quote(name)}"


def _one_or_more(entities):
    listed = list(entities)
    return listed[0] if len(listed) == 1 else listed


def _moment(text):
    """A record's timestamp in whole seconds, for compatibility with ISO 8601 parsers."""
    return datetime.fromisoformat(text).isoformat(timespec="seconds")


if __name__ == "__main__":
    step.run(write_crate)
