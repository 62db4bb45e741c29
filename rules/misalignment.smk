# Explanations: misalignment of values, groups and distributions, each only if the study requests it.

OPINIONS = catalog.opinions()
EMBEDDER = catalog.embedder()
PROBED = grid.probed(config)
# every pool with the round that trains on it; later pools are named by the cell that generated them
EVERY_POOL = [{**pool, "round": 1} for pool in POOLS] + grid.later_pools(config)
# pools whose shares of groups can be measured; probes have no groups
GENERATED_POOLS = [
    pool
    for pool in EVERY_POOL
    if (pool["round"] > 1 or is_generated(pool["bias"]))
    and not grid.is_probe(pool["bias"])
    and catalog.load("domain", pool["domain"])["family"] == "labelled"
]
# the pools, and the mixes of cells, that are compared with the originals, one job per model, domain and seed
COMPARED = grid.compared_pools(config)
COMPARED_CELLS = grid.compared_cells(config)
COMPARISON = f"{RESULTS}/misalignment/{{model}}/{{domain}}/seed-{{seed}}"
COMPARISONS = {  # {folder of a job's files: its student, domain and seed}
    COMPARISON.format(**pool): {axis: pool[axis] for axis in ("model", "domain", "seed")} for pool in COMPARED
}
TABLES = [f"{RESULTS}/misalignment/{name}.csv" for name in config["misalignment"]]
# misalignments that are correlated with effects; without groups, whose shares are fixed by design in bias types
RELATED = [f"{RESULTS}/misalignment/{name}.csv" for name in config["misalignment"] if name != "groups"]
MISALIGNMENT = TABLES + [
    f"{RESULTS}/misalignment/{name}.csv" for name in ("together", "correlations") if RELATED
]
# effects that misalignments are correlated with; outcomes of catalog/claims.yaml
OUTCOMES = ["harm", "salary-gap", "hiring-gap", "negative-stories"]
PERMUTATIONS = 1000


rule prepare_opinions:
    input:
        data=opinions_file,
    output:
        questions=f"{RESULTS}/misalignment/opinions.jsonl",
        unusable=f"{RESULTS}/misalignment/unusable-opinions.json",
        record=f"{RESULTS}/misalignment/opinions.prov.json",
    log:
        f"{LOGS}/prepare_opinions.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("prepare_opinions"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                **{key: OPINIONS[key] for key in ("hub", "cultures", "sides", "prompt", "no_answer")},
                "count": config["opinions"]["questions"],
            }
        ),
    shell:
        step_command("prepare_opinions")


rule predict_opinions:
    input:
        card=card_of_student,
        adapter=adapter_of,
        questions=f"{RESULTS}/misalignment/opinions.jsonl",
    output:
        predictions=directory(f"{CELL}/opinions"),
        record=f"{CELL}/opinions.prov.json",
    log:
        f"{LOGS}/predict_opinions/{{model}}-{{domain}}-{{bias}}-{{gamma}}-{{mitigation}}-{{seed}}-{{round}}.log",
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
            lambda w: {"model": model_leaves(w.model, "system", "generation"), "tasks": ["opinions"]},
            axes=["model"],
        ),
    shell:
        step_command("predict")


rule measure_values:
    input:
        predictions=[f"{path_of(CELL, cell)}/opinions" for cell in PROBED],
        unusable=f"{RESULTS}/misalignment/unusable-opinions.json",
    output:
        table=f"{RESULTS}/misalignment/values.csv",
        record=f"{RESULTS}/misalignment/values.prov.json",
    log:
        f"{LOGS}/measure_values.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("measure_values"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": PROBED,
                **{key: OPINIONS[key] for key in ("cultures", "sides", "position_limit")},
                "replicates": config["evaluation"]["bootstrap"],
            }
        ),
    shell:
        step_command("measure_values")


