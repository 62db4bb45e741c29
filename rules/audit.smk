# What audit holds results against, and the study as a Provenance Run Crate.
from snakemake.iocontainers import Wildcards


def write_plan():
    """What the present configuration gives every record that exists, in .work/STUDY/plan.json, for audit.

    Made whenever Snakemake reads the configuration, a dry run included, and at the end of a run. `sources` are the files that the plan follows from: audit has it made anew where one of them changed.
    """
    rules_ = [rule for rule in workflow.rules if "record" in rule.output.keys()]
    planned = {}
    for path in sorted(map(str, Path(RESULTS).rglob(f"*{provenance.SUFFIX}"))):
        planned[path] = None  # no rule makes it any more
        for rule in rules_:
            match = rule.output.record.match(path)
            if match:
                planned[path] = leaves_of(rule, Wildcards(fromdict=match.groupdict()))
    sources = [
        "Snakefile",
        *map(str, sorted(Path("rules").glob("*"))),
        *map(str, sorted(Path("catalog").rglob("*.yaml"))),
        *(f"scripts/bias_inheritance/{module}.py" for module in ("catalog", "provenance", "study")),
        *(os.path.relpath(path) for path in ["config.yaml", *workflow.configfiles]),
    ]
    arguments = (
        ["--configfile", *map(str, workflow.overwrite_configfiles)] if workflow.overwrite_configfiles else []
    )
    if workflow.config_settings.config_args:
        arguments += ["--config", *workflow.config_settings.config_args]
    plan = {
        "parameters": planned,
        "images": sorted({path for path in config["containers"].values() if path}),
        "sources": {path: provenance.sha256(path) for path in dict.fromkeys(sources)},
        "arguments": arguments,
    }
    files.write_json(f"{WORK}/plan.json", plan)


def leaves_of(rule, wildcards):
    """{name: digest} of the parameters that a rule gives a job, or None where the configuration lacks what it needs."""
    try:
        leaves = rule.params.parameters.leaves(wildcards)
    except (KeyError, OSError, UserError):
        return None
    return {key: provenance.digest(value) for key, value in json.loads(compact(leaves)).items()}


PRODUCTS = [f"{RESULTS}/scores.csv", f"{RESULTS}/manipulation.csv"]
DATASET_CARDS = [f"{path_of(POOL, pool)}/card.md" for pool in POOLS]


rule describe_pool:
    input:
        pool=f"{POOL}/pool.jsonl",
        counts=f"{POOL}/counts.json",
        base=lambda w: [CARD.format(model=w.model)] if is_generated(w.bias) else [],
        code=code("describe_pool"),
    output:
        card=f"{POOL}/card.md",
        record=f"{POOL}/describe_pool.prov.json",
    log:
        f"{LOGS}/describe_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    container:
        image("cpu")
    params:
        paths=paths,
        parameters=parameters(
            lambda w: {
                "bias": catalog.load("bias", w.bias),
                "domain": domain_of(w.domain, "title", "compared", "planted_label", "stereotypes"),
                "model": (
                    model_leaves(w.model, "title", "licence", "generation") if is_generated(w.bias) else None
                ),
                "seed": int(w.seed),
            }
        ),
    shell:
        call("describe_pool")


rule write_crate:
    input:
        products=[*PRODUCTS, *DATASET_CARDS],
        code=code("write_crate"),
    output:
        crate=f"{RESULTS}/ro-crate-metadata.json",
        workflow=directory(f"{RESULTS}/workflow"),
        record=f"{RESULTS}/ro-crate-metadata.prov.json",
    log:
        f"{LOGS}/write_crate.log",
    container:
        image("cpu")
    params:
        paths=paths,
        parameters=parameters(lambda w: {"title": config["study"]}),
    shell:
        call("write_crate")
