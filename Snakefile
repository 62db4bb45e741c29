# Bias inheritance: what a model inherits from synthetic data. `make study` runs the default study, config.yaml.
import gc
import os
import sys
from functools import cache
from pathlib import Path

import snakemake.common
import snakemake.executors.dryrun
import snakemake.rules
import yaml
from snakemake.settings.enums import Quietness
from snakemake.utils import min_version

min_version("9.27")
# Planning makes objects that last: looking for garbage among them takes a quarter of its time. Snakemake reads the
# signature of every function anew for every job, and a dry run words for every job what the profile keeps quiet.
gc.disable()
snakemake.common.get_function_params = cache(snakemake.common.get_function_params)
snakemake.rules.get_function_params = snakemake.common.get_function_params
if Quietness.RULES in (workflow.output_settings.quiet or ()):
    snakemake.executors.dryrun.Executor.printjob = lambda *_: None
sys.path.insert(0, os.path.join(workflow.basedir, "scripts"))
from bias_inheritance.plumbing import files, progress, provenance, warm
from bias_inheritance.study import catalog, checks, costs, grid
from bias_inheritance.plumbing.errors import UserError


configfile: "config.yaml"


try:
    checks.check(config, checks.sources(["config.yaml", *map(str, workflow.configfiles)]))
except UserError as fault:
    sys.exit(str(fault))
if workflow.is_main_process:
    for line in [*checks.warnings(config), *costs.estimate(config)]:
        print(line, file=sys.stderr)

for variable, value in warm.MEMORY.items():
    os.environ.setdefault(variable, value)


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/augment.smk"
include: "rules/finetune.smk"
include: "rules/evaluate.smk"
include: "rules/misalignment.smk"
include: "rules/analyse.smk"
include: "rules/report.smk"
include: "rules/audit.smk"
include: "rules/plan.smk"


if workflow.is_main_process:
    write_plan()
    progress.when_idle(say_where)


# On a cluster these run where Snakemake does: a node often cannot reach a server, and the others load no model and take
# seconds, less than a job needs to start.
localrules:
    all,
    write_pool_served,
    rewrite_pool_served,
    predict_served,
    predict_opinions_served,
    finetune_served,
    prepare_originals,
    draw_originals,
    prepare_items,
    prepare_opinions,
    prepare_embedder,
    copy_pool,
    describe_pool,
    describe_rewritten_pool,
    score,
    gather_scores,
    check_manipulation,
    check_results,
    measure_values,
    measure_groups,
    measure_distributions,
    relate_misalignment,
    measure_quality,
    measure_inheritance,
    analyse,
    write_config,
    report,
    write_crate,


rule all:
    default_target: True
    input:
        PRODUCTS,
        f"{RESULTS}/ro-crate-metadata.json",


onstart:
    gc.enable()
    try:
        globals().update(held=files.hold(f"{WORK}/lock"))
    except UserError as fault:
        sys.exit(str(fault))
    costs.write_terms(WORK, config)
    globals().update(display=progress.show(WORK))
    if workflow.local_exec:
        # A limit of jobs per second has Snakemake look for what can start every second, and once more in it for every job
        # that has ended, which comes to take much of a core; what starts on this machine's cores needs no limit.
        workflow.scheduler.job_rate_limiter = None
        if not IN_CONTAINERS:
            warm.start(WORK)


onsuccess:
    display.stop()
    write_plan()
    say_where()


onerror:
    display.stop()
    write_plan()
