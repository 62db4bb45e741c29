# Model files and original data.


rule prepare_model:
    output:
        card=CARD,
        record=f"{RESULTS}/models/{{model}}.prov.json",
    log:
        f"{LOGS}/prepare_model/{{model}}.log",
    container:
        image("gpu")
    threads: 2
    resources:
        gpu=model_resource("gpu"),
        mem_mb=memory,
        runtime=model_resource("runtime"),
    params:
        code=code("prepare_model"),
        paths=paths,
        parameters=parameters(lambda w: model_parameters(w.model)),
    shell:
        step_command("prepare_model")


rule prepare_originals:
    input:
        data=data_of,
    output:
        source=f"{ORIGINALS}/source.jsonl",
        reserve=f"{ORIGINALS}/reserve.jsonl",
        test=f"{ORIGINALS}/test.jsonl",
        counts=f"{ORIGINALS}/counts.json",
        record=f"{ORIGINALS}/prepare_originals.prov.json",
    log:
        f"{LOGS}/prepare_originals/{{domain}}.log",
    priority: BEFORE_TRAINING
    localrule: True
    container:
        image("cpu")
    params:
        code=code("prepare_originals", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "domain": read_of(w.domain),
                "data_dir": config["data_dir"],
                "planned": planned_digests(*data_of(w)),
            }
        ),
    shell:
        step_command("prepare_originals")


rule draw_originals:
    input:
        source=f"{ORIGINALS}/source.jsonl",
    output:
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        record=f"{ORIGINALS}/seed-{{seed}}/draw_originals.prov.json",
    log:
        f"{LOGS}/draw_originals/{{domain}}-{{seed}}.log",
    priority: BEFORE_TRAINING
    localrule: True
    container:
        image("cpu")
    params:
        code=code("draw_originals", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "domain": domain_leaves(w.domain, "family"),
                "count": grid.originals_of(config, w.domain),
                "seed": int(w.seed),
            }
        ),
    shell:
        step_command("draw_originals")


rule prepare_items:
    input:
        test=f"{ORIGINALS}/test.jsonl",
        benchmark=lambda w: grid.benchmark_files(config, w.task),
        requests=lambda w: catalog.load("task", w.task).get("requests", []),
    output:
        questions=f"{ORIGINALS}/items/{{task}}.jsonl",
        record=f"{ORIGINALS}/items/{{task}}.prov.json",
    log:
        f"{LOGS}/prepare_items/{{domain}}-{{task}}.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code(
            "prepare_items", lambda w: [domain_leaves(w.domain, "family"), catalog.load("task", w.task)]
        ),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "task": grid.task_of(config, w.task, w.domain),
                "domain": {
                    **domain_leaves(
                        w.domain,
                        "family",
                        "labels",
                        "prompt",
                        "answer",
                        "instruction",
                        "sample",
                    ),
                    "fixture": grid.uses_fixtures(config, w.domain),
                },
                "count": grid.items_of(config, w.task),
            }
        ),
    shell:
        step_command("prepare_items")
