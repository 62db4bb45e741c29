# The products of a study, with a card per pool, as a Provenance Run Crate.


PRODUCTS = [
    f"{RESULTS}/scores.csv",
    f"{RESULTS}/manipulation.csv",
    f"{RESULTS}/effects.csv",
    f"{RESULTS}/claims.csv",
    f"{RESULTS}/checks.csv",
    f"{RESULTS}/report.html",
    *([f"{RESULTS}/quality.csv"] if config["rounds"]["count"] > 1 else []),
    *MISALIGNMENT,
    *INHERITANCE,
    *FORESIGHT,
]
STORED_POOLS = grid.once(EVERY_POOL)
DATASET_CARDS = [pool_sibling_path(pool, "card.md") for pool in STORED_POOLS]
WRITING_CELLS = [cell for pool in STORED_POOLS if (cell := writing_cell(pool))]


rule describe_pools:
    input:
        pools=[pool_sibling_path(pool, "pool.jsonl") for pool in STORED_POOLS],
        counts=[pool_sibling_path(pool, "counts.json") for pool in STORED_POOLS],
        bases=[CARD.format(model=model) for model in MODELS],
        adapters=[f"{path_of(CELL, cell)}/adapter" for cell in WRITING_CELLS],
    output:
        cards=DATASET_CARDS,
        record=f"{RESULTS}/cards.prov.json",
    log:
        f"{LOGS}/describe_pools.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("describe_pools", lambda w: [domain_leaves(name, "family") for name in GRID["domain"]]),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "described": [card_place(pool) for pool in STORED_POOLS],
                "biases": {name: catalog.load("bias", name) for name in GRID["bias"]},
                "domains": {
                    name: domain_leaves(
                        name,
                        "title",
                        "language",
                        "family",
                        "labels",
                        "groups",
                        "contrasts",
                        "associated_groups",
                        "planted_label",
                        "stereotypes",
                    )
                    for name in GRID["domain"]
                },
                "models": {
                    name: {
                        **model_leaves(name, "title", "licence"),
                        "generation": grid.generation_settings(config, name),
                    }
                    for name in MODELS
                },
            }
        ),
    shell:
        step_command("describe_pools")


rule write_crate:
    input:
        products=[*PRODUCTS, *DATASET_CARDS],
    output:
        crate=f"{RESULTS}/ro-crate-metadata.json",
        workflow=directory(f"{RESULTS}/workflow"),
        record=f"{RESULTS}/ro-crate-metadata.prov.json",
    log:
        f"{LOGS}/write_crate.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("write_crate"),
        paths=paths,
        parameters=parameters(lambda w: {"title": config["study"], "closed": CLOSED_BEFORE}),
    shell:
        step_command("write_crate")


if CLOSED:

    rule close_look:
        # Unnamed inputs are dependencies that are not in the record: the next look replaces them, but not this file.
        input:
            PRODUCTS,
            f"{RESULTS}/ro-crate-metadata.json",
        output:
            closed=CLOSED,
            record=f"{RESULTS}/looks/{LOOK}.prov.json",
        log:
            f"{LOGS}/close_look.log",
        localrule: True
        container:
            image("cpu")
        params:
            code=code("close_look"),
            paths=paths,
            parameters=parameters(
                lambda w: {
                    "declared": grid.declared(config),
                    "claims": f"{RESULTS}/claims.csv",
                    "planned": looks.planned_digest(config, LOOK),
                }
            ),
        shell:
            step_command("close_look")
