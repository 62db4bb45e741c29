# Bias inheritance: what a model inherits from synthetic data. `make study` runs the default study, config.yaml.
import os
import sys
from pathlib import Path

import yaml
from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, os.path.join(workflow.basedir, "scripts"))
from bias_inheritance import catalog, files, progress, provenance, study, warm
from bias_inheritance.errors import UserError


configfile: "config.yaml"


try:
    study.check(config, study.sources(["config.yaml", *map(str, workflow.configfiles)]))
except UserError as fault:
    sys.exit(str(fault))

# glibc returns a big tensor's memory to the system at every free otherwise, which costs a fifth of the speed on a CPU
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736")


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/augment.smk"
include: "rules/finetune.smk"
include: "rules/evaluate.smk"
include: "rules/analyse.smk"
include: "rules/audit.smk"


if workflow.is_main_process:
    write_plan()


localrules:
    all,


rule all:
    default_target: True
    input:
        PRODUCTS,
        f"{RESULTS}/ro-crate-metadata.json",


onstart:
    try:
        globals().update(held=files.hold(f"{WORK}/lock"))
    except UserError as fault:
        sys.exit(str(fault))
    globals().update(display=progress.show(WORK))
    if workflow.local_exec and not IN_CONTAINERS:
        warm.start(WORK)


onsuccess:
    display.stop()
    write_plan()


onerror:
    display.stop()
    write_plan()
