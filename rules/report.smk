# The report, and the resolved configuration.

# samples of texts are shown for the pools of one seed
SAMPLED = grid.once(pool for pool in POOLS if pool["seed"] == GRID["seed"][0])
# single items are shown with the answers of some cells of that seed: without augmentation, and a pool of each role
ROLES = ("natural", "positive-control", "bias-type", "baseline", "probe")
OF_ROLES = [
    max(pools, key=lambda name: catalog.load("bias", name).get("associate", 0))
    for role in ROLES
    if (pools := [name for name in GRID["bias"] if catalog.load("bias", name)["role"] == role])
]
ANSWERED = [
    cell
    for cell in CELLS
    if cell["bias"] in ("untuned", "original", *OF_ROLES)
    and cell["gamma"] in ("0.00", grid.gamma_text(max(GRID["gamma"])))
    and cell["mitigation"] == "none"
    and cell["seed"] in (0, GRID["seed"][0])
    and cell["round"] <= 1
]
# keys of catalog files that the report shows
SAID = {
    "bias": ("title", "number", "does", "role", "plant", "associate"),
    "domain": ("title", "groups", "contrasts"),
    "mitigation": ("title", "does"),
    "model": ("title", "source", "generation"),
    "task": ("title", "kind", "relation", "primary", "position_limit", "contrasts"),
}


rule write_config:
    output:
        resolved=f"{RESULTS}/config.yaml",
        record=f"{RESULTS}/config.prov.json",
    log:
        f"{LOGS}/write_config.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("write_config"),
        paths=paths,
        parameters=parameters(
            # the budget affects no result; the first line of the file states that it is omitted
            lambda w: {"config": {key: value for key, value in given.items() if key != "max_cost_usd"}}
        ),
    shell:
        step_command("write_config")


rule report:
    input:
        scores=f"{RESULTS}/scores.csv",
        effects=f"{RESULTS}/effects.csv",
        claims=f"{RESULTS}/claims.csv",
        manipulation=f"{RESULTS}/manipulation.csv",
        pools_table=f"{RESULTS}/pools.csv",
        checked=f"{RESULTS}/checks.csv",
        resolved=f"{RESULTS}/config.yaml",
        declared="catalog/claims.yaml",
        foreseen=FORESIGHT,
        inherited=[*INHERITANCE, *([f"{RESULTS}/inheritance_points.csv"] if INHERITANCE else [])],
        quality=[f"{RESULTS}/quality.csv"] if config["rounds"]["count"] > 1 else [],
        misalignment=[
            *MISALIGNMENT,
            *(
                [f"{RESULTS}/misalignment/projection.csv"]
                if "distributions" in config["misalignment"]
                else []
            ),
        ],
        cards=[CARD.format(model=model) for model in MODELS],
        pools=[f"{path_of(POOL, pool)}/pool.jsonl" for pool in SAMPLED],
        failures=[f"{path_of(POOL, pool)}/failures.jsonl" for pool in SAMPLED],
        predictions=[f"{path_of(CELL, cell)}/predictions" for cell in ANSWERED],
    output:
        page=f"{RESULTS}/report.html",
        record=f"{RESULTS}/report.prov.json",
    log:
        f"{LOGS}/report.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("report"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "sampled": SAMPLED,
                "answered": ANSWERED,
                "settings": {
                    student: {
                        domain: grid.finetune_settings(config, student, domain) for domain in GRID["domain"]
                    }
                    for student in STUDENTS
                    if grid.tunable(student)
                },
                "comparisons": grid.comparisons(config),
                "looks": grid.declared(config).get("looks"),
                "names": {
                    axis: {name: leaves(axis, name, keys) for name in GRID[axis]}
                    for axis, keys in SAID.items()
                }
                | {"model": {name: student_leaves(name, SAID["model"]) for name in [*MODELS, *STUDENTS]}},
            }
        ),
    shell:
        step_command("report")
