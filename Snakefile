# Bias inheritance: what a model inherits from synthetic data. `make study` runs the default study, config.yaml.
import gc
import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")
gc.disable()  # while the DAG is built: saves about a quarter of the time, since nearly all of its objects stay
sys.path.insert(0, os.path.join(workflow.basedir, "scripts"))
from bias_inheritance.plumbing import audit, files, machine, progress, provenance, records, warm
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import from_file
from bias_inheritance.study import catalog, checks, configuration, costs, grid, looks


configfile: "config.yaml"


try:
    given, sources = configuration.read(workflow.overwrite_configfiles, workflow.config_settings.config_args)
    # Every job on a cluster reads this file again, twice; it trusts what the run checked when it started.
    if workflow.is_main_process:
        checks.check(given, sources)
    # Snakemake's own reading leaves numbers in a nested --config text
    config.update(looks.narrowed(given, f"results/{given['study']}"))
except UserError as fault:
    sys.exit(str(fault))


stages = "common data augment finetune evaluate misalignment analyse report audit plan".split()
if any(map(grid.served, grid.models(config))):
    stages.append("served")
for stage in stages:

    include: f"rules/{stage}.smk"


rule all:
    default_target: True
    input:
        PRODUCTS,
        f"{RESULTS}/ro-crate-metadata.json",
        CLOSED,
    localrule: True


onstart:
    gc.enable()
    start_run()


onsuccess:
    end_run()
    for line in looks.lines(config, RESULTS):
        print(line)
    print_report_path()


onerror:
    end_run()
