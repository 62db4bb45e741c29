# Pools of biased samples, and copied pools of controls.


rule write_pool:
    input:
        card=CARD,
        adapter=adapter_of_writer,
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
        model=model_constraint(runs_here),
        bias=bias_constraint(is_generated),
    priority: BEFORE_TRAINING
    container:
        image("gpu")
    threads: model_resource("threads")
    resources:
        gpu=model_resource("gpu"),
        mem_mb=memory,
        runtime=model_resource("runtime"),
    params:
        code=code("write_pool", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(lambda w: writing_parameters(w, grid.pool_size(config, w.domain), cell=None)),
    shell:
        step_command("write_pool")


use rule write_pool as rewrite_pool with:
    input:
        card=card_of_student,
        adapter=f"{CELL}/adapter",
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        earlier=pools_up_to_round,
        test=f"{ORIGINALS}/test.jsonl",
    output:
        pool=f"{CELL}/pool.jsonl",
        failures=f"{CELL}/failures.jsonl",
        counts=f"{CELL}/counts.json",
        record=f"{CELL}/write_pool.prov.json",
    log:
        f"{LOGS}/rewrite_pool/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    wildcard_constraints:
        model=model_constraint(runs_here),
        bias=bias_constraint(grid.later_prompts),
    params:
        code=code("write_pool", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: writing_parameters(
                w,
                grid.augmented_count(grid.originals_of(config, w.domain), w.gamma),
                round_=int(w.round) + 1,
                cell={"gamma": w.gamma, "mitigation": w.mitigation, "round": int(w.round)},
            )
        ),


rule copy_pool:
    input:
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        reserve=f"{ORIGINALS}/reserve.jsonl",
        real=lambda w: real_texts(w, "source"),
        test=lambda w: real_texts(w, "test"),
        source=lambda w: from_file.files_read(catalog.load("bias", w.bias)),
    output:
        pool=f"{POOL}/pool.jsonl",
        failures=f"{POOL}/failures.jsonl",
        counts=f"{POOL}/counts.json",
        record=f"{POOL}/copy_pool.prov.json",
    log:
        f"{LOGS}/copy_pool/{{model}}-{{domain}}-{{bias}}-{{seed}}.log",
    wildcard_constraints:
        bias=bias_constraint(lambda name: not is_generated(name)),
    priority: BEFORE_TRAINING
    localrule: True
    container:
        image("cpu")
    params:
        code=code("copy_pool", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: {
                **pool_parameters(w, grid.pool_size(config, w.domain)),
                "planned": planned_digests(*from_file.files_read(catalog.load("bias", w.bias))),
            }
        ),
    shell:
        step_command("copy_pool")
