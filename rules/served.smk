# Steps of served models, which run on the host of Snakemake: cluster nodes often cannot reach a server. Included only by
# studies that have such a model, since each rule takes time to plan.


use rule write_pool as write_pool_served with:
    wildcard_constraints:
        model=model_constraint(grid.served),
        bias=bias_constraint(is_generated),
    localrule: True
    container:
        image("cpu")


use rule rewrite_pool as rewrite_pool_served with:
    wildcard_constraints:
        model=model_constraint(grid.served),
        bias=bias_constraint(grid.later_prompts),
    localrule: True
    container:
        image("cpu")


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
            axes=["model", "domain", "gamma", "mitigation", "seed", "round"],
        ),


use rule predict as predict_served with:
    wildcard_constraints:
        model=model_constraint(grid.served),
    localrule: True
    container:
        image("cpu")


use rule predict_opinions as predict_opinions_served with:
    wildcard_constraints:
        model=model_constraint(grid.served),
    localrule: True
    container:
        image("cpu")
