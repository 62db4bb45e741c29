# From scores to effects, claims and the manipulation check, and what holds the results against the study.

ASKED = [
    {"domain": domain, "task": task} for domain in GRID["domain"] for task in study.tasks_of(config, domain)
]


rule check_manipulation:
    input:
        pools=[f"{path_of(POOL, pool)}/pool.jsonl" for pool in POOLS],
        counts=[f"{path_of(POOL, pool)}/counts.json" for pool in POOLS],
    output:
        manipulation=report(
            f"{RESULTS}/manipulation.csv",
            caption="captions/manipulation.rst",
            category="Tables",
            labels={"result": "manipulation check"},
        ),
        table=report(
            f"{RESULTS}/pools.csv",
            caption="captions/pools.rst",
            category="Tables",
            labels={"result": "counts of the pools"},
        ),
        record=f"{RESULTS}/manipulation.prov.json",
    log:
        f"{LOGS}/check_manipulation.log",
    container:
        image("cpu")
    params:
        code=code("check_manipulation", lambda w: [domain_of(name, "family") for name in GRID["domain"]]),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": POOLS,
                "domains": {
                    name: {
                        **domain_of(
                            name,
                            "family",
                            "labels",
                            "statements",
                            "reference",
                            "compared",
                            "stereotypes",
                            "associated_groups",
                            "manipulation",
                        ),
                        "fixture": study.uses_fixtures(config, name),
                    }
                    for name in GRID["domain"]
                },
                "biases": {name: catalog.load("bias", name) for name in GRID["bias"]},
                "replicates": config["evaluation"]["bootstrap"],
            }
        ),
    shell:
        call("check_manipulation")


rule analyse:
    input:
        scores=f"{RESULTS}/scores.csv",
        manipulation=f"{RESULTS}/manipulation.csv",
        predictions=[f"{path_of(CELL, cell)}/predictions" for cell in CELLS],
        misalignment=TABLES,
    output:
        effects=report(
            f"{RESULTS}/effects.csv",
            caption="captions/effects.rst",
            category="Tables",
            labels={"result": "effects per seed"},
        ),
        verdicts=report(
            f"{RESULTS}/claims.csv",
            caption="captions/claims.rst",
            category="Tables",
            labels={"result": "claims and verdicts"},
        ),
        record=f"{RESULTS}/claims.prov.json",
    log:
        f"{LOGS}/analyse.log",
    container:
        image("cpu")
    params:
        code=code("analyse"),
        paths=paths,
        parameters=parameters(
            lambda w: {"declared": {**catalog.claims(), "types": study.types_of(config)}, "cells": CELLS}
        ),
    shell:
        call("analyse")


rule check_results:
    input:
        scores=f"{RESULTS}/scores.csv",
        questions=[f"{path_of(ORIGINALS, place)}/items/{place['task']}.jsonl" for place in ASKED],
        tests=[f"{path_of(ORIGINALS, {'domain': name})}/test.jsonl" for name in GRID["domain"]],
        trains=[f"{path_of(CELL, cell)}/train.jsonl" for cell in CELLS if cell["bias"] != "untuned"],
    output:
        checks=f"{RESULTS}/checks.csv",
        record=f"{RESULTS}/checks.prov.json",
    log:
        f"{LOGS}/check_results.log",
    container:
        image("cpu")
    params:
        code=code("check_results"),
        paths=paths,
        parameters=parameters(
            lambda w: {
                "cells": CELLS,
                "asked": ASKED,
                "originals": {name: study.originals_of(config, name) for name in GRID["domain"]},
                "even": {
                    name: {bias: study.even_over(name, bias) for bias in GRID["bias"]}
                    for name in GRID["domain"]
                },
            }
        ),
    shell:
        call("check_results")