rule measure_groups:
    input:
        written=[pool_of(pool, pool["round"]) for pool in GENERATED_POOLS],
        failures=[pool_sibling_path(pool, "failures.jsonl") for pool in GENERATED_POOLS],
        world=sorted(
            {
                world["file"]
                for pool in GENERATED_POOLS
                if (world := catalog.load("domain", pool["domain"]).get("world"))
            }
        ),
    output:
        table=f"{RESULTS}/misalignment/groups.csv",
        record=f"{RESULTS}/misalignment/groups.prov.json",
    log:
        f"{LOGS}/measure_groups.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("measure_groups", lambda w: [domain_leaves(name, "family") for name in GRID["domain"]]),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "places": GENERATED_POOLS,
                "domains": {
                    name: {
                        **domain_leaves(name, "family", "labels", "groups", "contrasts", "world"),
                        "sentences": config["sentences"],
                    }
                    for name in sorted({pool["domain"] for pool in GENERATED_POOLS})
                },
            }
        ),
    shell:
        step_command("measure_groups")


rule prepare_embedder:
    output:
        card=f"{RESULTS}/misalignment/embedder.json",
        record=f"{RESULTS}/misalignment/embedder.prov.json",
    log:
        f"{LOGS}/prepare_embedder.log",
    localrule: True
    container:
        image("gpu")
    params:
        code=code("prepare_embedder"),
        paths=paths,
        parameters=parameters(lambda w: {key: EMBEDDER[key] for key in ("name", "source")}),
    shell:
        step_command("prepare_embedder")


rule compare_pools:
    input:
        card=card_of_student,
        embedder_card=f"{RESULTS}/misalignment/embedder.json",
        originals=f"{ORIGINALS}/seed-{{seed}}/originals.jsonl",
        pools=lambda w: [pool_of(pool, pool["round"]) for pool in of_seed(COMPARED, w)],
        trains=lambda w: [f"{path_of(CELL, cell)}/train.jsonl" for cell in of_seed(COMPARED_CELLS, w)],
        adapters=lambda w: [f"{path_of(CELL, cell)}/adapter" for cell in of_seed(COMPARED_CELLS, w)],
    output:
        distances=f"{COMPARISON}/distributions.json",
        points=f"{COMPARISON}/projection.json",
        means=f"{COMPARISON}/means.json",
        record=f"{COMPARISON}/compare_pools.prov.json",
    log:
        f"{LOGS}/compare_pools/{{model}}-{{domain}}-{{seed}}.log",
    container:
        image("gpu")
    threads: model_resource("threads")
    resources:
        gpu=model_resource("gpu"),
        mem_mb=lambda w, attempt: memory(w, attempt, EMBEDDER["resources"]["mem_mb"]),
        runtime=model_resource("runtime"),
    params:
        code=code("compare_pools", lambda w: domain_leaves(w.domain, "family")),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "domain": domain_leaves(w.domain, "family", "prompt", "answer", "instruction", "sample"),
                "model": model_leaves(w.model, "system"),
                "embedder": {key: EMBEDDER[key] for key in ("max_tokens", "batch_size")},
                "places": of_seed(COMPARED, w),
                "cells": of_seed(COMPARED_CELLS, w),
                "permutations": PERMUTATIONS,
            }
        ),
    shell:
        step_command("compare_pools")


rule measure_distributions:
    input:
        distances=[f"{folder}/distributions.json" for folder in COMPARISONS],
        points=[f"{folder}/projection.json" for folder in COMPARISONS],
    output:
        table=f"{RESULTS}/misalignment/distributions.csv",
        projection=f"{RESULTS}/misalignment/projection.csv",
        record=f"{RESULTS}/misalignment/distributions.prov.json",
    log:
        f"{LOGS}/measure_distributions.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("measure_distributions"),
        paths=paths,
        parameters=parameters(lambda w: {}),
    shell:
        step_command("measure_distributions")


rule relate_misalignment:
    input:
        scores=f"{RESULTS}/scores.csv",
        manipulation=f"{RESULTS}/manipulation.csv",
        tables=RELATED,
    output:
        together=f"{RESULTS}/misalignment/together.csv",
        correlations=f"{RESULTS}/misalignment/correlations.csv",
        record=f"{RESULTS}/misalignment/together.prov.json",
    log:
        f"{LOGS}/relate_misalignment.log",
    localrule: True
    container:
        image("cpu")
    params:
        code=code("relate_misalignment"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "outcomes": {name: catalog.claims()["outcomes"][name] for name in OUTCOMES},
                "types": grid.types_of(config),
                "comparisons": grid.comparisons(config),
                "domains": grid.groups_of(config),
            }
        ),
    shell:
        step_command("relate_misalignment")
