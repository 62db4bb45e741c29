# Predictions of every model, and their scores.


rule predict:
    input:
        card=CARD,
        adapter=adapter_of,
        questions=items_of_tasks,
    output:
        predictions=directory(f"{CELL}/predictions"),
        record=f"{CELL}/predict.prov.json",
    log:
        f"{LOGS}/predict/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    wildcard_constraints:
        model=model_constraint(runs_here),
    container:
        image("gpu")
    threads: model_resource("threads")
    resources:
        gpu=model_resource("gpu"),
        mem_mb=memory,
        runtime=model_resource("runtime"),
    params:
        code=code("predict"),
        paths=paths,
        parameters=parameters(
            lambda w: {"model": model_leaves(w.model, "system", "generation"), "tasks": tasks_of(w)},
            axes=TASK_AXES,
        ),
    shell:
        step_command("predict")


rule score:
    input:
        predictions=f"{CELL}/predictions",
    output:
        scores=directory(f"{CELL}/scores"),
        record=f"{CELL}/score.prov.json",
    log:
        f"{LOGS}/score/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("score", lambda w: [catalog.load("task", task) for task in tasks_of(w)], TASK_AXES),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "tasks": [grid.task_of(config, task, w.domain) for task in tasks_of(w)],
                "domain": domain_leaves(w.domain, "labels", "groups", "contrasts"),
                "replicates": config["evaluation"]["bootstrap"],
            },
            axes=TASK_AXES,
        ),
    shell:
        step_command("score")


rule gather_scores:
    input:
        scores=[f"{path_of(CELL, cell)}/scores" for cell in CELLS],
    output:
        table=f"{RESULTS}/scores.csv",
        parquet=f"{RESULTS}/scores.parquet",
        record=f"{RESULTS}/scores.prov.json",
    log:
        f"{LOGS}/gather_scores.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("gather_scores"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": CELLS,
                "arm": config["rounds"]["arm"] if config["rounds"]["count"] > 1 else None,
            }
        ),
    shell:
        step_command("gather_scores")


rule measure_quality:
    input:
        texts=[added_texts_path(cell) for cell in CELLS if cell["bias"] != "untuned"],
        counts=[
            pool_sibling_path(cell, "counts.json")
            for cell in CELLS
            if cell["bias"] not in ("untuned", "original")
        ],
        mixes=[f"{path_of(CELL, cell)}/mix.json" for cell in CELLS if cell["bias"] != "untuned"],
        scores=[f"{path_of(CELL, cell)}/scores" for cell in CELLS],
    output:
        table=f"{RESULTS}/quality.csv",
        record=f"{RESULTS}/quality.prov.json",
    log:
        f"{LOGS}/measure_quality.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("measure_quality"),
        paths=paths,
        parameters=parameters(lambda w: {"cells": CELLS, "arm": config["rounds"]["arm"]}),
    shell:
        step_command("measure_quality")
