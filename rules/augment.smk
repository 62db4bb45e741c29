# Pools of biased samples, and the controls' copies.


rule write_pool:
    input:
        card=CARD,
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        test=f"{ORIGINALS}/test.jsonl",
    output:
        pool=f"{POOL}/pool.jsonl",
        failures=f"{POOL}/failures.jsonl",
        counts=f"{POOL}/counts.json",
        record=f"{POOL}/write_pool.prov.json",
    log:
        f"{LOGS}/write_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    wildcard_constraints:
        model=models_that(on_this_machine),
        bias=biases_from("generated"),
    priority: BEFORE_TRAINING
    container:
        image("gpu")
    threads: lambda w: resources_of(w)["threads"]
    resources:
        gpu=lambda w: resources_of(w)["gpu"],
        mem_mb=memory,
        runtime=lambda w: resources_of(w)["runtime"],
    params:
        code=code("write_pool", lambda w: domain_of(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: {
                **pool_parameters(w, grid.pool_size(config, w.domain)),
                **writer_parameters(w),
                "cell": None,
            }
        ),
    shell:
        call("write_pool")


rule rewrite_pool:
    input:
        card=CARD,
        adapter=f"{CELL}/adapter",
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        earlier=pools_so_far,
        test=f"{ORIGINALS}/test.jsonl",
    output:
        pool=f"{CELL}/pool.jsonl",
        failures=f"{CELL}/failures.jsonl",
        counts=f"{CELL}/counts.json",
        record=f"{CELL}/write_pool.prov.json",
    log:
        f"{LOGS}/rewrite_pool/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    wildcard_constraints:
        model=models_that(on_this_machine),
        bias=biases_from("generated"),
    priority: BEFORE_TRAINING
    container:
        image("gpu")
    threads: lambda w: resources_of(w)["threads"]
    resources:
        gpu=lambda w: resources_of(w)["gpu"],
        mem_mb=memory,
        runtime=lambda w: resources_of(w)["runtime"],
    params:
        code=code("write_pool", lambda w: domain_of(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: {
                **pool_parameters(w, grid.augmented_count(grid.originals_of(config, w.domain), w.gamma)),
                **writer_parameters(w),
                "cell": {"gamma": w.gamma, "mitigation": w.mitigation, "round": int(w.round)},
            }
        ),
    shell:
        call("write_pool")


use rule write_pool as write_pool_served with:
    wildcard_constraints:
        model=models_that(grid.served),
        bias=biases_from("generated"),
    container:
        image("cpu")


use rule rewrite_pool as rewrite_pool_served with:
    wildcard_constraints:
        model=models_that(grid.served),
        bias=biases_from("generated"),
    container:
        image("cpu")


rule copy_pool:
    input:
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        reserve=f"{ORIGINALS}/reserve.jsonl",
    output:
        pool=f"{POOL}/pool.jsonl",
        failures=f"{POOL}/failures.jsonl",
        counts=f"{POOL}/counts.json",
        record=f"{POOL}/copy_pool.prov.json",
    log:
        f"{LOGS}/copy_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    wildcard_constraints:
        bias=biases_from("originals", "reserve"),
    priority: BEFORE_TRAINING
    container:
        image("cpu")
    params:
        code=code("copy_pool", lambda w: domain_of(w.domain, "family")),
        paths=paths,
        parameters=parameters(lambda w: pool_parameters(w, grid.pool_size(config, w.domain))),
    shell:
        call("copy_pool")
