# What a study is made for: its products, with a card per pool, as a Provenance Run Crate.


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
]
DATASET_CARDS = [
    *(f"{path_of(POOL, pool)}/card.md" for pool in POOLS),
    *(f"{path_of(CELL, pool, round=pool['round'] - 1)}/card.md" for pool in grid.later_pools(config)),
]


rule describe_pool:
    input:
        pool=f"{POOL}/pool.jsonl",
        counts=f"{POOL}/counts.json",
        base=lambda w: [CARD.format(model=w.model)] if is_generated(w.bias) else [],
    output:
        card=f"{POOL}/card.md",
        record=f"{POOL}/describe_pool.prov.json",
    log:
        f"{LOGS}/describe_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("describe_pool", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(lambda w: described(w, None)),
    shell:
        step_command("describe_pool")


rule describe_rewritten_pool:
    input:
        pool=f"{CELL}/pool.jsonl",
        counts=f"{CELL}/counts.json",
        base=CARD,
        adapter=f"{CELL}/adapter",
    output:
        card=f"{CELL}/card.md",
        record=f"{CELL}/describe_pool.prov.json",
    log:
        f"{LOGS}/describe_pool/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("describe_pool", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: described(w, {"gamma": w.gamma, "mitigation": w.mitigation, "round": int(w.round)})
        ),
    shell:
        step_command("describe_pool")


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
        parameters=parameters(lambda w: {"title": config["study"]}),
    shell:
        step_command("write_crate")
