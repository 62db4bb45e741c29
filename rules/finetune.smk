# One mix and one adapter per cell.


rule finetune:
    input:
        card=CARD,
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        pools=pools_of_mix,
        # functions of wildcards only where the study needs them: each is evaluated for every job
        before=mix_before if config["rounds"]["count"] > 1 else [],
        balanced=balanced_texts if any(map(grid.asks_the_model, GRID["mitigation"])) else [],
        start=adapter_before if config["rounds"]["start"] == "continue" else [],
    output:
        train=f"{CELL}/train.jsonl",
        summary=f"{CELL}/mix.json",
        adapter=directory(f"{CELL}/adapter"),
        training_log=f"{CELL}/training.csv",
        record=f"{CELL}/finetune.prov.json",
    log:
        f"{LOGS}/finetune/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    wildcard_constraints:
        model=model_constraint(runs_here),
    priority: training_priority
    container:
        image("gpu")
    threads: model_resource("threads")
    resources:
        gpu=model_resource("gpu"),
        mem_mb=memory,
        runtime=model_resource("runtime"),
    params:
        script="finetune",
        code=code("finetune", chosen_by_mix, ["domain", "mitigation"]),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "mix": mix_parameters(w),
                "model": model_leaves(w.model, "system"),
                "settings": grid.finetune_settings(config, w.model, w.domain),
                "alignment": alignment_of(w),
                "seed": int(w.seed),
            },
            axes=["model", "domain", "gamma", "mitigation", "seed", "round"],
        ),
    shell:
        step_command("{params.script}")
