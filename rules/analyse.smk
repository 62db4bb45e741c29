# Effects, claims, the manipulation check, and checks of the results against the study's configuration.

DOMAIN_TASKS = [
    {"domain": domain, "task": task} for domain in GRID["domain"] for task in grid.tasks_of(config, domain)
]
# β is measured on a domain's classification task; the first one, if it has several
CLASSIFIED = {name: tasks[0] for name in GRID["domain"] if (tasks := grid.classification_tasks(config, name))}
INHERITING = [
    cell for cell in CELLS if cell["bias"] != "untuned" and CLASSIFIED.get(cell["domain"]) in tasks_of(cell)
]
INHERITANCE = [f"{RESULTS}/inheritance.csv"] if INHERITING else []
LOOK = config["looks"]["look"] if config["looks"] else 0
EARLIER_LOOK = [looks.path(RESULTS, LOOK - 1)] if LOOK > 1 else []
# records of the files that closed earlier looks; these jobs are never repeated
CLOSED_BEFORE = [f"{RESULTS}/looks/{look}{provenance.SUFFIX}" for look in range(1, LOOK)]
# the file that closes this look
CLOSED = [looks.path(RESULTS, LOOK)] if LOOK else []
# what pools predict before training, and the measured shift, in outcomes that every domain with labels has
COMPARED_SEEDS = COMPARISONS if "distributions" in config["misalignment"] else {}
FORESIGHT = [f"{RESULTS}/foresight.csv"] if INHERITANCE or COMPARED_SEEDS else []
FORESEEN = ["probability-gap", "congruence"]


rule check_manipulation:
    input:
        pools=[f"{path_of(POOL, pool)}/pool.jsonl" for pool in POOLS],
        counts=[f"{path_of(POOL, pool)}/counts.json" for pool in POOLS],
    output:
        manipulation=f"{RESULTS}/manipulation.csv",
        table=f"{RESULTS}/pools.csv",
        record=f"{RESULTS}/manipulation.prov.json",
    log:
        f"{LOGS}/check_manipulation.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("check_manipulation", lambda w: [domain_leaves(name, "family") for name in GRID["domain"]]),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": POOLS,
                "domains": {
                    name: {
                        **domain_leaves(
                            name,
                            "family",
                            "labels",
                            "statements",
                            "groups",
                            "contrasts",
                            "stereotypes",
                            "associated_groups",
                            "manipulation",
                        ),
                        "fixture": grid.uses_fixtures(config, name),
                    }
                    for name in GRID["domain"]
                },
                "biases": {
                    name: leaves("bias", name, ["role", "source", "names_groups", "plant", "associate"])
                    for name in GRID["bias"]
                },
                "replicates": config["evaluation"]["bootstrap"],
            }
        ),
    shell:
        step_command("check_manipulation")


rule measure_inheritance:
    input:
        predictions=[f"{path_of(CELL, cell)}/predictions" for cell in INHERITING],
        trains=[f"{path_of(CELL, cell)}/train.jsonl" for cell in INHERITING],
    output:
        table=f"{RESULTS}/inheritance.csv",
        points=f"{RESULTS}/inheritance_points.csv",
        record=f"{RESULTS}/inheritance.prov.json",
    log:
        f"{LOGS}/measure_inheritance.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("measure_inheritance"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": INHERITING,
                "tasks": CLASSIFIED,
                "domains": {
                    name: leaves("domain", name, ["labels", "groups", "contrasts"]) for name in CLASSIFIED
                },
                "pools": {
                    name: leaves("bias", name, ["role", "source", "associate", "plant", "tuned_on"])
                    for name in GRID["bias"]
                },
                "baseline": grid.real_text(config) or "original",
                "replicates": config["evaluation"]["bootstrap"],
            }
        ),
    shell:
        step_command("measure_inheritance")


rule foresee:
    input:
        scores=f"{RESULTS}/scores.csv",
        points=[f"{RESULTS}/inheritance_points.csv"] if INHERITANCE else [],
        means=[f"{folder}/means.json" for folder in COMPARED_SEEDS],
    output:
        table=f"{RESULTS}/foresight.csv",
        record=f"{RESULTS}/foresight.prov.json",
    log:
        f"{LOGS}/foresee.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("foresee"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "compared": list(COMPARED_SEEDS.values()),
                "outcomes": {name: catalog.claims()["outcomes"][name] for name in FORESEEN},
                "comparisons": grid.comparisons(config),
                "domains": grid.groups_of(config),
            }
        ),
    shell:
        step_command("foresee")


rule analyse:
    input:
        scores=f"{RESULTS}/scores.csv",
        manipulation=f"{RESULTS}/manipulation.csv",
        predictions=[f"{path_of(CELL, cell)}/predictions" for cell in CELLS],
        misalignment=TABLES,
        inherited=INHERITANCE,
        earlier=EARLIER_LOOK,
    output:
        effects=f"{RESULTS}/effects.csv",
        verdicts=f"{RESULTS}/claims.csv",
        record=f"{RESULTS}/claims.prov.json",
    log:
        f"{LOGS}/analyse.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("analyse"),
        paths=paths,
        parameters=parameters(lambda w: {"declared": grid.declared(config), "cells": CELLS}),
    shell:
        step_command("analyse")


rule check_results:
    input:
        scores=f"{RESULTS}/scores.csv",
        questions=[f"{path_of(ORIGINALS, place)}/items/{place['task']}.jsonl" for place in DOMAIN_TASKS],
        tests=[f"{path_of(ORIGINALS, {'domain': name})}/test.jsonl" for name in GRID["domain"]],
        trains=[f"{path_of(CELL, cell)}/train.jsonl" for cell in CELLS if cell["bias"] != "untuned"],
        summaries=[f"{path_of(CELL, cell)}/mix.json" for cell in CELLS if cell["bias"] != "untuned"],
    output:
        checks=f"{RESULTS}/checks.csv",
        record=f"{RESULTS}/checks.prov.json",
    log:
        f"{LOGS}/check_results.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("check_results"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": CELLS,
                "tasks": [tasks_of(cell) for cell in CELLS],
                "posed": DOMAIN_TASKS,
                "originals": {name: grid.originals_of(config, name) for name in GRID["domain"]},
                "even": {
                    name: {bias: grid.even_over(name, bias) for bias in grid.biases_of(config, name)}
                    for name in GRID["domain"]
                },
                "accumulated": config["rounds"]["arm"] == "accumulate",
            }
        ),
    shell:
        step_command("check_results")
