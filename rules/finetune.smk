# One mix and one adapter per cell.


rule finetune:
    input:
        card=card_of_student,
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        pools=pools_of_mix,
        before=mix_before,
        balanced=balanced_texts,
        start=adapter_before,
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
            axes=["model", "domain", "gamma", "mitigation", "seed"],
        ),
    shell:
        step_command("{params.script}")


use rule finetune as finetune_served with:
    wildcard_constraints:
        model=model_constraint(grid.served),
    # a failed paid job is retried only by another run, whatever the profile's retries
    retries: 0
    localrule: True
    container:
        image("cpu")
    params:
        script="finetune_api",
        code=code("finetune_api", chosen_by_mix, ["domain", "mitigation"]),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "mix": mix_parameters(w),
                "model": model_leaves(w.model, "system", "generation"),
                "settings": grid.finetune_settings(config, w.model, w.domain),
                "seed": int(w.seed),
            },
            axes=["model", "domain", "gamma", "mitigation", "seed"],
        ),
