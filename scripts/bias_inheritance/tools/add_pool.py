"""Add a file of synthetic samples to a study: write its pool, add it to the study, and print the check of its samples.

    bias-inheritance add-pool bought-june my/synthetic.jsonl --domain tickets

Columns are detected by the domain: those that contain its labels and its groups, at any level of nesting. Without a group
column, groups are detected in the texts by the cue words in the domain's file.
"""

import argparse
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import yaml

from bias_inheritance.data import columns, contrasts
from bias_inheritance.data.values import spelled
from bias_inheritance.plumbing import files, records
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import from_file
from bias_inheritance.study import catalog, configuration, grid
from bias_inheritance.tools import add_domain

POOL = """\
# Made by `bias-inheritance add-pool` from {file}. All keys: docs/own-data.md.
title: {title}
does: {does}
role: natural
source: {source}
"""


def main(words):
    parser = argparse.ArgumentParser(prog="bias-inheritance add-pool", description=__doc__.split("\n")[0])
    parser.add_argument("name", metavar="NAME", help="of the pool")
    parser.add_argument("file", metavar="FILE", help="synthetic samples, each with a label")
    domains = catalog.names("domain")
    parser.add_argument(
        "--domain", required=True, choices=domains, metavar="DOMAIN", help="the domain that the samples belong to"
    )
    add_domain.add_columns(parser)
    for column in ("labels", "groups"):
        parser.add_argument(
            f"--{column}",
            metavar="YAML",
            type=add_domain.values,
            help=f"{{value in FILE: one of the domain's {column}}}; all others are left out",
        )
    add_domain.print_lines(add_pool(**vars(parser.parse_args(words))))


def add_pool(
    name,
    file,
    domain,
    text=None,
    label=None,
    group=None,
    longest_text=None,
    labels=None,
    groups=None,
    root=ROOT,
):
    """Write catalog/biases/NAME.yaml and add the pool to studies/DOMAIN.yaml; yield lines with the detected columns.

    domain: its name. text, label, group: columns of the file; None: detected by the domain's labels and groups, or by
    `labels` and `groups`, {value: name}. Raises UserError, before anything is written, for an unusable pool.
    """
    domain_name, domain = domain, catalog.load("domain", domain)
    if domain["family"] != "labelled":
        raise UserError(
            f"--domain {domain_name}: its family is {domain['family']}; add-pool works with labelled texts only"
        )
    pool_file, study_file = (
        Path(root, "catalog", "biases", f"{name}.yaml"),
        Path(root, "studies", f"{domain_name}.yaml"),
    )
    add_domain.check_new(name, pool_file, root)
    if not study_file.is_file():
        raise UserError(
            f"studies/{study_file.name}: there is no such study; create it with add-domain, or write the pool's file and add it to grid.bias of your study"
        )
    spec = {"files": add_domain.path_in_catalog(file, root)}
    seen = columns.columns(spec, root)
    roles = {"label": label, "group": group, "text": text}
    for role, chosen in roles.items():
        if chosen:
            columns.require(chosen, seen, spec, root, file, f"--{role}")
    for role, listed, known in (
        ("label", labels, from_file.labels_of(domain)),
        ("group", groups, from_file.groups_of(domain)),
    ):
        roles[role] = roles[role] or columns.column_of_known(seen, listed or known, roles.values(), every=bool(listed))
        if listed and roles[role] is None:
            raise UserError(
                f"{file}: no column has the {role}s of --{role}s ({', '.join(map(spelled, listed))}); columns are {', '.join(seen)}: "
                f"correct them, or name the column with --{role}"
            )
    roles["text"] = text or columns.text_column(seen, file, [roles["label"], roles["group"]])
    if roles["label"] is None:
        listed = contrasts.labels(domain)
        raise UserError(
            f"{file}: no column has the labels of {domain_name} ({', '.join(listed[:8])}); columns are {', '.join(seen)}: "
            f"name it with --label, and labels that differ with --labels '{{value in the file: {listed[0]}}}'"
        )
    spec["columns"] = {role: roles[role] for role in ("text", "label", "group") if roles[role]}
    spec |= {
        key: value for key, value in (("labels", labels), ("groups", groups), ("longest_text", longest_text)) if value
    }
    checked = list(_check({"name": name, "source": spec}, domain, study_file))
    content = POOL.format(
        file=records.plain(Path(file).name),
        title=add_domain.flow(name.replace("-", " ").capitalize()),
        does=add_domain.flow(f"adds the samples of {Path(file).name}, which another program wrote"),
        source=add_domain.flow(spec),
    )
    study = _with_pool(study_file, name)
    files.write_text(pool_file, content)
    files.write_text(study_file, study)
    yield f"{file}:"
    yield from (f"  {role + ':':<6} {roles[role] or 'read off the text'}" for role in ("text", "label", "group"))
    yield from checked
    yield f"wrote {pool_file.relative_to(root)}, and added {name} to {study_file.relative_to(root)}"
    yield f"next: .venv/bin/snakemake --configfile studies/{domain_name}.yaml"


def _with_pool(study_file, name):
    """The study's file with the pool appended to its list of pools; UserError if that list is not on one line."""
    text = study_file.read_text(encoding="utf-8")
    added = re.sub(
        r"^(  bias: \[)(.*)(\])",
        lambda match: f"{match[1]}{f'{match[2]}, ' if match[2].strip() else ''}{add_domain.flow(name)}{match[3]}",
        text,
        count=1,
        flags=re.M,
    )
    before, after = yaml.safe_load(text), yaml.safe_load(added)
    grid_ = before.setdefault("grid", {})
    grid_["bias"] = [*grid_.get("bias", []), name]
    if before != after:
        raise UserError(f"studies/{study_file.name}: grid.bias is not a list on one line; add {name} to it by hand")
    return added


def _check(bias, domain, study_file):
    """Lines with the composition of the samples that the study would use; raises UserError for an unusable pool."""
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    config = configuration.read([study_file])[0]
    splits, _ = family.load({**domain, "sentences": config["sentences"]})
    size = grid.pool_size(config, domain["name"])
    # as the study's first seed compares them
    originals = family.draw(splits["source"], grid.originals_of(config, domain["name"]), record_seed("originals", 1))
    others = [*splits["source"], *splits["reserve"]]
    samples, _, counts = from_file.pool(family, bias, domain, originals, splits["test"], size, 1, others=others)
    yield f"  {counts['source_rows']:,} rows: {len(samples) + counts['unused']:,} usable, of which the largest γ takes {size}"
    for reason, number in counts["reasons"].items():
        yield f"  left out: {reason} {number:,}"
    if "group" not in bias["source"]["columns"]:
        yield f"  groups read off the text: {counts['unclear']} of {len(samples)} show none, or several"
    shown = Counter((sample["label"], sample["group"] or "unclear") for sample in samples)
    yield from add_domain.table_of_counts(shown, contrasts.labels(domain), [*domain["groups"], "unclear"])
