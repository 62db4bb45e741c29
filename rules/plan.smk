# Start and end of a run, and the plan that audit compares results with; a separate file, since Snakemake's linter rejects
# files with both functions and rules.

from types import SimpleNamespace

RUN = SimpleNamespace()  # what this process holds while it runs jobs: the study's lock, and the display


def write_plan():
    """Write the parameters that the current configuration gives to every existing record to .work/STUDY/plan.json, for
    audit.

    It is written whenever Snakemake reads the configuration, including dry runs, and at the end of a run. `sources` are the
    files that determine the plan: audit has it regenerated if one of them has changed.
    """
    steps = [step for step in workflow.rules if "record" in step.output.keys()]
    planned = {}
    for path in sorted(map(str, Path(RESULTS).rglob(f"*{provenance.SUFFIX}"))):
        # files of closed looks are never regenerated; any other file that no step produces is not planned
        planned[path] = {} if path in CLOSED_BEFORE else None
        for step in steps:
            match = step.output.record.match(path)
            if match:
                planned[path] = leaves_of(step, Wildcards(fromdict=match.groupdict()))
    sources = [
        "Snakefile",
        *map(str, sorted(Path("rules").glob("*.*"))),
        *map(str, sorted(Path("catalog").rglob("*.yaml"))),
        *(
            f"scripts/bias_inheritance/{module}.py"
            for module in (
                "plumbing/provenance",
                "study/catalog",
                "study/configuration",
                "study/declarations",
                "study/grid",
                "study/looks",
                "study/reading",
            )
        ),
        *(os.path.relpath(path) for path in ["config.yaml", *workflow.overwrite_configfiles]),
    ]
    roles = ["cpu", "gpu"] if ON_GPU else ["cpu"]
    arguments = (
        ["--configfile", *map(str, workflow.overwrite_configfiles)] if workflow.overwrite_configfiles else []
    )
    if workflow.config_settings.config_args:
        arguments += ["--config", *workflow.config_settings.config_args]
    plan = {
        "parameters": planned,
        "images": sorted({config["containers"][role] for role in roles} - {None}),
        "sources": {path: provenance.sha256(path) for path in dict.fromkeys(sources)},
        "arguments": arguments,
    }
    files.write_json(f"{WORK}/plan.json", plan)


def refuse_outdated():
    """Stop if Snakemake would keep a result whose record has other parameters, code or data files than this run would use.

    Snakemake compares the plan with its own metadata instead of with the records, and dates before contents. It keeps
    results without metadata (their folder was copied without .snakemake), those of code that was changed during a run and
    restored since, and those of a file that was replaced by one with an older date.
    """
    kept = {}
    for job in workflow.dag.jobs:
        if "record" in job.output.keys() and not workflow.dag.needrun(job):
            content, _ = records.parse(Path(job.output.record))
            if content:
                kept[job] = content
    read = {
        job: [
            entry
            for entry in records.entries(content["inputs"])
            if not entry["path"].startswith(f"{RESULTS}/")
        ]
        for job, content in kept.items()
    }
    present = planned_digests(*sorted({entry["path"] for entries in read.values() for entry in entries}))
    outdated = {}
    for job, content in kept.items():
        plan = {"parameters": {job.output.record: leaves_of(job.rule, job.wildcards)}, "arguments": []}
        replaced = [
            entry for entry in read[job] if present.get(entry["path"], entry["sha256"]) != entry["sha256"]
        ]
        if replaced or any(audit.changes(job.output.record, content, plan, SOURCES)):
            outdated.setdefault(job.rule.name, job.output.record)
    if outdated:
        sys.exit(
            f"{', '.join(outdated.values())}: made with other parameters, code or data than this run would use, which "
            f"Snakemake does not see; add to the end of the command: --forcerun {' '.join(outdated)}"
        )


def when_idle():
    refuse_outdated()
    print_report_path()


def start_run():
    """Hold the study's lock while this Snakemake process runs, and start the display and the warm worker."""
    refuse_outdated()
    try:
        RUN.lock = files.hold(f"{WORK}/lock")
    except UserError as fault:
        sys.exit(str(fault))
    costs.write_terms(WORK, config)
    RUN.display = progress.show(WORK)
    if workflow.local_exec and not IN_CONTAINERS:
        warm.start(WORK)


def end_run():
    RUN.display.stop()
    write_plan()


def leaves_of(step, wildcards):
    """{name: digest} of a job's parameters, or None if the configuration lacks something they need."""
    try:
        leaves = step.params.parameters.leaves(wildcards)
    except (KeyError, OSError, UserError):
        return None
    return {key: provenance.digest(value) for key, value in json.loads(compact(leaves)).items()}


if workflow.is_main_process:
    for line in [*checks.warnings(config), *looks.lines(config, RESULTS), *costs.estimate(config)]:
        print(line, file=sys.stderr)
    for folder in [".snakemake", WORK]:
        present = next(path for path in [Path(folder), *Path(folder).parents] if path.exists())
        if not os.access(present, os.W_OK):
            sys.exit(f"{os.path.abspath(present)}: no permission to write; fix its permissions and run again")
    try:
        write_plan()
    except OSError as fault:
        sys.exit(f"{WORK}: cannot be written ({fault.strerror}); fix this and run again")
    progress.when_idle(when_idle)
