# Pools of biased samples, the controls' copies, and the mixes.


rule write_pool:
    input:
        card=CARD,
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        code=code("write_pool"),
    output:
        pool=f"{POOL}/pool.jsonl",
        failures=f"{POOL}/failures.jsonl",
        counts=f"{POOL}/counts.json",
        record=f"{POOL}/write_pool.prov.json",
    log:
        f"{LOGS}/write_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    wildcard_constraints:
        bias=biases_from("generated"),
    container:
        image("gpu")
    threads: lambda w: resources_of(w)["threads"]
    resources:
        gpu=lambda w: resources_of(w)["gpu"],
        mem_mb=lambda w: resources_of(w)["mem_mb"],
        runtime=lambda w: resources_of(w)["runtime"],
    params:
        paths=paths,
        parameters=parameters(
            lambda w: {
                **pool_parameters(w),
                "model": model_leaves(w.model, "system", "generation"),
                "attempts": config["generation"]["attempts"],
            }
        ),
    shell:
        call("write_pool")


rule copy_pool:
    input:
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        reserve=f"{ORIGINALS}/reserve.jsonl",
        code=code("copy_pool"),
    output:
        pool=f"{POOL}/pool.jsonl",
        failures=f"{POOL}/failures.jsonl",
        counts=f"{POOL}/counts.json",
        record=f"{POOL}/copy_pool.prov.json",
    log:
        f"{LOGS}/copy_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    wildcard_constraints:
        bias=biases_from("originals", "reserve"),
    container:
        image("cpu")
    params:
        paths=paths,
        parameters=parameters(pool_parameters),
    shell:
        call("copy_pool")


rule mix:
    input:
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        pools=pools_of_mix,
        code=code("mix"),
    output:
        train=f"{CELL}/train.jsonl",
        record=f"{CELL}/mix.prov.json",
    log:
        f"{LOGS}/mix/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    container:
        image("cpu")
    params:
        paths=paths,
        parameters=parameters(
            lambda w: {
                "domain": domain_of(
                    w.domain,
                    "family",
                    "labels",
                    "prompt",
                    "answer",
                    "instruction",
                    "groups",
                    "cultures",
                    "gendered_words",
                ),
                "mitigation": {
                    key: value
                    for key, value in catalog.load("mitigation", w.mitigation).items()
                    if key in ("notice", "mask")
                },
                "count": study.augmented_count(study.originals_of(config, w.domain), w.gamma),
                "instruction_share": config["instruction_share"],
                "seed": int(w.seed),
            }
        ),
    shell:
        call("mix")
